"""
The service as a process runs it: its listeners, its start and its end.
"""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from twisted.application import strports
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from upperproto.factory import MAX_TURNED_AWAY, UpperFactory

# Descriptors for all that is not a connection: listeners, logs, the reactor's.
SPARE_DESCRIPTORS = 64


class CannotStart(SystemExit, Exception):
    """
    The service cannot start. The message is for the person who started it.

    It ends the process with this message and status 1 instead of a traceback,
    because it is a L{SystemExit}; and C{twistd} removes its PID file and tells
    the parent of a daemon, because it is an L{Exception}.
    """


class UpperService(MultiService):
    """
    Listen on endpoints; at the end, let the conversations come to theirs.
    """

    _log = Logger()

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
        @param reactor: what listens.
        @raise CannotStart: for a description that is not one.
        """
        super().__init__()
        self.factory = factory
        self._drain = drain
        self._reactor = reactor
        for endpoint in endpoints:
            try:
                listener = strports.service(endpoint, factory, reactor=reactor)
            except Exception as error:
                raise CannotStart(
                    f"upper: not an endpoint: {endpoint}: {error}"
                ) from error
            self.addService(listener)

    def privilegedStartService(self) -> None:
        """
        Listen, as C{twistd} asks while the process has its privileges.

        @raise CannotStart: where the system refuses.
        """
        self._start(super().privilegedStartService)

    def startService(self) -> None:
        """
        Listen, if L{privilegedStartService} has not.

        @raise CannotStart: where the system refuses.
        """
        self._start(super().startService)
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
        await self.factory.drain(self._drain)

    def _start(self, start: Callable[[], None]) -> None:
        """
        Start with enough descriptors, or end with a message.
        """
        if self.factory.maxConnections is not None:
            self._raiseDescriptorLimit(
                self.factory.maxConnections + MAX_TURNED_AWAY + SPARE_DESCRIPTORS
            )
        try:
            start()
        except (CannotListenError, OSError) as error:
            raise CannotStart(f"upper: {error}") from error

    def _raiseDescriptorLimit(self, needed: int) -> None:
        """
        Let the process have as many descriptors as its limits promise.
        """
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft >= needed:
            return
        allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        if allowed < needed:
            self._log.warn(
                "{maxConnections} connections need {needed} file descriptors, and"
                " the system allows {allowed}: raise the limit (ulimit -Hn,"
                " LimitNOFILE=) or lower --max-connections",
                maxConnections=self.factory.maxConnections,
                needed=needed,
                allowed=allowed,
            )

    def _abortOnNextSignal(self) -> None:
        """
        While the service drains, end it at the next SIGINT or SIGTERM.

        The reactor's own handlers would stop it a second time, and it logs a
        traceback of C{ReactorNotRunning} then.
        """

        def abort(number: int, frame: FrameType | None) -> None:
            self._reactor.callFromThread(self.factory.abort, "a second signal")

        signal.signal(signal.SIGINT, abort)
        signal.signal(signal.SIGTERM, abort)
