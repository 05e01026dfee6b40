"""
Listening: on an endpoint, or not at all, and without spinning.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterable
from typing import Any

from twisted.application.service import Service
from twisted.internet import tcp, unix
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import (
    IDelayedCall,
    IProtocolFactory,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.python import log
from twisted.python.failure import Failure

from upperproto.ways import systemd

# For how many seconds a port that cannot accept is left alone.
ACCEPT_AGAIN = 0.1

# How many connections are accepted at a time. Twisted's own number grows for as
# long as more wait, and a client that is cut off keeps its descriptor until the
# next turn: these must fit into what L{upperproto.limits.descriptors} leaves to spare.
ACCEPTS = 32


class CannotStart(SystemExit, Exception):
    """
    The service cannot start. The message is for the person who started it.

    It ends the process with this message and status 1 instead of a traceback,
    because it is a L{SystemExit}; and C{twistd} removes its PID file and tells
    the parent of a daemon, because it is an L{Exception}.
    """


def endpointFrom(reactor: Any, description: str) -> IStreamServerEndpoint:
    """
    Make an endpoint from its description.

    @param reactor: what it will listen on.
    @param description: a server endpoint, as Twisted describes it.
    @return: the endpoint.
    @raise CannotStart: if it is not one.
    """
    if description.startswith("systemd:"):
        systemd.nameSockets()
    try:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, description)
        return endpoint
    except Exception as error:
        raise CannotStart(f"upper: not an endpoint: {description}: {error}") from error


def listen(endpoint: IStreamServerEndpoint, factory: IProtocolFactory) -> Any:
    """
    Listen on an endpoint, now or not at all.

    @param endpoint: where. It must know at once whether it can.
    @param factory: what serves the connections.
    @return: the port.
    @raise Exception: what keeps it from listening.
    """
    results: list[Any] = []
    maybeDeferred(endpoint.listen, factory).addBoth(results.append)
    if not results:
        raise RuntimeError("the endpoint does not know at once whether it can listen")
    [result] = results
    if isinstance(result, Failure):
        result.raiseException()
    return result


class InheritedUNIXPort(unix.Port):
    """
    A UNIX socket that was bound by whoever started this process.

    Twisted's own port takes it for its own: it makes it open to everybody, with
    a backlog of 50, and at the end it shuts it down and removes it, although
    others may listen on it now and later.
    """

    _shouldShutdown = False

    def __init__(
        self, descriptor: int, factory: IProtocolFactory, reactor: Any
    ) -> None:
        """
        @param descriptor: the listening socket.
        @param factory: what serves the connections.
        @param reactor: what accepts them.
        """
        self.socket = socket.fromfd(descriptor, socket.AF_UNIX, socket.SOCK_STREAM)
        # What a port of Twisted's does when it has its socket.
        self.fileno = self.socket.fileno  # type: ignore[method-assign]
        super().__init__(self.socket.getsockname(), factory, reactor=reactor)

    def startListening(self) -> None:
        """
        Accept connections.
        """
        assert self.factory is not None
        prefix, host = self._getLogPrefix(self.factory), self.getHost()
        log.msg(f"{prefix} starting on {os.fsdecode(host.name)!r}")
        self.factory.doStart()
        self.connected = True
        self.numberAccepts = 100
        self.startReading()

    def connectionLost(self, reason: Failure) -> None:
        """
        Close this process's copy of the socket.
        """
        tcp.Port.connectionLost(self, reason)


class Inheriting:
    """
    Stands in for the reactor where endpoints listen: they take the sockets that
    this process has inherited, if there are any for them.
    """

    def __init__(self, reactor: Any, descriptors: Iterable[int] = ()) -> None:
        """
        @param reactor: what it stands in for.
        @param descriptors: listening sockets, one for each endpoint; none if
            the endpoints are to make their own.
        """
        self._reactor = reactor
        self._descriptors = iter(descriptors)
        # It is asked for the time with each chunk.
        self.seconds = reactor.seconds

    def __getattr__(self, name: str) -> Any:
        """
        All else is the reactor's own.
        """
        return getattr(self._reactor, name)

    def listenTCP(self, port: Any, factory: IProtocolFactory, **options: Any) -> Any:
        """
        Take the next socket, or listen as the reactor does.
        """
        for descriptor in self._descriptors:
            return self._adopt(descriptor, factory)
        return self._reactor.listenTCP(port, factory, **options)

    def listenUNIX(self, path: Any, factory: IProtocolFactory, **options: Any) -> Any:
        """
        Take the next socket, or listen as the reactor does.
        """
        for descriptor in self._descriptors:
            return self._adopt(descriptor, factory)
        return self._reactor.listenUNIX(path, factory, **options)

    def adoptStreamPort(
        self, descriptor: int, family: int, factory: IProtocolFactory
    ) -> Any:
        """
        Take the next socket, or the one that the endpoint knows of.
        """
        return self._adopt(next(self._descriptors, descriptor), factory)

    def _adopt(self, descriptor: int, factory: IProtocolFactory) -> Any:
        with socket.socket(fileno=os.dup(descriptor)) as inherited:
            family = inherited.family
            inherited.setblocking(False)
        if family != socket.AF_UNIX:
            return self._reactor.adoptStreamPort(descriptor, family, factory)
        port = InheritedUNIXPort(descriptor, factory, self._reactor)
        port.startListening()
        return port


class Listener(Service):
    """
    Listen on an endpoint for as long as the service runs.

    Unlike Twisted's own service for endpoints, it ends a process that cannot
    listen with a message instead of a traceback. And it waits a little after
    an accept that failed for want of descriptors or memory: the connection
    stays in the queue, so that the reactor would call again at once, and log
    the same error, for as long as the shortage lasts.
    """

    def __init__(
        self,
        endpoint: IStreamServerEndpoint,
        factory: IProtocolFactory,
        clock: IReactorTime,
    ) -> None:
        """
        @param endpoint: where to listen. It must know at once whether it can.
        @param factory: what serves the connections.
        @param clock: what tells the time.
        """
        self._endpoint = endpoint
        self._factory = factory
        self._clock = clock
        self._port: Any = None
        self._again: IDelayedCall | None = None

    def privilegedStartService(self) -> None:
        """
        Listen, as C{twistd} asks while the process has its privileges.

        @raise CannotStart: where the system refuses.
        """
        super().privilegedStartService()
        try:
            port = listen(self._endpoint, self._factory)
        except Exception as error:
            raise CannotStart(f"upper: {error}") from error
        self._port = port
        if isinstance(port, tcp.Port):
            self._doRead = port.doRead
            # abortConnection replaces a method of a transport likewise.
            port.doRead = self._accept  # type: ignore[method-assign]

    def startService(self) -> None:
        """
        Listen, if L{privilegedStartService} has not.

        @raise CannotStart: where the system refuses.
        """
        super().startService()
        if self._port is None:
            self.privilegedStartService()

    def stopService(self) -> Deferred[None]:
        """
        Refuse new connections.

        @return: fires when they are refused.
        """
        super().stopService()
        if self._again is not None:
            self._again.cancel()
            self._again = None
        port, self._port = self._port, None
        stopped: Deferred[None] | None = port.stopListening()
        return succeed(None) if stopped is None else stopped

    def _accept(self) -> None:
        """
        Accept, in place of the port's own C{doRead}.
        """
        port = self._port
        accepted = port.sessionno
        port.numberAccepts = min(port.numberAccepts, ACCEPTS)
        self._doRead()
        if port.sessionno == accepted and self._readable():
            port.stopReading()
            self._again = self._clock.callLater(ACCEPT_AGAIN, self._acceptAgain)

    def _readable(self) -> bool:
        """
        Whether a connection waits that could not be accepted. Otherwise it was
        aborted, or another process was faster.
        """
        poll = select.poll()
        poll.register(self._port.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def _acceptAgain(self) -> None:
        self._again = None
        self._port.startReading()
