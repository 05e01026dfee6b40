"""
A connection to the server: name, TCP and TLS, and the time that each of them takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IDelayedCall,
    IHandshakeListener,
    ISSLTransport,
)
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from zope.interface import implementer

from upperproto.command.errors import NotConnected, whyLost, whyNotConnected
from upperproto.command.route.addresses import Address, Attempts, lookUp
from upperproto.command.route.endpoint import hostAndPort
from upperproto.command.route.proxyheader import HeaderFactory
from upperproto.command.route.target import Target

if TYPE_CHECKING:
    from upperproto.tls.certificates.serverdetails import TLSDetails

# How long, in seconds, a connection and a handshake may take if no timeout is set:
# Twisted's own limit of a connection.
CONNECT_TIMEOUT = 30.0


class Opened(NamedTuple):
    """
    An open connection, and how long it took.

    @ivar address: the address of the server.
    @ivar connectSeconds: how long it took to connect.
    @ivar tlsSeconds: how long the TLS handshake took; L{None} without TLS.
    @ivar tls: what the server showed in the handshake.
    """

    address: str
    connectSeconds: float
    tlsSeconds: float | None
    tls: TLSDetails | None


@implementer(IHandshakeListener)
class _Opening(Protocol):
    """
    Wait until a connection is open: with TLS, until the certificate is verified. After
    that, pass everything on to the protocol inside.
    """

    # What the endpoints give us; TLS wraps it and forwards the rest.
    transport: Connection

    _handshake: IDelayedCall | None = None
    _open = _isTruncated = False
    connectedAt = securedAt = 0.0
    details: TLSDetails | None = None

    def __init__(self, inner: Protocol, connector: Connector) -> None:
        self.opened: Deferred[None] = Deferred()
        self._inner = inner
        self._connector = connector

    def connectionMade(self) -> None:
        connector = self._connector
        self.connectedAt = connector.now()
        # A UNIX socket has no such option.
        with suppress(AttributeError, OSError):
            self.transport.setTcpNoDelay(True)
        if ISSLTransport.providedBy(self.transport):
            self._handshake = connector.callLater(self._notInTime)
        else:
            self._begin()

    def handshakeCompleted(self) -> None:
        # Twisted 24.3 calls this even if the certificate has a wrong name. Then it
        # has already started to close the connection.
        if not self.transport.disconnecting and not self._open:
            from upperproto.tls.certificates.serverdetails import describe

            self.securedAt = self._connector.now()
            tls: Any = self.transport
            self.details = describe(tls.getHandle())
            self._begin()

    def dataReceived(self, data: bytes) -> None:
        self._inner.dataReceived(data)

    def truncated(self, protocol: object) -> None:
        """
        The server's stream has ended without a close_notify.
        """
        self._isTruncated = True

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._cancelTimer()
        if self._isTruncated and reason.check(ConnectionDone):
            # It may have been cut by somebody between us and the server.
            reason = Failure(ConnectionLost())
        if self._open:
            self._inner.connectionLost(reason)
        elif not self.opened.called:
            credentials = self._connector.target.credentials
            name = "" if credentials is None else credentials.name
            code, why = whyLost(reason.value, self.transport, True, name)
            # Keep what the server showed, although it is not trusted.
            with suppress(Exception):
                from upperproto.tls.certificates.serverdetails import describe

                tls: Any = self.transport
                self.details = describe(tls.getHandle())
            self.opened.errback(NotConnected(code, why))

    def _begin(self) -> None:
        self._cancelTimer()
        self._open = True
        self._inner.makeConnection(self.transport)
        self.opened.callback(None)

    def _notInTime(self) -> None:
        self._handshake = None
        seconds = self._connector.timeout
        self.opened.errback(
            NotConnected(
                "tls",
                f"no TLS handshake within {seconds:g} s: does the server speak TLS?",
            )
        )
        self.transport.abortConnection()

    def _cancelTimer(self) -> None:
        if self._handshake is not None:
            self._handshake.cancel()
            self._handshake = None


class Connector:
    """
    Make connections to a server.

    @ivar target: the server.
    @ivar timeout: how long each wait for the network may take, in seconds; L{None} for
        no limit.
    @ivar now: tells the time, in seconds since any moment.
    """

    def __init__(
        self,
        target: Target,
        reactor: Any,
        timeout: float | None = CONNECT_TIMEOUT,
        now: Callable[[], float] = perf_counter,
        lookUp: Callable[..., Deferred[list[Address]]] = lookUp,
    ) -> None:
        """
        @param target: the server.
        @param reactor: what connects.
        @param timeout: how long each wait for the network may take, in seconds.
        @param now: tells the time.
        @param lookUp: finds addresses.
        @raise WrongUsage: if the target's endpoint is not valid.
        @raise NoDestination: if the files for TLS are not usable.
        """
        self.target = target
        self.timeout = timeout
        self.now = now
        self._reactor = reactor
        self._lookUp = lookUp
        self._endpoint = target.endpointOn(reactor)
        self._creator = target.tls()

    def callLater(self, call: Callable[[], None]) -> IDelayedCall | None:
        """
        Call a function when the time for one wait is over, if there is a limit.
        """
        if self.timeout is None:
            return None
        delayed: IDelayedCall = self._reactor.callLater(self.timeout, call)
        return delayed

    async def resolve(self) -> list[Address]:
        """
        Find the server's addresses.

        @return: the addresses; none for an endpoint, which finds its own.
        @raise NotConnected: if there are none.
        """
        target = self.target
        if target.host is None:
            return []
        found = self._lookUp(self._reactor, target.host, target.port, target.family)
        try:
            return list(dict.fromkeys(await self._inTime(found)))
        except Exception as error:
            raise self._failed("no-host", whyNotConnected(error).words) from error

    async def connect(
        self,
        protocol: Protocol,
        addresses: Sequence[Address] = (),
        creator: Any = None,
        plain: bool = False,
    ) -> Opened:
        """
        Connect to the server, with TLS if the target has it.

        @param protocol: gets the connection when it is open.
        @param addresses: the addresses to try; by default all of the server.
        @param creator: makes the TLS side, in place of the target's.
        @param plain: whether to use no TLS, even if the target has it.
        @raise NotConnected: if that fails.
        """
        if not addresses:
            addresses = await self.resolve()
        opening = _Opening(protocol, self)
        factory: Any = ClientFactory.forProtocol(lambda: opening)
        creator = creator or self._creator
        if creator is not None and not plain:
            from upperproto.tls.factory import TLSFactory, clientSide

            factory = TLSFactory(
                clientSide(creator), factory, self._reactor, opening.truncated
            )
        if self.target.source is not None:
            factory = HeaderFactory(self.target.source, factory)
        started = self.now()
        try:
            if self._endpoint is not None:
                reached = self._endpoint.connect(factory)
            else:
                reached = Attempts(self._reactor, addresses, factory).connected
            await self._inTime(reached)
        except Exception as error:
            raise self._failed(*whyNotConnected(error)) from error
        try:
            await opening.opened
        except NotConnected as error:
            error.details = opening.details
            raise
        peer = opening.transport.getPeer()
        secured = opening.securedAt
        return Opened(
            _peerName(peer, self.target.name),
            opening.connectedAt - started,
            secured - opening.connectedAt if secured else None,
            opening.details,
        )

    async def _inTime(self, waiting: Deferred[Any]) -> Any:
        if self.timeout is not None:
            waiting.addTimeout(self.timeout, self._reactor)
        return await waiting

    def _failed(self, code: str, why: str) -> NotConnected:
        return NotConnected(code, why, f"cannot connect to {self.target.name}: {why}")


def _peerName(peer: Any, name: str) -> str:
    """
    Get the address of the other side, or the target's name if it has none.
    """
    host, port = getattr(peer, "host", None), getattr(peer, "port", None)
    if host is None or port is None:
        return name
    return hostAndPort(host, port)
