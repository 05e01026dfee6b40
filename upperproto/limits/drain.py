"""
The drain: how a service ends its conversations in good order, within a time.
"""

from __future__ import annotations

from collections.abc import Collection

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from upperproto.interfaces import IServedConnection

# For how many seconds a client must have been silent to count as quiet, and how long
# the closing of the last ones may take.
QUIET_TIME = 0.1
CLOSING_TIME = 0.8


class Drain:
    """
    End all conversations of a service, each as soon as its client is quiet.

    A client is quiet when it has said nothing for L{QUIET_TIME} seconds and has been
    sent all its answers. When the time is up, what has been read from busy ones is
    answered; L{CLOSING_TIME} seconds later the rest is aborted.

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
        @param connections: those that are open, now and later; at least one.
        @param seconds: how long busy clients may go on.
        @param clock: what tells the time.
        """
        self.drained = Deferred[None]()
        self._connections = connections
        self._clock = clock
        self._deadline = clock.seconds() + seconds
        # How much each client has said, and when that was first seen: after a
        # check that comes late, because the service is busy, the next is near.
        self._heard: dict[IServedConnection, tuple[int, float]] = {}
        self._reports = LoopingCall(self._report)
        self._finishes = LoopingCall(self._finishQuietSoon)
        self._reports.clock = self._finishes.clock = clock

    def start(self) -> None:
        """
        End those that are quiet, now and from time to time.
        """
        self._reports.start(1)
        self._finishes.start(QUIET_TIME)

    def stop(self) -> None:
        """
        The last connection has closed.
        """
        self._reports.stop()
        self._finishes.stop()
        if self._soon.active():
            self._soon.cancel()
        self.drained.callback(None)

    def _finishQuietSoon(self) -> None:
        """
        Look who is quiet when all has been read that has come: the reactor makes its
        calls before it reads, and may have been busy.
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
