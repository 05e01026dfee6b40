"""
The queue of a log: records written at once, or waiting for a thread, or lost.
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
from upperproto.monitoring.output.nonblockingwrite import chooseWrite, wholeLines

# At most so many bytes may wait to be written, except for a single longer record.
MAX_WAITING = 1 << 20

# At its end, the process waits at most so many seconds for its last records.
FINISH_TIMEOUT = 0.2

# At its end, an output waits at most so many seconds for a call that does not return.
CLOSE_TIMEOUT = 1.0

# If a descriptor is ready but takes nothing, the thread waits so many seconds. A
# terminal with room for one byte takes no line end, for it writes that as two bytes.
RETRY_INTERVAL = 0.01

# The thread writes at most so many bytes at a time. A pipe usually holds as many.
MAX_WRITE = 1 << 16

# An iteration collects at most so many records, of at most so many bytes each. Together
# they are at most half of MAX_WAITING.
MAX_COLLECTED = 256
LONGEST_COLLECTED = 2048


class LogOutput:
    """
    Write whole records to a descriptor, at once if that is possible. A thread writes
    the others, and ends when none waits any more. When too many bytes wait, whole
    records are lost, and counted.

    Lines are written whole. If several outputs share a pipe, or a file that was opened
    to append, none writes into a line of another that has at most C{PIPE_BUF} bytes.

    Any thread may use it, and also a signal handler that interrupts its use: to write
    a record, no call waits for the lock. The owner of the lock takes the record.

    @ivar lost: the number of all lost lines.
    """

    def __init__(
        self,
        descriptor: int,
        describeLoss: Callable[[int], bytes],
        reactor: Any = None,
        isOwn: bool = False,
    ) -> None:
        """
        @param descriptor: the descriptor to write to.
        @param describeLoss: makes the record about lost lines, which may be empty.
        @param reactor: if it is an L{IIterationEnd}, the records of an iteration that
            are not urgent are written together, at its end.
        @param isOwn: whether to close the descriptor at the end.
        @raise OSError: if the descriptor is not open.
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
        # The records that no owner of the lock has taken yet.
        self._arrived: deque[bytes] = deque()
        # Only the owner of the lock uses the attributes below. While the thread runs,
        # only the thread removes bytes from _waiting.
        self._lock = Lock()
        self._thread: Thread | None = None
        self._running = False
        # Whether the thread has something else to do.
        self._isDue = False
        self._waiting = bytearray()
        # The number of lines lost since the last record about losses.
        self._lost = 0

    def write(self, record: bytes, isUrgent: bool = True) -> None:
        """
        Write a record, or lose it if too many bytes wait already.

        @param record: the whole record.
        @param isUrgent: whether to write it now, and not at the end of the iteration.
        """
        if self._closed:
            return
        arrived = self._arrived
        arrived.append(record)
        alone = isUrgent or self._deadline is not None
        later = None if alone or len(record) > LONGEST_COLLECTED else self._callAtEnd
        # The call that takes the first record takes them all.
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
        Wait until all records are written, because the process is about to end. From
        now on, wait for each new record, too. All these waits together take at most
        L{FINISH_TIMEOUT} seconds.
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
        Finish, and stop writing; records that still wait are lost. Its thread has ended
        then, and its own descriptors are closed, unless a call does not return. (A
        signal handler must not call this.)
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
        """End a pause of the thread. The thread of this class makes no pause."""

    def _hurry(self) -> None:
        """Try to get an urgent record written, or records that may soon be lost."""

    def _takeArrived(self) -> None:
        """
        Take the records that have arrived, and write them. If another call is doing
        this, do nothing.
        """
        while self._lock.acquire(False):
            try:
                while self._arrived:
                    self._accept(self._arrived.popleft())
                if not self._running and not self._closed:
                    self._flush()
            finally:
                self._lock.release()
            # Records that have arrived before the release were not taken: look again.
            if not self._arrived:
                break

    def _accept(self, record: bytes) -> None:
        """Put a record after those that wait, or lose it."""
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
        """Say how many lines are lost, when there is room for many records."""
        if self._lost and len(self._waiting) < MAX_WAITING // 2:
            self._waiting += self._describeLoss(self._lost)
            self._lost = 0

    def _flush(self) -> None:
        """
        Write the bytes that wait. Start the thread if this cannot be done at once.
        """
        try:
            while self._waiting and self._writeNow is not None:
                del self._waiting[: self._writeNow(self._waiting)]
        except BlockingIOError:
            pass
        except OSError:
            # The disk is full, or the reader has closed the pipe. The next record tries
            # again.
            return
        if self._waiting:
            self._startThread()

    def _startThread(self) -> None:
        thread = Thread(target=self._writeWaiting, name="log output", daemon=True)
        # If the system has no more threads, the next record tries again, too.
        with suppress(RuntimeError):
            thread.start()
            self._thread, self._running = thread, True

    def _writeWaiting(self) -> None:
        """Run in the thread: write until nothing waits."""
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
        """Wait until the descriptor takes bytes, or the output is closed."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        poll.register(self._wakeReader, select.POLLIN)
        poll.poll()

    def _writeChunk(self) -> bool:
        """Write some of the bytes that wait, and return whether more wait."""
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
        """Write some bytes, in the thread. This may block if there is no other way."""
        if self._writeNow is not None:
            return self._writeNow(data)
        # A terminal usually takes so many bytes at once.
        return os.write(self._descriptor, data[: select.PIPE_BUF])

    def _mayEnd(self, hasFailed: bool = False) -> bool:
        """Whether the thread ends: nothing waits, or it cannot be written."""
        with self._lock:
            self._running = bool(self._waiting or self._isDue) and not hasFailed
            return not self._running

    def _waitForThread(self, deadline: float) -> Thread | None:
        """
        Wait until no record waits, or none can be written.

        @param deadline: the latest end of this wait.
        @return: the thread, if it has not ended by then.
        """
        # The lock's owner may have a record that is in neither _arrived nor _waiting.
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
                # This is a signal handler that has interrupted the owner of the lock.
                break
        return None
