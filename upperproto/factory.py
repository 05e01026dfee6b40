"""
L{UpperFactory}: the settings of one service, and its open connections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger
from zope.interface import implementer

# With this adapter, Twisted's own transports tell how much they have not sent.
import upperproto.reactor.unsentbytes  # noqa: F401 # Its import registers the adapter.
from upperproto.interfaces import (
    IConnectionLog,
    IServedConnection,
    IUpperService,
)
from upperproto.limits.caps import Caps
from upperproto.limits.drain import Drain
from upperproto.limits.idle import IdleTimeout
from upperproto.monitoring.connectionlog import ConnectionLog, clientName, peerName
from upperproto.protocol import UpperProtocol
from upperproto.rules import checkName, serverNotice

if TYPE_CHECKING:
    # Only who wants a status needs it.
    from upperproto.monitoring.counters import Counters


@implementer(IUpperService)
class UpperFactory(ServerFactory):
    """
    Build an L{UpperProtocol} for each connection, and keep the open ones.

    Without arguments, it answers line by line, without limits, log or timers.

    @ivar connections: the open connections, each with the time when it opened, in
        seconds of the clock.
    @ivar counters: count what the connections do; L{None} if nothing is counted.
    """

    _log = Logger()

    # Twisted declares any callable.
    protocol: type[UpperProtocol] = UpperProtocol  # type: ignore[assignment]
    noisy = logContext = False

    def __init__(
        self,
        errors: str = "strict",
        flushAfter: float | None = None,
        idleTimeout: float | None = None,
        maxConnections: int | None = None,
        maxPerPeer: int | None = None,
        maxRefused: int = 1024,
        log: Literal["none", "connections", "lines"] = "none",
        clock: IReactorTime | None = None,
        counters: Counters | None = None,
        name: str | None = None,
        accessLog: IConnectionLog | None = None,
    ) -> None:
        """
        @param errors: what to do with invalid UTF-8: C{strict} answers its line with an
            error; C{replace} and C{surrogateescape} are Python's codec error handlers
            of these names.
        @param flushAfter: answer an unfinished line when nothing new has come for so
            many seconds; never by default.
        @param idleTimeout: close a connection on which nothing has moved, in either
            direction, for so many seconds; never by default.
        @param maxConnections: how many clients are served at a time; any number
            by default.
        @param maxPerPeer: how many of these may come from one IPv4 address, or from
            one IPv6 network of 64 bits; any number by default.
        @param maxRefused: how many clients beyond these limits are told why, at the
            same time. More are closed without a word, so that a flood cannot use all
            descriptors.
        @param log: what is logged: C{none}; C{connections}, as they open and close;
            C{lines}, which adds texts and answers.
        @param clock: tells the time; by default the global reactor, if time is needed.
        @param counters: count what the connections do; nothing is counted by default.
        @param name: the name of this instance. Each client gets a notice first, with
            this name and its own address. By default it gets none.
        @param accessLog: the log of the connections, in place of what C{log} says.
        @raise ValueError: for a name that a notice cannot contain.
        """
        if name is not None:
            checkName(name)
        self.name = name
        self.errors = errors
        self.flushAfter = flushAfter
        self.connectionLog: IConnectionLog | None = accessLog
        if accessLog is None and log != "none":
            self.connectionLog = ConnectionLog(log == "lines")
        self.clock = clock
        timed = (flushAfter, idleTimeout, self.connectionLog)
        if clock is None and any(each is not None for each in timed):
            self.clock = self.getClock()
        self.connections: dict[IServedConnection, float] = {}
        self.counters = counters
        self._caps = Caps(maxConnections, maxPerPeer)
        self._maxRefused = maxRefused
        self._refused: set[IServedConnection] = set()
        self._idle = None
        if idleTimeout is not None:
            self._idle = IdleTimeout(idleTimeout, self.connections, self.getClock())
        self._drains: list[Drain] = []

    def getClock(self) -> IReactorTime:
        """
        Get the clock: by default, the reactor.
        """
        if self.clock is not None:
            return self.clock
        from twisted.internet import reactor

        return IReactorTime(reactor)

    def stopFactory(self) -> None:
        """
        No port listens any more.
        """
        # While one listens, the next connection needs the timer again, and for short
        # connections, one after the other, to set it would cost a twentieth.
        if self._idle is not None and not self.connections:
            self._idle.stop()

    def connectionOpened(self, connection: IServedConnection) -> None:
        """
        Give a new connection its place, or tell it that there is none.

        @param connection: a protocol whose connection was made.
        """
        now = 0.0 if self.clock is None else self.clock.seconds()
        connection.lastActivity = self.connections[connection] = now
        if self.connectionLog is not None:
            self.connectionLog.opened(connection)
        refusal = self._caps.take(connection)
        if refusal:
            self._refused.add(connection)
            if len(self._refused) > self._maxRefused:
                connection.abort(refusal)
                return
        elif self._idle is not None:
            self._idle.start()
        if self.name is not None:
            # Refused clients get the notice, too.
            connection.answer(b"", self._notice(self.name, connection))
        if refusal:
            connection.finish(refusal, error=refusal)

    def connectionClosed(self, connection: IServedConnection, reason: str) -> None:
        """
        Take back the place of a connection. Nothing else does this.

        @param connection: the connection that was lost.
        @param reason: why it has ended, for the log.
        """
        opened = self.connections.pop(connection)
        refused = connection in self._refused
        if refused:
            self._refused.remove(connection)
        else:
            self._caps.release(connection)
        if self.counters is not None:
            self.counters.closed(connection, clientName, reason, refused)
        if self.connectionLog is not None:
            seconds = self.getClock().seconds() - opened
            self.connectionLog.closed(connection, seconds, reason, refused)
        if not self.connections:
            if self._idle is not None and not self.numPorts:
                self._idle.stop()
            drains, self._drains = self._drains, []
            for drain in drains:
                drain.stop()

    def refused(
        self,
        peer: IAddress,
        reason: str,
        transport: object = None,
        seconds: float = 0.0,
    ) -> None:
        """
        Note that a connection was closed before it reached the protocol.

        @param peer: the address of the client.
        @param reason: what was missing, for the log.
        @param transport: its transport; L{None} if it had none yet.
        @param seconds: how long it has waited.
        """
        if self.counters is not None:
            self.counters.refused(peerName(peer), reason)
        if self.connectionLog is not None:
            self.connectionLog.refused(peer, reason, transport, seconds)

    def truncated(self, connection: IServedConnection) -> None:
        """
        Note that a client has ended its TCP stream, but not its TLS stream.
        """
        if self.connectionLog is not None:
            self.connectionLog.truncated(connection)

    def drain(self, seconds: float) -> Deferred[None]:
        """
        End all connections, each as soon as its client is quiet (see L{Drain}).

        @param seconds: how long busy clients may go on.
        @return: fires when the last connection has closed.
        """
        if not self.connections:
            return succeed(None)
        drain = Drain(self.connections, seconds, self.getClock())
        self._drains.append(drain)
        drain.start()
        return drain.drained

    def abort(self, reason: str) -> None:
        """
        Abort all connections. Bytes that were not delivered are lost.

        @param reason: why, for the log.
        """
        for connection in list(self.connections):
            try:
                connection.abort(reason)
            except Exception:
                self._log.failure(
                    "{mark}A connection cannot be ended", mark=connection.mark
                )

    def _notice(self, name: str, connection: IServedConnection) -> bytes:
        """
        Make the notice for a client.
        """
        peer, where = connection.peer, ""
        if isinstance(peer, (IPv4Address, IPv6Address)):
            where = peerName(peer)
        elif isinstance(peer, UNIXAddress):
            where = "unix"
        return serverNotice(name, where, connection.tlsVersion)
