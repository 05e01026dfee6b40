"""
The idle timeout: connections over which nothing moves are closed.
"""

from __future__ import annotations

from collections.abc import Collection

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from upperproto.interfaces import IServedConnection


class IdleTimeout:
    """
    Close each connection over which nothing has moved, either way, for a time.

    One call looks after all connections: a timer for each would cost half a KiB.
    What moves towards a client is seen in samples of what it has not acknowledged,
    so a connection may close up to a quarter of the time late. It never closes
    early: who seems to be idle is looked at again when all has been read that had
    come by then.
    """

    _log = Logger()

    def __init__(
        self,
        seconds: float,
        connections: Collection[IServedConnection],
        clock: IReactorTime,
    ) -> None:
        """
        @param seconds: for how long nothing may move.
        @param connections: those that are open, now and later.
        @param clock: what tells the time.
        """
        self._seconds = seconds
        self._connections = connections
        self._clock = clock
        self._call: IDelayedCall | None = None
        # What each had not acknowledged in the last sample, if anything.
        self._unacknowledged: dict[IServedConnection, int] = {}

    def start(self) -> None:
        """
        Look after the connections, unless this has begun.
        """
        if self._call is None:
            self._call = self._clock.callLater(self._seconds / 4, self._sample)

    def stop(self) -> None:
        """
        Look no more: there is no connection.
        """
        self._unacknowledged.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _sample(self) -> None:
        """
        See what has moved towards the clients. Then let the reactor read: it makes
        its calls before it reads, and may have been busy.
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
        Close what is idle.
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
            # Deadlines that lie close together are met by one look.
            wait = max(nextDeadline - now, self._seconds / 100)
            self._call = self._clock.callLater(wait, self._sample)

    def _abort(self, connection: IServedConnection) -> None:
        """
        End a connection that meets a fault of ours, and no other.
        """
        self._log.failure("{mark}A fault ends the connection", mark=connection.mark)
        try:
            connection.abort("a fault of the server")
        except Exception:
            self._log.failure(
                "{mark}A connection cannot be ended", mark=connection.mark
            )
