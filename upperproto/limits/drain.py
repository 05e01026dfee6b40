"""
The drain: end all connections in good order before the service stops.
"""

from __future__ import annotations

from collections.abc import Collection

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from upperproto.interfaces import IServedConnection

# A client is quiet when it has sent nothing for so many seconds. When the drain time is
# over, the last connections have so many seconds to close.
QUIET_TIME = 0.1
CLOSING_TIME = 0.8


class Drain:
    """
    End all connections of a service, each as soon as its client is quiet.

    A client is quiet when it has sent nothing for L{QUIET_TIME} seconds and all its
    answers were sent. When the drain time is over, the clients that are still busy get
    the answers to what was read. L{CLOSING_TIME} seconds later, the connections that
    are still open are aborted.

    @ivar drained: fires when the last connection has closed.
    """

    _log = Logger()

    def __init__(
        self,
        connections: Collection[IServedConnection],
        seconds: float,
        clock: IReactorTime,
    ) -> None:
        """
        @param connections: the open connections, now and later; at least one.
        @param seconds: how long busy clients may go on.
        @param clock: tells the time.
        """
        self.drained = Deferred[None]()
        self._connections = connections
        self._clock = clock
        self._deadline = clock.seconds() + seconds
        # How many bytes each client has sent, and when that number was first seen. To
        # count the checks would be wrong: after a late one, the next one comes soon.
        self._heard: dict[IServedConnection, tuple[int, float]] = {}
        self._reports = LoopingCall(self._report)
        self._finishes = LoopingCall(self._finishQuietSoon)
        self._reports.clock = self._finishes.clock = clock

    def start(self) -> None:
        """
        End the connections of quiet clients, now and regularly.
        """
        self._reports.start(1)
        self._finishes.start(QUIET_TIME)

    def stop(self) -> None:
        """
        Stop the checks: the last connection has closed.
        """
        self._reports.stop()
        self._finishes.stop()
        if self._soon.active():
            self._soon.cancel()
        self.drained.callback(None)

    def _finishQuietSoon(self) -> None:
        """
        Look for quiet clients after the next read. The reactor makes its timed calls
        before it reads, so something that a client has sent may still be unread.
        """
        self._soon = self._clock.callLater(0, self._finishQuiet)

    def _finishQuiet(self) -> None:
        now = self._clock.seconds()
        for connection in list(self._connections):
            try:
                self._finishIfQuiet(connection, now)
            except Exception:
                self._log.failure(
                    "{mark}A connection cannot be ended", mark=connection.mark
                )

    def _finishIfQuiet(self, connection: IServedConnection, now: float) -> None:
        late = now - self._deadline
        if late >= CLOSING_TIME:
            connection.abort("the drain time is up")
        elif not connection.ending:
            said, since = self._heard.get(connection, (-1, now))
            if said != connection.receivedBytes:
                since = now
            self._heard[connection] = (connection.receivedBytes, since)
            quiet = now - since >= QUIET_TIME and not connection.unsentBytes()
            if quiet or late >= 0:
                connection.finish(
                    "the service is shutting down", discardPartial=not quiet
                )

    def _report(self) -> None:
        unsent = 0
        for connection in list(self._connections):
            try:
                unsent += connection.unsentBytes()
            except Exception:
                self._log.failure(
                    "{mark}A connection cannot be asked", mark=connection.mark
                )
        self._log.info(
            "Draining: {connections} still open, {unsent} bytes unsent",
            connections=len(self._connections),
            unsent=unsent,
        )
