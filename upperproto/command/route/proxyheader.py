"""
The PROXY header that a load balancer sends first (PROXY protocol, version 2).
"""

from __future__ import annotations

import socket
import struct
from typing import Any, NamedTuple

from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
# Version 2, and the command PROXY.
_PROXY = 0x21
_STREAM = {socket.AF_INET: 0x11, socket.AF_INET6: 0x21}


class Source(NamedTuple):
    """
    The address of a client, as a load balancer passes it on.
    """

    family: socket.AddressFamily
    host: str
    port: int


def source(word: str) -> Source:
    """
    Read the value of C{--proxy-header}.

    @param word: C{ADDRESS:PORT} or C{[IPv6]:PORT}.
    @raise ValueError: if it is neither. The message says what is right.
    """
    host, colon, port = word.rpartition(":")
    if colon and port.isascii() and port.isdigit() and int(port) < 65536:
        for family, address in (
            (socket.AF_INET, host),
            (socket.AF_INET6, host.removeprefix("[").removesuffix("]")),
        ):
            if (family == socket.AF_INET6) != (host[:1] == "["):
                continue
            try:
                socket.inet_pton(family, address)
            except OSError:
                continue
            return Source(family, address, int(port))
    raise ValueError("ADDRESS:PORT, as 192.0.2.1:40000 or [2001:db8::1]:40000")


def header(source: Source, destination: Any) -> bytes:
    """
    Make a PROXY header.

    @param source: the address of the client.
    @param destination: the address of the server, as a transport gives it. If its
        family is not that of the client, the unspecified address takes its place.
    """
    unspecified = "::" if source.family == socket.AF_INET6 else "0.0.0.0"
    host, port = getattr(destination, "host", ""), getattr(destination, "port", 0)
    try:
        packed = socket.inet_pton(source.family, host.partition("%")[0])
    except OSError:
        packed, port = socket.inet_pton(source.family, unspecified), 0
    addresses = (
        socket.inet_pton(source.family, source.host)
        + packed
        + struct.pack("!HH", source.port, port)
    )
    head = struct.pack("!BBH", _PROXY, _STREAM[source.family], len(addresses))
    return _SIGNATURE + head + addresses


@implementer(IHalfCloseableProtocol)
class _HeaderFirst(Protocol):
    """
    Send the header, and then pass everything on to the protocol inside.
    """

    transport: Any

    def __init__(self, source: Source, inner: Any) -> None:
        self._source = source
        self._inner = inner

    def connectionMade(self) -> None:
        self.transport.write(header(self._source, self.transport.getPeer()))
        self._inner.makeConnection(self.transport)

    def dataReceived(self, data: bytes) -> None:
        self._inner.dataReceived(data)

    def readConnectionLost(self) -> None:
        if IHalfCloseableProtocol.providedBy(self._inner):
            self._inner.readConnectionLost()
        else:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        if IHalfCloseableProtocol.providedBy(self._inner):
            self._inner.writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._inner.connectionLost(reason)


class HeaderFactory(ClientFactory):
    """
    Build protocols that send a PROXY header first.
    """

    noisy = False

    def __init__(self, source: Source, inner: Any) -> None:
        """
        @param source: the address of the client.
        @param inner: the factory of the protocols inside.
        """
        self._source = source
        self._inner = inner

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """
        Build a protocol, inside one that sends the header.
        """
        return _HeaderFirst(self._source, self._inner.buildProtocol(addr))
