"""
The service as a process runs it: its start, its signals and its end.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred

from upperproto.factory import UpperFactory
from upperproto.listeners import Inheriting, Listener, endpointFrom
from upperproto.signals import onSecondSignal


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
    ) -> None:
        """
        @param factory: what serves the connections.
        @param endpoints: server endpoint descriptions, as Twisted has them.
        @param drain: how many seconds open conversations may go on after
            L{stopService}.
        @param reactor: what listens and tells the time.
        @raise CannotStart: for a description that is not one.
        """
        super().__init__()
        self._factory = factory
        self._drain = drain
        self._reactor = reactor
        for description in endpoints:
            endpoint = endpointFrom(Inheriting(reactor), description)
            self.addService(Listener(endpoint, factory, reactor))

    def startService(self) -> None:
        """
        Serve.

        @raise CannotStart: where the system refuses to listen.
        """
        super().startService()
        onSecondSignal(self._reactor, lambda: self._factory.abort("a second signal"))

    def stopService(self) -> Deferred[None]:
        """
        Refuse new connections, then drain.

        @return: fires when the last connection has closed.
        """
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await super().stopService()
        await self._factory.drain(self._drain)
