"""
Traffic shaping, in one direction of a connection: delay bytes, limit their rate, and
cut them into smaller pieces.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from zope.interface import implementer

from upperproto.faults.settings import ConnectionFaults

# If more bytes than this wait in a pipe, their sender is paused.
MAX_QUEUED = 1 << 20

# With a limited rate, the bytes of so many seconds pass together.
RATE_INTERVAL = 0.02


@implementer(IPushProducer)
class Pipe:
    """
    Pass on bytes and calls in their order, each at its time.

    @ivar size: the number of bytes that wait in the pipe.
    """

    def __init__(
        self,
        faults: ConnectionFaults,
        clock: IReactorTime,
        deliver: Callable[[bytes], object],
        leastDelay: float = 0.0,
    ) -> None:
        """
        @param faults: the faults of the connection.
        @param clock: tells the time.
        @param deliver: called with the bytes at the other end.
        @param leastDelay: the shortest delay of bytes and calls, in seconds.
        """
        self.size = 0
        self._faults = faults
        self._clock = clock
        self._deliver = deliver
        self._leastDelay = leastDelay
        settings = faults.settings
        # The largest size of a piece in bytes, and the seconds that each byte takes.
        self._most = MAX_QUEUED if settings.slice is None else settings.slice
        self._perByte = 0.0
        if settings.rate is not None:
            self._perByte = 1 / settings.rate
            self._most = min(self._most, max(1, int(settings.rate * RATE_INTERVAL)))
        # Items (bytes or calls), each with the time when it begins to arrive. Next come
        # the number of bytes of the first item that have arrived, and the time when the
        # last byte arrived.
        self._queue: deque[tuple[float, Any]] = deque()
        self._offset = 0
        self._arrived = 0.0
        self._call: IDelayedCall | None = None
        self._paused = False
        self._sender: Any = None
        self._senderPaused = False

    def setSender(self, sender: Any) -> None:
        """
        Set the sender, which is paused while too many bytes wait.

        @param sender: a push producer; L{None} for none.
        """
        self._sender = sender
        self._senderPaused = False
        self._adjustSender()

    def send(self, data: bytes) -> None:
        """
        Send bytes.
        """
        self.size += len(data)
        self._put(data)
        self._adjustSender()

    def end(self, call: Callable[[], object], seconds: float = 0.0) -> None:
        """
        Call a function after everything that was sent has been delivered.

        @param call: the function to call.
        @param seconds: the time to wait before the call, in seconds, in addition to the
            delay of the pipe.
        """
        self._put(call, seconds)

    def close(self) -> None:
        """
        Throw away everything that waits.
        """
        self._queue.clear()
        self.size = 0
        self._sender = None
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def pauseProducing(self) -> None:
        """
        Deliver nothing more for now.
        """
        self._paused = True

    def resumeProducing(self) -> None:
        """
        Deliver again.
        """
        self._paused = False
        self._schedule()

    def stopProducing(self) -> None:
        """
        Throw away everything that waits, because the other end has closed.
        """
        self.close()

    def _put(self, item: bytes | Callable[[], object], seconds: float = 0.0) -> None:
        settings, random = self._faults.settings, self._faults.random
        jitter = random.uniform(-1, 1) * settings.jitter if settings.jitter else 0.0
        delay = max(self._leastDelay, settings.delay + jitter) + seconds
        time = self._clock.seconds() + delay
        if self._queue:
            # Everything stays in its order.
            time = max(time, self._queue[-1][0])
        self._queue.append((time, item))
        self._schedule()

    def _nextTime(self) -> float:
        """
        Compute when the next piece arrives.
        """
        time, item = self._queue[0]
        if callable(item):
            return max(time, self._arrived)
        size = min(self._most, len(item) - self._offset)
        return max(time, self._arrived) + size * self._perByte

    def _schedule(self) -> None:
        if self._queue and not self._paused and self._call is None:
            wait = max(0.0, self._nextTime() - self._clock.seconds())
            self._call = self._clock.callLater(wait, self._arrive)

    def _arrive(self) -> None:
        """
        Deliver everything that has arrived. With C{slice}, deliver one piece in each
        iteration of the reactor, so that each piece is sent in its own segment.
        """
        self._call = None
        now = self._clock.seconds()
        while self._queue and not self._paused and self._nextTime() <= now:
            self._arrived = self._nextTime()
            _, item = self._queue[0]
            if callable(item):
                self._queue.popleft()
                item()
                continue
            piece = item[self._offset : self._offset + self._most]
            self._offset += len(piece)
            if self._offset == len(item):
                self._queue.popleft()
                self._offset = 0
            self.size -= len(piece)
            self._deliver(piece)
            if self._faults.settings.slice is not None:
                break
        self._schedule()
        self._adjustSender()

    def _adjustSender(self) -> None:
        if self._sender is None:
            return
        if self._senderPaused:
            if self.size <= MAX_QUEUED // 2:
                self._senderPaused = False
                self._sender.resumeProducing()
        elif self.size > MAX_QUEUED:
            self._senderPaused = True
            self._sender.pauseProducing()
