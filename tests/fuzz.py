"""
Fuzz the protocol: C{python -m tests.fuzz}, with options of libFuzzer, such as
C{-runs=100000} or C{-max_total_time=60}. It needs atheris.

The first bytes of each input say how the rest is cut into chunks. The answer to
the chunks must be the answer to the whole, and nothing may raise an exception.
"""

from __future__ import annotations

import sys

import atheris  # type: ignore[import-untyped, unused-ignore] # No stubs.

with atheris.instrument_imports(include=["upperproto"]):
    from upperproto.factory import UpperFactory
    from upperproto.protocol import UpperProtocol

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport


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
    Check one input.
    """
    provider = atheris.FuzzedDataProvider(data)
    errors = provider.PickValueInList(["strict", "replace", "surrogateescape"])
    lengths = [
        provider.ConsumeIntInRange(1, 20)
        for _ in range(provider.ConsumeIntInRange(0, 30))
    ]
    whole = provider.ConsumeBytes(provider.remaining_bytes())
    chunks, rest = [], whole
    for length in lengths:
        chunks.append(rest[:length])
        rest = rest[length:]
    pieces = [chunk for chunk in [*chunks, rest] if chunk]
    assert answer(pieces, errors) == answer([whole], errors), "another answer in pieces"


if __name__ == "__main__":
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
