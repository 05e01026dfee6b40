"""
One direction of a connection, slower and in smaller pieces than it was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from zope.interface import implementer

from upperproto.faults.settings import ConnectionFaults

# How many bytes may be under way; whoever sends more is paused.
MAX_QUEUED = 1 << 20

# At a limited rate, what passes in so many seconds passes at once.
RATE_INTERVAL = 0.02


@implementer(IPushProducer)
class Pipe:
    """
    Pass bytes and ends on in their order, each when its time has come.

    @ivar size: how many bytes are under way.
    """

    def __init__(
        self,
        faults: ConnectionFaults,
        clock: IReactorTime,
        deliver: Callable[[bytes], object],
        leastDelay: float = 0.0,
    ) -> None:
        """
        @param faults: those of the connection.
        @param clock: what tells the time.
        @param deliver: is given the bytes at the other end.
        @param leastDelay: how many seconds everything takes at least.
        """
        self.size = 0
        self._faults = faults
        self._clock = clock
        self._deliver = deliver
        self._leastDelay = leastDelay
        settings = faults.settings
        # How many bytes are delivered in one piece, and how many seconds one takes.
        self._most = MAX_QUEUED if settings.slice is None else settings.slice
        self._perByte = 0.0
        if settings.rate is not None:
            self._perByte = 1 / settings.rate
            self._most = min(self._most, max(1, int(settings.rate * RATE_INTERVAL)))
        # Bytes or calls, with the time at which each begins to arrive; how many bytes
        # of the first have arrived, and when the last of them has.
        self._queue: deque[tuple[float, Any]] = deque()
        self._offset = 0
        self._arrived = 0.0
        self._call: IDelayedCall | None = None
        self._paused = False
        self._sender: Any = None
        self._senderPaused = False

    def setSender(self, sender: Any) -> None:
        """
        Say who is to pause while too much is under way.

        @param sender: a push producer; L{None} for nobody.
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
        Do something after all that was sent has been delivered.

        @param call: what.
        @param seconds: how much longer it takes.
        """
        self._put(call, seconds)

    def close(self) -> None:
        """
        Forget what is under way.
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
        The other end has gone.
        """
        self.close()

    def _put(self, item: bytes | Callable[[], object], seconds: float = 0.0) -> None:
        settings, random = self._faults.settings, self._faults.random
        jitter = random.uniform(-1, 1) * settings.jitter if settings.jitter else 0.0
        delay = max(self._leastDelay, settings.delay + jitter) + seconds
        time = self._clock.seconds() + delay
        if self._queue:
            # Nothing overtakes what was sent before it.
            time = max(time, self._queue[-1][0])
        self._queue.append((time, item))
        self._schedule()

    def _nextTime(self) -> float:
        """
        When the next piece will have arrived.
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
        Deliver what is there. Each piece of a sliced stream has an iteration of the
        reactor of its own, so that it is sent in a segment of its own.
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
