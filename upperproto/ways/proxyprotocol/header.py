"""
Parse PROXY headers, versions 1 and 2: bytes in, the client's address out.

This follows sections 2.1 and 2.2 of U{the specification
<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>} exactly. Every other
header is refused as soon as it is certainly wrong. The pieces in which a header comes
make no difference. The specification leaves some choices:

  - An IPv6 address may end in an IPv4 address (C{::ffff:192.0.2.1}). C{inet_ntop} and
    HAProxy write it so.
  - Version 2 may name a client of UDP or of a UNIX socket. With C{UNSPEC}, the address
    is that of the proxy. With C{LOCAL}, everything after the length is skipped.
  - The only additional field (TLV) that is read is the checksum.
"""

from __future__ import annotations

import socket
from functools import cache
from struct import Struct
from typing import Literal

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress

# The longest header of version 1, its CRLF included.
_MAX_VERSION_1 = 107

# The longest header of version 2. Its length field allows 65,551 bytes, but many
# connections may wait, and each needs memory. HAProxy sends and accepts at most one
# buffer, 16 KiB by default; nginx accepts 4 KiB.
MAX_HEADER = 16384

_VERSION_1 = b"PROXY "
_UNKNOWN = (b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ")
_FAMILIES = {b"PROXY TCP4 ": socket.AF_INET, b"PROXY TCP6 ": socket.AF_INET6}
# The characters of addresses and ports in version 1.
_CHARACTERS = b"0123456789abcdefABCDEF.: "

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
# The signature, the version and command, the family and protocol, and how many bytes
# follow.
_VERSION_2 = Struct("!12sBBH")
_LOCAL, _PROXY = 0x20, 0x21
_UNSPEC, _INET, _INET6, _UNIX = range(4)
_TRANSPORTS: dict[int, Literal["TCP", "UDP"]] = {1: "TCP", 2: "UDP"}
# The addresses of both sides, the client's first, and the ports.
_ADDRESSES = {
    _INET: Struct("!4s4sHH"),
    _INET6: Struct("!16s16sHH"),
    _UNIX: Struct("!108s108s"),
}
# Type and length of an additional field.
_FIELD = Struct("!BH")
_CHECKSUM, _CHECKSUM_SIZE = 0x03, 4


def parse(received: bytes) -> tuple[IAddress | None, bytes] | None:
    """
    Parse a PROXY header.

    @param received: everything that has come on a connection.
    @return: the address of the client, and the bytes after the header. The address is
        L{None} if the proxy speaks for itself or does not know the client. L{None} in
        place of both if the header is incomplete.
    @raise ValueError: for bytes that cannot be the start of a header. The message has
        none of these bytes.
    """
    if received.startswith(_VERSION_1):
        return _parseVersion1(received)
    if received.startswith(_SIGNATURE):
        return _parseVersion2(received)
    if _VERSION_1.startswith(received) or _SIGNATURE.startswith(received):
        return None
    raise ValueError("no PROXY header")


def _invalid(why: str) -> ValueError:
    return ValueError(f"an invalid PROXY header ({why})")


def _parseVersion1(received: bytes) -> tuple[IAddress | None, bytes] | None:
    line, end, _ = received[:_MAX_VERSION_1].partition(b"\r\n")
    if not end and len(received) >= _MAX_VERSION_1:
        raise _invalid(f"no CRLF within {_MAX_VERSION_1} bytes")
    rest = received[len(line) + len(end) :]
    for start in (*_UNKNOWN, *_FAMILIES):
        if received.startswith(start):
            break
        if start.startswith(received):
            return None
    else:
        raise _invalid("not TCP4, TCP6 or UNKNOWN")
    if start in _UNKNOWN:
        return (None, rest) if end else None
    fields = line[len(start) :]
    # The LF of the CRLF may come later.
    if (fields if end else fields.removesuffix(b"\r")).translate(None, _CHARACTERS):
        raise _invalid("not an address or a port")
    if not end:
        return None
    words = fields.decode("ascii").split(" ")
    if len(words) != 4:
        raise _invalid("not two addresses and two ports")
    family = _FAMILIES[start]
    source, _ = (_parseAddress(family, word) for word in words[:2])
    port, _ = (_parsePort(word) for word in words[2:])
    kind = IPv4Address if family == socket.AF_INET else IPv6Address
    return kind("TCP", source, port), rest


def _parseAddress(family: socket.AddressFamily, word: str) -> str:
    """
    Parse an address, and write it in its usual form, for the log and the caps.
    """
    try:
        return socket.inet_ntop(family, socket.inet_pton(family, word))
    except OSError:
        raise _invalid("not an address of this family") from None


def _parsePort(word: str) -> int:
    if not word.isdigit() or str(int(word)) != word or int(word) > 65535:
        raise _invalid("not a port")
    return int(word)


def _parseVersion2(received: bytes) -> tuple[IAddress | None, bytes] | None:
    if len(received) < _VERSION_2.size:
        return None
    _, command, kind, length = _VERSION_2.unpack_from(received)
    if command not in (_LOCAL, _PROXY):
        raise _invalid("not version 2, or not LOCAL or PROXY")
    end = _VERSION_2.size + length
    if end > MAX_HEADER:
        raise _invalid(f"longer than {MAX_HEADER} bytes")
    if len(received) < end:
        return None
    header, rest = received[:end], received[end:]
    return (None if command == _LOCAL else _parseProxied(header, kind)), rest


def _parseProxied(header: bytes, kind: int) -> IAddress | None:
    """
    Parse the addresses of a header of version 2.
    """
    family, protocol = kind >> 4, kind & 0xF
    if family > _UNIX or protocol > max(_TRANSPORTS):
        raise _invalid("an unknown family or protocol")
    if _UNSPEC in (family, protocol):
        return None
    addresses = _ADDRESSES[family]
    start = _VERSION_2.size
    if len(header) < start + addresses.size:
        raise _invalid("too short for its addresses")
    source, _, *ports = addresses.unpack_from(header, start)
    _check(header, start + addresses.size)
    if family == _UNIX:
        # Its path belongs to another machine. Twisted would look for it on this one,
        # each time when it compares two addresses.
        return UNIXAddress(None)
    transport = _TRANSPORTS[protocol]
    if family == _INET:
        host = socket.inet_ntop(socket.AF_INET, source)
        return IPv4Address(transport, host, ports[0])
    host = socket.inet_ntop(socket.AF_INET6, source)
    return IPv6Address(transport, host, ports[0])


def _check(header: bytes, start: int) -> None:
    """
    Check that the additional fields are complete, and the checksum if there is one.

    @param header: the whole header.
    @param start: the index of the first additional field.
    """
    checksum = None
    while start < len(header):
        if start + _FIELD.size > len(header):
            raise _invalid("an incomplete field")
        kind, length = _FIELD.unpack_from(header, start)
        start += _FIELD.size + length
        if start > len(header):
            raise _invalid("an incomplete field")
        if kind == _CHECKSUM:
            if checksum is not None or length != _CHECKSUM_SIZE:
                raise _invalid("not one checksum")
            checksum = start - length
    if checksum is not None:
        before, after = header[:checksum], header[checksum + _CHECKSUM_SIZE :]
        sent = header[checksum : checksum + _CHECKSUM_SIZE]
        if crc32c(before + bytes(_CHECKSUM_SIZE) + after) != int.from_bytes(
            sent, "big"
        ):
            raise _invalid("a wrong checksum")


def crc32c(data: bytes) -> int:
    """
    Compute a CRC32c (RFC 4960, appendix B), which Python does not have.

    @param data: at most a header. 16 KiB take some milliseconds.
    """
    table, crc = _crcTable(), 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


@cache
def _crcTable() -> list[int]:
    """
    Compute the remainder of each byte, once, for the first checksum.
    """
    table = list(range(256))
    for _ in range(8):
        table = [crc >> 1 ^ (crc & 1) * 0x82F63B78 for crc in table]
    return table
