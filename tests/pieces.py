"""
The answer to any bytes, in any pieces, is the answer to all of them at once.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from upperproto.factory import UpperFactory
from upperproto.protocol import UpperProtocol

ERRORS = ["strict", "replace", "surrogateescape"]


class ShortLines(UpperProtocol):
    """
    Begins to answer a line early, lest an input have to be long to reach that.
    """

    MAX_LENGTH = 16


class ShortLinesFactory(UpperFactory):
    """
    Builds these.
    """

    protocol = ShortLines


def answer(chunks: list[bytes], errors: str) -> bytes:
    """
    Have chunks answered, and end the conversation.

    @param chunks: what comes.
    @param errors: what becomes of invalid UTF-8.
    """
    protocol = ShortLinesFactory(errors=errors, clock=Clock()).buildProtocol(None)
    assert isinstance(protocol, ShortLines)
    transport = StringTransport()
    protocol.makeConnection(transport)
    for chunk in chunks:
        protocol.dataReceived(chunk)
    protocol.readConnectionLost()
    assert transport.disconnecting, "the connection stays open"
    return transport.value()


def check(data: bytes) -> None:
    """
    Check that the answer does not depend on the pieces, that nothing raises an
    exception, and that the connection closes.

    @param data: the first byte says what becomes of invalid UTF-8; the second,
        how many bytes follow that say how long the pieces are; the rest is what
        a client says.
    """
    mode, count, *_ = data + b"\0\0"
    lengths, whole = data[2 : 2 + count % 32], data[2 + count % 32 :]
    pieces, rest = [], whole
    for length in lengths:
        pieces.append(rest[: length % 32])
        rest = rest[length % 32 :]
    pieces = [piece for piece in [*pieces, rest] if piece]
    errors = ERRORS[mode % len(ERRORS)]
    assert answer(pieces, errors) == answer([whole], errors), "another answer in pieces"
