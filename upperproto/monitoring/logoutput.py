"""
Output of a log's records that never makes the reactor wait.

A write to a pipe or a terminal blocks when nobody reads the pipe, or somebody has typed
Ctrl-S in the terminal, and with it the whole service. The descriptor cannot be made
non-blocking, because that would change it for every process that shares it. So a pipe
or a terminal is opened once more, a socket is asked not to wait (C{MSG_DONTWAIT} of
send(2)), and when somebody has to be waited for, a thread waits.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from threading import Lock, Thread

# How many bytes may wait to be written, unless it is a single record.
MAX_WAITING = 1 << 20

# How long, in seconds, the end of the process may wait for its last records.
FINISH_TIMEOUT = 0.2

# How long, in seconds, the thread waits where a descriptor was ready and took nothing:
# a terminal with room for one byte takes no line end, which it writes as two.
RETRY_INTERVAL = 0.01

# How many bytes the thread writes at a time: as many as a pipe holds, as a rule.
MAX_WRITE = 1 << 16

# Writes some of what it is given, and gives how many bytes.
Write = Callable[[bytes | bytearray], int]


class LogOutput:
    """
    Write whole records to a descriptor: at once what needs no waiting, the rest from a
    thread, which ends when nothing waits any more. When too much waits, whole records
    are lost, and counted.

    Lines are written whole: where several outputs share a file that was opened to
    append, or a pipe, one does not write into the middle of another's line (as long as
    that is no longer than C{PIPE_BUF}).

    It may be used from any thread, and by a signal handler that interrupts its use. For
    that nobody who writes a record waits for the lock: whoever has it takes the record.

    @ivar lost: how many lines were lost, altogether.
    """

    def __init__(self, descriptor: int, describeLoss: Callable[[int], bytes]) -> None:
        """
        @param descriptor: what to write to; it is not closed.
        @param describeLoss: makes the record that tells how many lines are lost; it
            may be empty.
        @raise OSError: for what is no open descriptor.
        """
        self.lost = 0
        self._describeLoss = describeLoss
        self._descriptors = ExitStack()
        self._writeNow = _chooseWrite(descriptor, self._descriptors)
        # Blocks where there is no other way, and only in the thread.
        self._write = self._writeNow or partial(_writeBlocking, descriptor)
        self._descriptor = descriptor
        self._wakeReader, self._wakeWriter = os.pipe()
        self._descriptors.callback(os.close, self._wakeReader)
        self._descriptors.callback(os.close, self._wakeWriter)
        self._deadline: float | None = None
        self._closed = False
        # What nobody has taken yet.
        self._arrived: deque[bytes] = deque()
        # All below is for whoever has the lock. While the thread runs, nobody else
        # takes away from what waits.
        self._lock = Lock()
        self._thread: Thread | None = None
        self._running = False
        self._waiting = bytearray()
        # How many lines were lost since that was told.
        self._lost = 0

    def write(self, record: bytes) -> None:
        """
        Have a record written, or lose it if too much waits already.

        @param record: the whole of it.
        """
        if self._closed:
            return
        self._arrived.append(record)
        self._takeArrived()
        if self._deadline is not None:
            self._waitForThread(self._deadline)

    def finish(self) -> None:
        """
        Wait until all is written, and from now on for each record, too; but for no more
        than L{FINISH_TIMEOUT} altogether, because the process is about to end.
        """
        self._deadline = time.monotonic() + FINISH_TIMEOUT
        self._waitForThread(self._deadline)

    def close(self, wait: bool = True) -> None:
        """
        Finish, and write no more; what waits then is lost. Neither a thread nor a
        descriptor is left, except for the descriptor that was handed in. (A signal
        handler must not call this.)

        @param wait: whether to wait until all is written, as L{finish} does.
        """
        if self._closed:
            return
        # A disk that was full may have room again.
        self._takeArrived()
        if wait:
            self.finish()
        self._closed = True
        os.write(self._wakeWriter, b"\0")
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()
        with self._lock:
            self._descriptors.close()
            self.lost += self._waiting.count(b"\n")
            self._waiting.clear()

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
        """
        Let a record wait, or lose it.
        """
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
        """
        Tell how many lines are lost, once there is room for more than one.
        """
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
            thread = Thread(target=self._writeWaiting, name="log output", daemon=True)
            # The system may have no more threads. It is the same then.
            with suppress(RuntimeError):
                thread.start()
                self._thread, self._running = thread, True

    def _writeWaiting(self) -> None:
        """
        Write until nothing waits, in the thread.
        """
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        poll.register(self._wakeReader, select.POLLIN)
        more = True
        try:
            while more:
                poll.poll()
                more = not self._closed and self._writeChunk()
        except OSError:
            # As in _flush.
            with self._lock:
                self._running = False
        else:
            self._takeArrived()

    def _writeChunk(self) -> bool:
        """
        Write some of what waits.

        @return: whether more waits.
        """
        with self._lock:
            chunk = bytes(self._waiting[:MAX_WRITE])
        sent = 0
        try:
            sent = self._write(chunk)
        except BlockingIOError:
            time.sleep(RETRY_INTERVAL)
        with self._lock:
            del self._waiting[:sent]
            self._tellLoss()
            self._running = bool(self._waiting)
            return self._running

    def _waitForThread(self, deadline: float) -> None:
        thread = self._thread
        if thread is not None:
            thread.join(max(0, deadline - time.monotonic()))


def _chooseWrite(descriptor: int, descriptors: ExitStack) -> Write | None:
    """
    Find a way to write without waiting.

    @param descriptor: what to write to.
    @param descriptors: closes what is opened for that.
    @return: raises C{BlockingIOError} where it would have to wait; nothing if there is
        no way.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return partial(os.write, descriptor)
    if stat.S_ISSOCK(mode):
        same = descriptors.enter_context(socket.socket(fileno=os.dup(descriptor)))
        return lambda data: same.send(data, socket.MSG_DONTWAIT)
    try:
        again = os.open(
            f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY
        )
    except OSError:
        # It belongs to another user (supervisors start a service like that), the reader
        # of the pipe has gone, or there is no /proc.
        return _splicer(descriptor, descriptors) if stat.S_ISFIFO(mode) else None
    descriptors.callback(os.close, again)
    if stat.S_ISFIFO(mode):
        return lambda data: os.write(again, _wholeLines(data))
    return partial(os.write, again)


