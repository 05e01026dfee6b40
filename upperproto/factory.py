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

# Lets plain transports of Twisted tell what they have not sent.
import upperproto.reactor.sendqueue  # noqa: F401 # Its import registers an adapter.
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
    Build L{UpperProtocol}s, and know those that are connected.

    Without arguments: strictly line by line, without limit, log or timer.

    @ivar connections: the open connections, each with the time at which it opened,
        in seconds of the clock.
    @ivar counters: count what the connections do; L{None} where nothing is counted.
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
        @param errors: what becomes of invalid UTF-8: C{strict} answers its line
            with an error; C{replace} and C{surrogateescape} are Python's codec
            error handlers of these names.
        @param flushAfter: answer an unfinished line when so many seconds have
            brought nothing new; never by default.
        @param idleTimeout: close a connection over which nothing has moved,
            either way, for so many seconds; never by default.
        @param maxConnections: how many clients are served at a time; any number
            by default.
        @param maxPerPeer: how many of these may come from one IPv4 address, or from
            one IPv6 network of 64 bits; any number by default.
        @param maxRefused: how many clients beyond these limits are told so at a
            time; more are only cut off, so that a flood of them cannot use up the
            descriptors.
        @param log: what is logged: C{none}; C{connections} as they open and
            close; C{lines}, which adds what is said.
        @param clock: what tells the time; the global reactor by default, where time
            matters.
        @param counters: count what the connections do; nothing is counted by default.
        @param name: what this instance is called: each client is told so first, and
            what is seen of it. By default it is told nothing.
        @raise ValueError: for a name that cannot be told.
        @param accessLog: what is told of the connections in place of what C{log}
            says.
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
        Get what tells the time: the reactor, if nothing else was handed in.
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
            # Who is refused wants to know by whom, too.
            connection.answer(b"", self._notice(self.name, connection))
        if refusal:
            connection.finish(refusal, error=refusal)

    def connectionClosed(self, connection: IServedConnection, reason: str) -> None:
        """
        Take a connection's place back. Nothing else does.

        @param connection: the one that was lost.
        @param reason: what ended it, for the log.
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

        @param peer: where it came from.
        @param reason: what was missing, for the log.
        @param transport: its transport; L{None} where it had none yet.
        @param seconds: how long it has waited.
        """
        if self.counters is not None:
            self.counters.refused(peerName(peer), reason)
        if self.connectionLog is not None:
            self.connectionLog.refused(peer, reason, transport, seconds)

    def truncated(self, connection: IServedConnection) -> None:
        """
        Note that a client has ended its TCP stream, but not its TLS one.

        @param connection: the client's.
        """
        if self.connectionLog is not None:
            self.connectionLog.truncated(connection)

    def drain(self, seconds: float) -> Deferred[None]:
        """
        End all conversations, each as soon as its client is quiet (see L{Drain}).

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
        End all connections at once; what was not delivered is lost.

        @param reason: what ends them, for the log.
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
        Say who serves, and what it sees of a client.
        """
        peer, where = connection.peer, ""
        if isinstance(peer, (IPv4Address, IPv6Address)):
            where = peerName(peer)
        elif isinstance(peer, UNIXAddress):
            where = "unix"
        return serverNotice(name, where, connection.tlsVersion)
