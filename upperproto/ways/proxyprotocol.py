"""
The PROXY protocol, versions 1 and 2: a proxy says first for whom it speaks.

See U{the specification<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>}.
Twisted's C{haproxy:} endpoint has four gaps that this module closes: it drops a
header whose first piece is shorter than 16 bytes (8 in version 1), it waits for
one without limit, it takes it from anybody, and its wrapper hides the half-close
of the connection, so that answers are lost.

Twisted's parsers are used as they are. They live in private modules; this much
is relied on, unchanged from Twisted 24.3 to 26.10: C{feed} takes the first bytes
of a connection, at least 16 of them in version 2; it gives the C{ProxyInfo} with
the bytes that follow the header, or two L{None} if the header is incomplete; it
raises C{InvalidProxyHeader} or L{ValueError} for what is no header.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any, TypeAlias

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.haproxy._exceptions import InvalidProxyHeader
from twisted.protocols.haproxy._v1parser import V1Parser
from twisted.protocols.haproxy._v2parser import V2Parser

from upperproto.factory import UpperFactory
from upperproto.reactor import transports as eager
from upperproto.ways.handshake import Door, DoorFactory

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

# From where a header is taken by default.
LOOPBACK = ("127.0.0.0/8", "::1/128")

# The longest header of version 1, and the fixed part of one of version 2.
_V1_MOST = 107
_V2_LEAST = 16

_V1_START = V1Parser.PROXYSTR + b" "
# The parser wants a space after the word, which the specification does not.
_V1_UNKNOWN = b"PROXY UNKNOWN\r\n"


def parseHeader(received: bytes) -> tuple[IAddress | None, bytes] | None:
    """
    Parse a PROXY header.

    @param received: all that a connection has brought so far.
    @return: the client's address, or L{None} where the proxy speaks for itself
        or does not know; and what follows the header. L{None} alone if the
        header is incomplete.
    @raise ValueError: for what is not a header, and cannot become one.
    """
    parser: V1Parser | V2Parser
    if received.startswith(V2Parser.PREFIX):
        if len(received) < _V2_LEAST:
            return None
        parser = V2Parser()
    elif received.startswith(_V1_START):
        if len(received) <= _V1_MOST and b"\r\n" not in received:
            return None
        if received.startswith(_V1_UNKNOWN):
            return None, received[len(_V1_UNKNOWN) :]
        parser = V1Parser()
    elif V2Parser.PREFIX.startswith(received) or _V1_START.startswith(received):
        return None
    else:
        raise ValueError("no PROXY header")
    try:
        info, rest = parser.feed(received)
        if info is None or rest is None:
            return None
        return _checked(info.source), rest
    except (InvalidProxyHeader, ValueError) as error:
        raise ValueError("an invalid PROXY header") from error


def _checked(address: IAddress | None) -> IAddress | None:
    """
    Make sure that an address is one, in its only spelling: the parsers do not,
    and it goes into logs and is counted.
    """
    if not isinstance(address, (IPv4Address, IPv6Address)):
        return address
    if not 0 <= address.port <= 65535 or "%" in address.host:
        raise ValueError(address)
    if isinstance(address, IPv4Address):
        host: object = ipaddress.IPv4Address(address.host)
    else:
        host = ipaddress.IPv6Address(address.host)
    return type(address)("TCP", str(host), address.port)


class ProxyDoor(Door):
    """
    Wait for a PROXY header.
    """

    asked = "PROXY header"

    def __init__(self, service: UpperFactory, inner: IProtocol) -> None:
        """
        @param service: what counts those who wait.
        @param inner: the protocol behind the door.
        """
        super().__init__(service, inner)
        self._received = b""

    def dataReceived(self, data: bytes) -> None:
        """
        Collect the header. When it is complete, let the client in, under its
        own address.
        """
        self._received += data
        try:
            parsed = parseHeader(self._received)
        except ValueError as error:
            self.refuse(str(error))
            return
        if parsed is not None and self.leave():
            source, rest = parsed
            transport = self.transport
            if source is not None:
                # The protocol cannot tell which way a client came.
                transport.getPeer = lambda: source  # type: ignore[method-assign]
            transport.protocol = self.inner
            self.inner.makeConnection(transport)
            if rest:
                self.inner.dataReceived(rest)


class _Stranger(Protocol):
    """
    Closes its connection. Were there no protocol, the listener would take the
    connection for one that could not be accepted.
    """

    def connectionMade(self) -> None:
        eager.close(self.transport)


class ProxyFactory(DoorFactory):
    """
    Put a L{ProxyDoor} before each protocol that another factory builds.
    """

    door = ProxyDoor

    def __init__(
        self, service: UpperFactory, inner: Factory[Any], trusted: Iterable[Network]
    ) -> None:
        """
        @param service: what counts those who wait at the door.
        @param inner: what builds the protocols behind it.
        @param trusted: the proxies. Whoever else may connect could claim any
            address. Who may connect to a UNIX socket is for its mode to say.
        """
        super().__init__(service, inner)
        self._trusted = tuple(trusted)

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """
        Build a door for a proxy; close the connection of anybody else.
        """
        if isinstance(addr, (IPv4Address, IPv6Address)) and not self._trusts(addr.host):
            self.service.refused(addr, "not a proxy of --proxy-from")
            return _Stranger()
        return super().buildProtocol(addr)

    def _trusts(self, host: str) -> bool:
        address = ipaddress.ip_address(host)
        # An IPv6 socket has IPv4 clients under addresses such as ::ffff:127.0.0.1.
        if isinstance(address, ipaddress.IPv6Address):
            address = address.ipv4_mapped or address
        return any(address in network for network in self._trusted)

    def logPrefix(self) -> str:
        """
        Name the inner factory in the log, and what stands before it.
        """
        return f"{super().logPrefix()} (PROXY)"