def _wholeLines(data: bytes | bytearray) -> bytes | bytearray:
    """
    Take as many lines as a pipe takes in one piece, whoever else writes to it, or none
    (pipe(7)).
    """
    if len(data) <= select.PIPE_BUF:
        return data
    return data[: data.rfind(b"\n", 0, select.PIPE_BUF) + 1 or select.PIPE_BUF]


def _splicer(descriptor: int, descriptors: ExitStack) -> Write:
    """
    Write to a pipe by way of one of our own: splice(2) from one pipe to another can be
    told not to wait. It takes three calls in place of one, and each write takes one of
    the 16 places that a pipe has.
    """
    reader, writer = os.pipe()
    descriptors.callback(os.close, reader)
    descriptors.callback(os.close, writer)

    def splice(data: bytes | bytearray) -> int:
        size, spliced = os.write(writer, _wholeLines(data)), 0
        try:
            spliced = os.splice(reader, descriptor, size, flags=os.SPLICE_F_NONBLOCK)
        finally:
            if spliced < size:
                os.read(reader, size - spliced)
        return spliced

    return splice


def _writeBlocking(descriptor: int, data: bytes | bytearray) -> int:
    """
    Write no more than a terminal takes at once, as a rule.
    """
    return os.write(descriptor, data[: select.PIPE_BUF])
