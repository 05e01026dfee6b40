"""
The service as a process runs it: its start, its signals and its end.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString

from upperproto.factory import UpperFactory
from upperproto.listeners import CannotStart, Listener


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
            try:
                endpoint = serverFromString(reactor, description)
            except Exception as error:
                raise CannotStart(
                    f"upper: not an endpoint: {description}: {error}"
                ) from error
            self.addService(Listener(endpoint, factory, reactor))

    def startService(self) -> None:
        """
        Serve.

        @raise CannotStart: where the system refuses to listen.
        """
        super().startService()
        self._reactor.addSystemEventTrigger(
            "before", "shutdown", self._abortOnNextSignal
        )

    def stopService(self) -> Deferred[None]:
        """
        Refuse new connections, then drain.

        @return: fires when the last connection has closed.
        """
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await super().stopService()
        await self._factory.drain(self._drain)

    def _abortOnNextSignal(self) -> None:
        """
        While the service drains, end it at the next SIGINT or SIGTERM.

        The reactor's own handlers would stop it a second time, and it logs a
        traceback of C{ReactorNotRunning} then.
        """

        def abort(number: int, frame: FrameType | None) -> None:
            self._reactor.callFromThread(self._factory.abort, "a second signal")

        signal.signal(signal.SIGINT, abort)
        signal.signal(signal.SIGTERM, abort)
