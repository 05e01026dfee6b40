"""
The idle timeout: close connections on which nothing is sent or received.
"""

from __future__ import annotations

from collections.abc import Collection

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from upperproto.interfaces import IServedConnection


class IdleTimeout:
    """
    Close each connection on which nothing has moved, in either direction, for a time.

    One timed call checks all connections, because a timer for each would need half a
    KiB. Samples of what a client has not acknowledged show whether it takes answers.
    So a connection may close late, by up to a quarter of the time. It never closes
    early: before it closes, everything that has come is read.
    """

    _log = Logger()

    def __init__(
        self,
        seconds: float,
        connections: Collection[IServedConnection],
        clock: IReactorTime,
    ) -> None:
        """
        @param seconds: how long a connection may be idle.
        @param connections: the open connections, now and later.
        @param clock: tells the time.
        """
        self._seconds = seconds
        self._connections = connections
        self._clock = clock
        self._call: IDelayedCall | None = None
        # How many bytes each client had not acknowledged in the last sample.
        self._unacknowledged: dict[IServedConnection, int] = {}

    def start(self) -> None:
        """
        Begin to check the connections, if this has not begun yet.
        """
        if self._call is None:
            self._call = self._clock.callLater(self._seconds / 4, self._sample)

    def stop(self) -> None:
        """
        Stop the checks: there is no connection.
        """
        self._unacknowledged.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _sample(self) -> None:
        """
        Note which clients have taken answers. Then let the reactor read before anything
        is closed: it makes its timed calls before it reads.
        """
        now = self._clock.seconds()
        before, self._unacknowledged = self._unacknowledged, {}
        for connection in list(self._connections):
            try:
                waiting = connection.unacknowledgedBytes()
            except Exception:
                self._abort(connection)
                continue
            if waiting:
                self._unacknowledged[connection] = waiting
            if waiting != before.get(connection, 0):
                connection.lastActivity = now
        self._call = self._clock.callLater(0, self._close)

    def _close(self) -> None:
        """
        Close the idle connections.
        """
        self._call = None
        now = self._clock.seconds()
        nextDeadline = now + self._seconds / 4
        for connection in list(self._connections):
            deadline = connection.lastActivity + self._seconds
            if deadline > now:
                nextDeadline = min(nextDeadline, deadline)
                continue
            idle = f"idle for {self._seconds:g} s"
            try:
                if connection in self._unacknowledged or connection.ending:
                    connection.abort(f"{idle}, not reading")
                else:
                    connection.finish(idle, error=idle)
            except Exception:
                self._abort(connection)
        if self._connections:
            # One check serves deadlines that are close together.
            wait = max(nextDeadline - now, self._seconds / 100)
            self._call = self._clock.callLater(wait, self._sample)

    def _abort(self, connection: IServedConnection) -> None:
        """
        Abort one connection because of an error in our code.
        """
        self._log.failure("{mark}A fault ends the connection", mark=connection.mark)
        try:
            connection.abort("a fault of the server")
        except Exception:
            self._log.failure(
                "{mark}A connection cannot be ended", mark=connection.mark
            )
