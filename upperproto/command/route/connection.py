"""
A connection to the server, from its name to where it can be spoken on, with the
time that each part takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
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
from upperproto.command.route.proxyheader import HeaderFactory
from upperproto.command.route.target import Target, secure

if TYPE_CHECKING:
    from upperproto.tls.peer import TLSDetails

# How long, in seconds, a connection and a handshake may take where an answer may
# take for ever: as long as Twisted gives a connection.
CONNECT_TIMEOUT = 30.0


class Opened(NamedTuple):
    """
    A connection that can be spoken on.

    @ivar address: whom it leads to.
    @ivar connectSeconds: how long it took to connect.
    @ivar tlsSeconds: how long the TLS handshake took; L{None} without TLS.
    @ivar tls: what the server has shown then.
    """

    address: str
    connectSeconds: float
    tlsSeconds: float | None
    tls: TLSDetails | None


@implementer(IHandshakeListener)
class _Opening(Protocol):
    """
    Wait until a connection can be spoken on: the server is there and, over TLS, is
    who it should be. Then be as good as the protocol inside.
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
        # Twisted 24.3 tells so even where the name was found to be wrong; then
        # it has already given the connection up.
        if not self.transport.disconnecting and not self._open:
            from upperproto.tls.peer import describe

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
            # Somebody else may have ended it.
            reason = Failure(ConnectionLost())
        if self._open:
            self._inner.connectionLost(reason)
        elif not self.opened.called:
            credentials = self._connector.target.credentials
            name = "" if credentials is None else credentials.name
            code, why = whyLost(reason.value, self.transport, True, name)
            # What the server has shown of itself, although it is not trusted.
            with suppress(Exception):
                from upperproto.tls.peer import describe

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


class _OpeningFactory(ClientFactory):
    noisy = False

    def __init__(self, opening: _Opening) -> None:
        self._opening = opening

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return self._opening


class Connector:
    """
    Make connections to a server.

    @ivar target: the server.
    @ivar timeout: how long each wait for the network may take, in seconds;
        L{None} for ever.
    @ivar now: tells the time, in seconds since whenever.
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
        @raise WrongUsage: if the target's endpoint is none.
        @raise NoDestination: where TLS cannot be had like this.
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
        Call something when the time for one wait is up, if there is a limit.
        """
        if self.timeout is None:
            return None
        delayed: IDelayedCall = self._reactor.callLater(self.timeout, call)
        return delayed

    async def resolve(self) -> list[Address]:
        """
        Find the server's addresses.

        @return: them; none for an endpoint, which finds its own.
        @raise NotConnected: where there are none.
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
        Connect to the server, and wait until the connection can be spoken on.

        @param protocol: is connected then.
        @param addresses: those to try; by default all of the server's.
        @param creator: what makes its TLS, in place of the target's.
        @param plain: whether to do without TLS, although the target has it.
        @raise NotConnected: where that fails.
        """
        if not addresses:
            addresses = await self.resolve()
        opening = _Opening(protocol, self)
        factory: Any = _OpeningFactory(opening)
        creator = creator or self._creator
        if creator is not None and not plain:
            factory = secure(creator, factory, self._reactor, opening.truncated)
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
    Name whom a connection leads to.
    """
    host, port = getattr(peer, "host", None), getattr(peer, "port", None)
    if host is None or port is None:
        return name
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
