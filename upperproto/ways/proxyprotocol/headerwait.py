"""
Wait for the PROXY header, in which a proxy sends the address of the client before
anything else.

Twisted's C{haproxy:} endpoint has problems that this module does not have. It drops a
header whose first piece is shorter than 16 bytes (8 in version 1). It waits for a
header without a time limit. It accepts headers from everybody. C{connectionMade} does
not know the client yet. And its wrapper has no half-close, so answers are lost.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any, TypeAlias

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol

from upperproto.interfaces import IPeerAware, IPendingConnections
from upperproto.ways.handshake import PendingFactory, PendingProtocol
from upperproto.ways.proxyprotocol.header import parse

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

# The networks whose headers are accepted by default.
LOOPBACK = ("127.0.0.0/8", "::1/128")


class PendingProxyHeader(PendingProtocol):
    """
    Wait for a PROXY header.

    A protocol that provides L{IPeerAware} gets the address of the client. Other
    protocols have only C{transport.getPeer()}, which is the proxy.
    """

    awaited = "PROXY header"

    transport: Any
    _received = b""

    def dataReceived(self, data: bytes) -> None:
        """
        Collect the header. When it is complete, start the protocol.
        """
        self._received += data
        try:
            header = parse(self._received)
        except ValueError as error:
            self.refuse(str(error))
            return
        if header is not None and self.leave():
            source, rest = header
            self._letIn(source, rest)

    def _letIn(self, source: IAddress | None, rest: bytes) -> None:
        inner, transport = self.inner, self.transport
        if source is not None and IPeerAware.providedBy(inner):
            inner.peer = source
        # As Twisted's startTLS does. This protocol is not needed any more.
        transport.protocol = inner
        inner.makeConnection(transport)
        if rest:
            inner.dataReceived(rest)


class _Refused(Protocol):
    """
    Close a connection. Without a protocol, a port would think that its accept failed.
    """

    logContext = False

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()


class ProxyFactory(PendingFactory):
    """
    Wait for a PROXY header before each protocol of another factory.
    """

    protocol = PendingProxyHeader

    def __init__(
        self,
        pending: IPendingConnections,
        inner: Factory[Any],
        trusted: Iterable[Network],
    ) -> None:
        """
        @param pending: the connections that wait.
        @param inner: builds the protocols.
        @param trusted: the proxies. Other clients could claim any address. For a UNIX
            socket, its mode decides who may connect.
        """
        super().__init__(pending, inner)
        self._trusted = tuple(trusted)

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """
        Wait for the header of a proxy; close the connection of any other client.
        """
        if isinstance(addr, (IPv4Address, IPv6Address)) and not self._trusts(addr.host):
            self.pending.refused(addr, "not a proxy of --proxy-from")
            return _Refused()
        return super().buildProtocol(addr)

    def _trusts(self, host: str) -> bool:
        address = ipaddress.ip_address(host)
        # On an IPv6 socket, an IPv4 client has an address such as ::ffff:127.0.0.1.
        if isinstance(address, ipaddress.IPv6Address):
            address = address.ipv4_mapped or address
        return any(address in network for network in self._trusted)

    def logPrefix(self) -> str:
        """
        Name the inner factory in the log, with the PROXY header.
        """
        return f"{super().logPrefix()} (PROXY)"
