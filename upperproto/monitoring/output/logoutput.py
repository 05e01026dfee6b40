"""
Output of a log's records: what cannot be written at once, a thread writes.
"""

from __future__ import annotations

import os
import select
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from threading import Lock, Thread
from typing import Any

from upperproto.interfaces import IIterationEnd
from upperproto.monitoring.output.descriptors import chooseWrite, wholeLines, writeSome

# How many bytes may wait to be written, unless it is a single record.
MAX_WAITING = 1 << 20

# How long, in seconds, the end of the process may wait for its last records.
FINISH_TIMEOUT = 0.2

# How long, in seconds, the end of an output may wait for a call that does not return.
CLOSE_TIMEOUT = 1.0

# How long, in seconds, the thread waits where a descriptor was ready and took nothing:
# a terminal with room for one byte takes no line end, which it writes as two.
RETRY_INTERVAL = 0.01

# How many bytes the thread writes at a time: as many as a pipe holds, as a rule.
MAX_WRITE = 1 << 16

# How many records are collected in one iteration, and of how many bytes each: together
# no more than half of what may wait.
MAX_COLLECTED = 256
LONGEST_COLLECTED = 2048


class LogOutput:
    """
    Write whole records to a descriptor: at once what needs no waiting, the rest from a
    thread, which ends when nothing waits any more. When too much waits, whole records
    are lost, and counted.

    Lines are written whole: where several outputs share a file that was opened to
    append, or a pipe, one does not write into the middle of another's line (as long as
    that is no longer than C{PIPE_BUF}).

    It may be used from any thread, and by a signal handler that interrupts its use: to
    write a record, nobody waits for the lock. Whoever has the lock takes the record.

    @ivar lost: how many lines were lost, altogether.
    """

    def __init__(
        self,
        descriptor: int,
        describeLoss: Callable[[int], bytes],
        reactor: Any = None,
        isOwn: bool = False,
    ) -> None:
        """
        @param descriptor: what to write to.
        @param describeLoss: makes the record that tells how many lines are lost; it
            may be empty.
        @param reactor: where it is an L{IIterationEnd}, the records of an iteration
            that are not urgent are written together, at its end.
        @param isOwn: whether to close the descriptor at the end.
        @raise OSError: for what is no open descriptor.
        """
        self.lost = 0
        iterations = IIterationEnd(reactor, None)
        self._callAtEnd = None if iterations is None else iterations.callAtEnd
        self._describeLoss = describeLoss
        self._descriptors = ExitStack()
        self._writeNow = chooseWrite(descriptor, self._descriptors)
        self._descriptor = descriptor
        self._wakeReader, self._wakeWriter = os.pipe()
        self._descriptors.callback(os.close, self._wakeReader)
        self._descriptors.callback(os.close, self._wakeWriter)
        self._deadline: float | None = None
        self._closed = False
        if isOwn:
            self._descriptors.callback(lambda: os.close(self._descriptor))
        # What nobody has taken yet.
        self._arrived: deque[bytes] = deque()
        # All below is for whoever has the lock. While the thread runs, nobody else
        # takes away from what waits.
        self._lock = Lock()
        self._thread: Thread | None = None
        self._running = False
        # Whether the thread has something else to do.
        self._isDue = False
        self._waiting = bytearray()
        # How many lines were lost since that was told.
        self._lost = 0

    def write(self, record: bytes, isUrgent: bool = True) -> None:
        """
        Have a record written, or lose it if too much waits already.

        @param record: the whole of it.
        @param isUrgent: whether it may not be collected.
        """
        if self._closed:
            return
        arrived = self._arrived
        arrived.append(record)
        alone = isUrgent or self._deadline is not None
        later = None if alone or len(record) > LONGEST_COLLECTED else self._callAtEnd
        # Whoever takes the first one takes them all.
        if later is not None and (
            1 < len(arrived) <= MAX_COLLECTED
            or (len(arrived) == 1 and later(self._takeArrived))
        ):
            return
        self._takeArrived()
        if self._deadline is not None:
            self._waitForThread(self._deadline)
        elif isUrgent or arrived or len(self._waiting) > MAX_WAITING // 2:
            self._hurry()

    def finish(self) -> None:
        """
        Wait until all is written, and from now on for each record, too; but for no more
        than L{FINISH_TIMEOUT} altogether, because the process is about to end.
        """
        if self._closed:
            return
        if self._deadline is None:
            self._deadline = time.monotonic() + FINISH_TIMEOUT
        # A disk that was full may have room again.
        self._takeArrived()
        self._waitForThread(self._deadline)

    def close(self) -> None:
        """
        Finish, and write no more; what waits then is lost. Neither a thread nor a
        descriptor of its own is left, unless a call does not return. (A signal handler
        must not call this.)
        """
        if self._closed:
            return
        self.finish()
        self._closed = True
        os.write(self._wakeWriter, b"\0")
        # To close a file may take as long as to write to it.
        last = Thread(target=self._release, name="log output", daemon=True)
        try:
            last.start()
        except RuntimeError:
            self._release()
        else:
            last.join(CLOSE_TIMEOUT)
        with self._lock:
            self.lost += self._waiting.count(b"\n")
            self._waiting.clear()

    def _release(self) -> None:
        """Close the descriptors, once nobody uses them."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()
        self._descriptors.close()

    def _wake(self) -> None:
        """Let the thread pause no more. This one does not."""

    def _hurry(self) -> None:
        """Do what can be done for an urgent record, or before records are lost."""

    def _takeArrived(self) -> None:
        """
        Take what has arrived, unless somebody else is taking it, and write it.
        """
        while self._lock.acquire(False):
            try:
                while self._arrived:
                    self._accept(self._arrived.popleft())
                if not self._running and not self._closed:
                    self._flush()
            finally:
                self._lock.release()
            # Nobody could take what has arrived since the last look.
            if not self._arrived:
                break

    def _accept(self, record: bytes) -> None:
        """Let a record wait, or lose it."""
        if self._lost:
            self._tellLoss()
        waiting = len(self._waiting)
        if self._lost or (waiting and waiting + len(record) > MAX_WAITING):
            lines = record.count(b"\n")
            self._lost += lines
            self.lost += lines
        else:
            self._waiting += record

    def _tellLoss(self) -> None:
        """Tell how many lines are lost, once there is room for more than one."""
        if self._lost and len(self._waiting) < MAX_WAITING // 2:
            self._waiting += self._describeLoss(self._lost)
            self._lost = 0

    def _flush(self) -> None:
        """
        Write what waits, and start the thread if somebody has to be waited for.
        """
        try:
            while self._waiting and self._writeNow is not None:
                del self._waiting[: self._writeNow(self._waiting)]
        except BlockingIOError:
            pass
        except OSError:
            # The disk is full, or the reader has gone: the next record is the next
            # chance.
            return
        if self._waiting:
            self._startThread()

    def _startThread(self) -> None:
        thread = Thread(target=self._writeWaiting, name="log output", daemon=True)
        # The system may have no more threads. It is the same then.
        with suppress(RuntimeError):
            thread.start()
            self._thread, self._running = thread, True

    def _writeWaiting(self) -> None:
        """Write until nothing waits, in the thread."""
        more = True
        try:
            while more:
                self._awaitRoom()
                more = not self._closed and self._writeChunk()
        except OSError:
            # As in _flush.
            self._mayEnd(True)
        else:
            self._takeArrived()

    def _awaitRoom(self) -> None:
        """Wait until the descriptor takes something, or the output is closed."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        poll.register(self._wakeReader, select.POLLIN)
        poll.poll()

    def _writeChunk(self) -> bool:
        """Write some of what waits; give whether more waits."""
        with self._lock:
            chunk = bytes(wholeLines(self._waiting, MAX_WRITE))
        sent = 0
        try:
            sent = self._write(chunk)
        except BlockingIOError:
            time.sleep(RETRY_INTERVAL)
        with self._lock:
            del self._waiting[:sent]
            self._tellLoss()
        return not self._mayEnd()

    def _write(self, data: bytes) -> int:
        """Write some, in the thread. It blocks where there is no other way."""
        if self._writeNow is None:
            return writeSome(self._descriptor, data)
        return self._writeNow(data)

    def _mayEnd(self, hasFailed: bool = False) -> bool:
        """Whether the thread ends: nothing waits, or it cannot be written."""
        with self._lock:
            self._running = bool(self._waiting or self._isDue) and not hasFailed
            return not self._running

    def _waitForThread(self, deadline: float) -> Thread | None:
        """
        Wait until nothing waits to be written, or cannot be.

        @return: the thread that has not ended by then.
        """
        # Who has the lock may be on the way from one of them to the other.
        while self._running or self._arrived or self._lock.locked():
            thread = self._thread
            if thread is None or self._closed:
                break
            self._wake()
            thread.join(max(0, deadline - time.monotonic()))
            if thread.is_alive():
                return thread
            if self._arrived:
                self._takeArrived()
            if not self._running and (self._arrived or self._lock.locked()):
                # This is a signal handler, and what it interrupted has the lock.
                break
        return None
