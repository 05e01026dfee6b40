"""
Formats of the access log: a line for each connection.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from functools import lru_cache
from typing import NamedTuple

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress

from upperproto.monitoring.connectionlog import escape, peerName

# How many characters are shown of what a client or an authority has made up. A whole
# line then takes no more bytes than a pipe takes in one piece (PIPE_BUF of pipe(7)),
# whatever these characters are.
MAX_TEXT = 256

_encode = json.JSONEncoder(separators=(",", ":")).encode


class Access(NamedTuple):
    """
    A connection that has closed.

    @ivar connectionID: its name.
    @ivar closed: when it closed, in seconds since 1970.
    @ivar seconds: how long it was open.
    @ivar client: who was served.
    @ivar network: where it came from, as the system has it: the client, or a proxy.
    @ivar tlsVersion: the version of TLS; empty without TLS.
    @ivar subject: that of the client's certificate; empty without one.
    @ivar received: how many bytes the client has sent.
    @ivar sent: how many bytes of answers were sent.
    @ivar undelivered: how many more could not be sent.
    @ivar invalidLines: how many lines were answered with an error.
    @ivar refused: whether it was not served.
    @ivar reason: what ended it.
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
    Format a connection for people, and for programs that split lines at spaces: 15
    columns, of which the last alone has spaces. What is not known is a hyphen.
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
    Format a connection as a flat object, by the names of OpenTelemetry where there are
    such, and in ASCII. What is not known is left out.
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
    # DEL is the one control character that JSON leaves as it is.
    return _encode(fields).replace("\x7f", "\\u007f") + "\n"


def _time(when: float) -> str:
    """
    Write a time as RFC 3339 has it.
    """
    second = int(when // 1)
    return f"{_second(second)}.{int((when - second) * 1_000_000):06}Z"


# Most lines are of the same seconds as the one before, and each takes 2 us.
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
    Give the name that a client has given to its end of a UNIX socket. (Twisted has
    some of them in text.)
    """
    name: bytes | str = address.name or b""
    return name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name


def _cut(text: str) -> str:
    """
    Shorten what is too long, and replace what UTF-8 cannot have.
    """
    if len(text) > MAX_TEXT:
        text = f"{text[: MAX_TEXT - 3]}..."
    return text.encode("utf-8", "replace").decode()


def _text(text: str) -> str:
    return escape(_cut(text).encode())


def _word(text: str) -> str:
    """
    Make a text one word of printable characters.
    """
    return _text(text).replace(" ", "\\x20") or "-"
