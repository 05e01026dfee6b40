"""
One running service: its settings, its limits and its open connections.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import ServerFactory

from upperproto.limits.drain import Drain
from upperproto.monitoring.connectionlog import Transcript, escape, peerName
from upperproto.protocol import UpperProtocol
from upperproto.reactor import transports as eager
from upperproto.reactor.outbox import Outbox

if TYPE_CHECKING:
    from upperproto.ways.handshake import Door


class UpperFactory(ServerFactory):
    """
    Build L{UpperProtocol}s, and know those that are connected.

    Without arguments: strictly line by line, without limit, log or timer.

    @ivar outbox: sends the answers of all conversations.
    @ivar readSoon: reads a new connection in the reactor's turn that has accepted
        it; without it, the next turn does.
    @ivar connections: the open connections that have a place, each with the
        time at which it opened, in the seconds of the clock.
    @ivar arriving: those that wait at a door, in the order in which they came.
    """

    # Twisted declares any callable.
    protocol: type[UpperProtocol] = UpperProtocol  # type: ignore[assignment]
    noisy = False

    def __init__(
        self,
        errors: str = "strict",
        flushAfter: float | None = None,
        idleTimeout: float | None = None,
        maxConnections: int | None = None,
        maxPerPeer: int | None = None,
        maxTurnedAway: int = 1024,
        log: Literal["none", "connections", "lines"] = "none",
        clock: IReactorTime | None = None,
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
        @param maxPerPeer: how many of these may come from one IP address; any
            number by default.
        @param maxTurnedAway: how many clients beyond these limits are told so, at
            a time; more are only cut off, so that a flood of them cannot use up
            the descriptors. As many more may wait at a door.
        @param log: what is logged: C{none}; C{connections} as they open and
            close; C{lines}, which adds what is said.
        @param clock: what tells the time, and when a turn ends, at which answers
            to sockets are sent; the global reactor by default, where time matters.
        """
        self.errors = errors
        self.flushAfter = flushAfter
        self.idleTimeout = idleTimeout
        self.maxConnections = maxConnections
        self.maxPerPeer = maxPerPeer
        self.maxTurnedAway = maxTurnedAway
        self.transcript = None if log == "none" else Transcript(log == "lines")
        self.clock = clock
        if clock is None and (
            flushAfter is not None or idleTimeout is not None or log != "none"
        ):
            self.clock = self.getClock()
        later = None if self.clock is None else partial(self.clock.callLater, 0)
        self.outbox = Outbox(later)
        self.readSoon: Callable[[Any], None] | None = None
        self.connections: dict[UpperProtocol, float] = {}
        self.arriving: dict[Door, None] = {}
        self._turnedAway: dict[UpperProtocol, float] = {}
        self._perPeer: Counter[str] = Counter()
        self._sweepCall: IDelayedCall | None = None
        self._drain: Drain | None = None

    def getClock(self) -> IReactorTime:
        """
        Get what tells the time: the reactor, if nothing else was handed in.
        """
        if self.clock is not None:
            return self.clock
        from twisted.internet import reactor

        return IReactorTime(reactor)

    def arrived(self, door: Door) -> None:
        """
        Let a new connection wait at a door. If too many do, the one that has
        waited longest is closed: a flood keeps out only those who take longer
        than so many others to arrive.

        @param door: which.
        """
        self.arriving[door] = None
        if len(self.arriving) > self.maxTurnedAway:
            next(iter(self.arriving)).refuse("too many others wait")

    def departed(self, door: Door) -> None:
        """
        A connection waits no more: it has come in, or gone.

        @param door: where it has waited.
        """
        del self.arriving[door]

    def refused(self, peer: IAddress, why: str) -> None:
        """
        A connection does not come in.

        @param peer: where it came from.
        @param why: what was missing, for the log.
        """
        if self.transcript is not None:
            self.transcript.refused(peerName(peer), why)

    def opened(self, protocol: UpperProtocol) -> None:
        """
        Give a new connection its place, or tell it that there is none.

        @param protocol: the one whose connection was made.
        """
        if self.transcript is not None:
            protocol.name = _name(protocol)
            self.transcript.opened(protocol.name)
        now = 0.0 if self.clock is None else self.clock.seconds()
        protocol.lastMoved = now
        refusal = self._refusal(protocol)
        if not refusal:
            self.connections[protocol] = now
            if self.maxPerPeer is not None:
                self._perPeer[_host(protocol)] += 1
            if self.idleTimeout is not None and self._sweepCall is None:
                self._sweepAfter(self.idleTimeout / 4)
        else:
            self._turnedAway[protocol] = now
            if len(self._turnedAway) > self.maxTurnedAway:
                protocol.abort(refusal)
            else:
                protocol.finish(refusal, error=refusal)

    def closed(self, protocol: UpperProtocol, why: str) -> None:
        """
        Take a connection's place back. Nothing else does.

        @param protocol: the one whose connection was lost.
        @param why: what ended it, for the log.
        """
        opened = self._turnedAway.pop(protocol, None)
        if opened is None:
            opened = self.connections.pop(protocol)
            if self.maxPerPeer is not None:
                host = _host(protocol)
                self._perPeer[host] -= 1
                if not self._perPeer[host]:
                    del self._perPeer[host]
        if self.transcript is not None:
            self.transcript.closed(
                protocol.name,
                self.getClock().seconds() - opened,
                protocol.bytesIn,
                protocol.bytesOut,
                protocol.undelivered,
                why,
            )
        if not self.connections and self._sweepCall is not None:
            self._sweepCall.cancel()
            self._sweepCall = None
        if self._drain is not None and not self.openConnections():
            drain, self._drain = self._drain, None
            drain.stop()

    def drain(self, seconds: float) -> Deferred[None]:
        """
        End all conversations, each as soon as its client is quiet (see L{Drain}).

        @param seconds: how long busy clients may go on.
        @return: fires when the last connection has closed.
        """
        self._refuseArriving("the service is shutting down")
        if not self.openConnections():
            return succeed(None)
        earlier = self._drain
        self._drain = drain = Drain(self, seconds)
        if earlier is not None:
            # Both are done when the last connection has closed.
            drain.drained.addCallback(lambda _: earlier.stop())
        drain.start()
        return drain.drained

    def abort(self, why: str) -> None:
        """
        End all connections at once; what was not delivered is lost.

        @param why: what ends them, for the log.
        """
        self._refuseArriving(why)
        for protocol in self.openConnections():
            protocol.abort(why)

    def openConnections(self) -> list[UpperProtocol]:
        """
        All open connections, with a place or without.
        """
        return [*self.connections, *self._turnedAway]

    def _refuseArriving(self, why: str) -> None:
        for door in list(self.arriving):
            door.refuse(why)

    def _refusal(self, protocol: UpperProtocol) -> str:
        """
        Why there is no place for a connection; empty if there is one.
        """
        if self.maxConnections is not None:
            if len(self.connections) >= self.maxConnections:
                return "too many connections"
        if self.maxPerPeer is not None:
            host = _host(protocol)
            if host and self._perPeer[host] >= self.maxPerPeer:
                return f"too many connections from {host}"
        return ""

    def _sweepAfter(self, seconds: float) -> None:
        self._sweepCall = self.getClock().callLater(seconds, self._sweep)

    def _sweep(self) -> None:
        """
        Close the connections over which nothing moves.

        One call looks after all connections: a timer for each would cost half
        a KiB. What moves towards a client is seen by sampling what it has not
        acknowledged, so a connection may close up to a quarter of
        C{idleTimeout} late, but never early.
        """
        assert self.idleTimeout is not None
        self._sweepCall = None
        now = self.getClock().seconds()
        nextDeadline = now + self.idleTimeout / 4
        for protocol in list(self.connections):
            waiting = eager.unacknowledged(protocol.transport)
            if waiting != protocol.unacknowledged:
                protocol.unacknowledged = waiting
                protocol.lastMoved = now
            deadline = protocol.lastMoved + self.idleTimeout
            if deadline > now:
                nextDeadline = min(nextDeadline, deadline)
            elif waiting or protocol.ending:
                protocol.abort(f"idle for {self.idleTimeout:g} s, not reading")
            else:
                idle = f"idle for {self.idleTimeout:g} s"
                protocol.finish(idle, error=idle)
        if self.connections:
            # Deadlines that lie close together are met by one sweep.
            self._sweepAfter(max(nextDeadline - now, self.idleTimeout / 100))


def _name(protocol: UpperProtocol) -> str:
    """
    Name a peer for the log, with what has been verified of it.
    """
    name = peerName(protocol.transport.getPeer())
    if protocol.identity:
        name += f" ({escape(protocol.identity.encode())})"
    return name


def _host(protocol: UpperProtocol) -> str:
    """
    The IP address of a peer; empty if it has none.
    """
    peer = protocol.transport.getPeer()
    return peer.host if isinstance(peer, (IPv4Address, IPv6Address)) else ""
