"""
Connections that begin with a PROXY header: a proxy says first for whom it speaks.

Twisted's C{haproxy:} endpoint has gaps that this module closes: it drops a header
whose first piece is shorter than 16 bytes (8 in version 1), it waits for one without
limit, it takes it from anybody, C{connectionMade} does not know the client yet, and
its wrapper hides the half-close of the connection, so that answers are lost.
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
from upperproto.ways.proxyheader import parse

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

# From where a header is taken by default.
LOOPBACK = ("127.0.0.0/8", "::1/128")


class PendingProxyHeader(PendingProtocol):
    """
    Wait for a PROXY header.

    A protocol that provides L{IPeerAware} is told the client's address. Any other
    protocol has only C{transport.getPeer()}, which is the proxy's.
    """

    awaited = "PROXY header"

    transport: Any
    _received = b""

    def dataReceived(self, data: bytes) -> None:
        """
        Collect the header. When it is complete, let the client in.
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
        # As Twisted's startTLS does: nothing remains in between.
        transport.protocol = inner
        inner.makeConnection(transport)
        if rest:
            inner.dataReceived(rest)


class _Refused(Protocol):
    """
    Closes its connection. Were there no protocol, the listener would take the
    connection for one that could not be accepted.
    """

    logContext = False

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()


class ProxyFactory(PendingFactory):
    """
    Have a PROXY header waited for before each protocol that another factory builds.
    """

    protocol = PendingProxyHeader

    def __init__(
        self,
        pending: IPendingConnections,
        inner: Factory[Any],
        trusted: Iterable[Network],
    ) -> None:
        """
        @param pending: those that wait.
        @param inner: what builds the protocols.
        @param trusted: the proxies. Whoever else may connect could claim any
            address. Who may connect to a UNIX socket is for its mode to say.
        """
        super().__init__(pending, inner)
        self._trusted = tuple(trusted)

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """
        Build what waits for a proxy's header; close the connection of anybody else.
        """
        if isinstance(addr, (IPv4Address, IPv6Address)) and not self._trusts(addr.host):
            self.pending.refused(addr, "not a proxy of --proxy-from")
            return _Refused()
        return super().buildProtocol(addr)

    def _trusts(self, host: str) -> bool:
        address = ipaddress.ip_address(host)
        # An IPv6 socket has IPv4 clients under addresses such as ::ffff:127.0.0.1.
        if isinstance(address, ipaddress.IPv6Address):
            address = address.ipv4_mapped or address
        return any(address in network for network in self._trusted)

    def logPrefix(self) -> str:
        """
        Name the inner factory in the log, and what comes before it.
        """
        return f"{super().logPrefix()} (PROXY)"
