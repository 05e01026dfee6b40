"""
The formats of the access log, text and JSON, with a line for each connection.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from functools import lru_cache
from typing import NamedTuple

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress

from upperproto.monitoring.connectionlog import peerName
from upperproto.monitoring.conversationlog import escape

# A text that a client or a CA has chosen is cut to so many characters. Then a whole
# line, with any characters, has no more bytes than a pipe takes in one piece (PIPE_BUF
# of pipe(7)).
MAX_TEXT = 256

_encode = json.JSONEncoder(separators=(",", ":")).encode


class Access(NamedTuple):
    """
    The facts about a closed connection that the access log shows.

    @ivar connectionID: its name.
    @ivar closed: the time when it closed, in seconds since 1970.
    @ivar seconds: the time that it was open, in seconds.
    @ivar client: the address of the client.
    @ivar network: the address that the system gives: of the client, or of a proxy.
    @ivar tlsVersion: the version of TLS; empty without TLS.
    @ivar subject: the subject of the client's certificate; empty without one.
    @ivar received: the number of bytes that the client has sent.
    @ivar sent: the number of bytes of answers that were sent.
    @ivar undelivered: the number of bytes of answers that could not be sent.
    @ivar invalidLines: the number of lines that were answered with an error.
    @ivar refused: whether the connection was refused, and not served.
    @ivar reason: the reason why it ended.
    """

    connectionID: str
    closed: float
    seconds: float
    client: IAddress
    network: IAddress
    tlsVersion: str
    subject: str
    received: int
    sent: int
    undelivered: int
    invalidLines: int
    refused: bool
    reason: str


# Makes a line, with its line end.
AccessFormat = Callable[[Access], str]


def formatText(access: Access) -> str:
    """
    Format a connection as text, for people, and for programs that split lines at
    spaces. There are 15 columns, and only the last has spaces. An unknown value is
    a hyphen.
    """
    closed = access.closed
    proxy = "-" if access.network == access.client else _textAddress(access.network)
    return (
        f"{_time(closed)} {_textAddress(access.client)} id={access.connectionID}"
        f" opened={_time(closed - access.seconds)} duration={access.seconds:.6f}"
        f" transport={_transport(access.network) or '-'} proxy={proxy}"
        f" tls={access.tlsVersion or '-'} subject={_word(access.subject)}"
        f" received={access.received} sent={access.sent}"
        f" undelivered={access.undelivered} invalid={access.invalidLines}"
        f" refused={'yes' if access.refused else 'no'} reason={_text(access.reason)}\n"
    )


def formatJSON(access: Access) -> str:
    """
    Format a connection as a flat JSON object in ASCII. The names are those of
    OpenTelemetry, where it has one. An unknown value is left out.
    """
    client, network, closed = access.client, access.network, access.closed
    fields: dict[str, object] = {
        "upper.connection_id": access.connectionID,
        "upper.opened": _time(closed - access.seconds),
        "upper.closed": _time(closed),
        "upper.duration": round(access.seconds, 6),
    }
    _addAddress(fields, "client", client)
    transport = _transport(network)
    if transport:
        fields["network.transport"] = transport
    if network != client:
        _addAddress(fields, "network.peer", network)
    if access.tlsVersion:
        fields["tls.protocol.version"] = access.tlsVersion
    if access.subject:
        fields["tls.client.subject"] = _cut(access.subject)
    fields["upper.received_bytes"] = access.received
    fields["upper.sent_bytes"] = access.sent
    fields["upper.undelivered_bytes"] = access.undelivered
    fields["upper.invalid_lines"] = access.invalidLines
    fields["upper.refused"] = access.refused
    fields["upper.reason"] = _cut(access.reason)
    # DEL is the only control character that JSON does not escape.
    return _encode(fields).replace("\x7f", "\\u007f") + "\n"


def _time(when: float) -> str:
    """
    Format a time as in RFC 3339.
    """
    second = int(when // 1)
    return f"{_second(second)}.{int((when - second) * 1_000_000):06}Z"


# Most lines have the same seconds as the line before. To format a second takes 2 us.
@lru_cache(maxsize=16)
def _second(when: int) -> str:
    return datetime.fromtimestamp(when, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")


def _transport(address: IAddress) -> str:
    if isinstance(address, (IPv4Address, IPv6Address)):
        return "tcp"
    return "unix" if isinstance(address, UNIXAddress) else ""


def _addAddress(fields: dict[str, object], name: str, address: IAddress) -> None:
    if isinstance(address, (IPv4Address, IPv6Address)):
        fields[f"{name}.address"] = address.host
        fields[f"{name}.port"] = address.port
    elif isinstance(address, UNIXAddress) and address.name:
        fields[f"{name}.address"] = escape(_path(address))


def _textAddress(address: IAddress) -> str:
    if isinstance(address, (IPv4Address, IPv6Address)):
        return peerName(address)
    if isinstance(address, UNIXAddress):
        name = escape(_path(address)).replace(" ", "\\x20")
        return f"unix:{name}" if name else "unix"
    return "-"


def _path(address: UNIXAddress) -> bytes:
    """
    Get the name that a client has given to its end of a UNIX socket. (Twisted has
    some of these names as text.)
    """
    name: bytes | str = address.name or b""
    return name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name


def _cut(text: str) -> str:
    """
    Shorten a text that is too long, and replace characters that UTF-8 does not have.
    """
    if len(text) > MAX_TEXT:
        text = f"{text[: MAX_TEXT - 3]}..."
    return text.encode("utf-8", "replace").decode()


def _text(text: str) -> str:
    return escape(_cut(text).encode())


def _word(text: str) -> str:
    """
    Escape a text so that it is one word of printable characters.
    """
    return _text(text).replace(" ", "\\x20") or "-"
