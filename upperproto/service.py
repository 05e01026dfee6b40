"""
The service as a process runs it: its start, its signals and its end.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred

from upperproto.factory import UpperFactory
from upperproto.limits.descriptors import keepMemory
from upperproto.monitoring import outlet
from upperproto.monitoring.connectionlog import Transcript
from upperproto.monitoring.stamp import stampLines
from upperproto.reactor.epoll import shorten
from upperproto.signals import onSecondSignal
from upperproto.ways import systemd
from upperproto.ways.endpoints import Inheriting
from upperproto.ways.layers import Entrance


class UpperService(MultiService):
    """
    Serve on endpoints; at the end, let the conversations come to theirs.
    """

    def __init__(
        self,
        factory: UpperFactory,
        endpoints: list[str],
        drain: float,
        reactor: Any,
        entrance: Entrance | None = None,
    ) -> None:
        """
        @param factory: what serves the connections.
        @param endpoints: server endpoint descriptions, as Twisted has them.
        @param drain: how many seconds open conversations may go on after
            L{stopService}.
        @param reactor: what listens and tells the time.
        @param entrance: what the connections pass on their way to C{factory};
            nothing by default.
        @raise CannotStart: for a description that is not one.
        """
        super().__init__()
        self._factory = factory
        self._drain = drain
        self._reactor = reactor
        if entrance is None:
            entrance = Entrance(factory)
        for description in endpoints:
            self.addService(entrance.listener(description, Inheriting(reactor)))

    def startService(self) -> None:
        """
        Serve.

        @raise CannotStart: where the system refuses to listen.
        """
        super().startService()
        systemd.tell(self._reactor)
        onSecondSignal(self._reactor, lambda: self._factory.abort("a second signal"))
        keepMemory()
        turn = shorten(self._reactor)
        atEnd = None if turn is None else turn.atEnd
        if turn is not None:
            self._factory.outbox.later = turn.atEnd
            self._factory.readSoon = turn.readSoon
        # Under twist, the log has not begun before.
        self._reactor.callWhenRunning(outlet.unblock, self._reactor)
        self._reactor.callWhenRunning(stampLines, Transcript, atEnd)

    def stopService(self) -> Deferred[None]:
        """
        Refuse new connections, then drain.

        @return: fires when the last connection has closed.
        """
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await super().stopService()
        await self._factory.drain(self._drain)
