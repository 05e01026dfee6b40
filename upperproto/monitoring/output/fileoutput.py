"""
The output of a log to a file; it never makes the reactor wait.

A disk, especially a disk of another machine, may need any time for a call, and has no
way to say that it would have to wait. So a thread makes all these calls.
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable
from threading import Thread
from time import monotonic
from typing import Any

from upperproto.monitoring.output.nonblockingwrite import wholeLines
from upperproto.monitoring.output.recordqueue import MAX_WRITE, LogOutput

# After a write, the thread collects records for so many seconds. To wake it for each
# record would take more time than everything else that is done for the record.
PAUSE = 0.01

# The caller waits at most so many seconds until an urgent record is written, or, for
# any record, until there is room again.
URGENT_TIMEOUT = 0.05

# The thread checks whether the file was moved away, but only once in so many seconds.
CHECK_INTERVAL = 1.0

# The mode of a new file. Other users must not read the names of clients.
_MODE = 0o640


class FileOutput(LogOutput):
    """
    Write whole records to a regular file, from a thread. The thread ends when no record
    has come for some time.

    The caller waits until an urgent record is written, so that it is in the file when
    a crash follows. When many bytes wait, the caller also waits for other records, so
    that no record of a burst is lost while the disk works. Each wait is at most
    L{URGENT_TIMEOUT} seconds. If the disk does not answer in this time, the caller does
    not wait again until it answers.
    """

    # Whether the last line in the file is whole.
    _isWhole = True
    _isHurried = False
    # The thread that has not ended within URGENT_TIMEOUT.
    _stuck: Thread | None = None

    def _awaitRoom(self) -> None:
        # A file always has room, or a write to it gives an error.
        pass

    def _write(self, data: bytes) -> int:
        written = os.write(self._descriptor, wholeLines(data, MAX_WRITE))
        self._isWhole = data[:written].endswith(b"\n") or not data
        return written

    def _wake(self) -> None:
        if not self._isHurried:
            self._isHurried = True
            os.write(self._wakeWriter, b"\0")

    def _startThread(self) -> None:
        self._isHurried = False
        if self._isWoken(0):
            os.read(self._wakeReader, 16)
        super()._startThread()

    def _hurry(self) -> None:
        if self._stuck is None or not self._stuck.is_alive():
            self._stuck = self._waitForThread(monotonic() + URGENT_TIMEOUT)

    def _mayEnd(self, hasFailed: bool = False) -> bool:
        if not self._waiting or hasFailed:
            if not (self._isHurried or self._closed or self._deadline is not None):
                self._isWoken(PAUSE)
        return super()._mayEnd(hasFailed)

    def _isWoken(self, seconds: float) -> bool:
        """
        Wait until the thread is woken, for so many seconds at most.

        @return: whether it was woken.
        """
        poll = select.poll()
        poll.register(self._wakeReader, select.POLLIN)
        return bool(poll.poll(seconds * 1000))


class NamedFileOutput(FileOutput):
    """
    Write to the file with a certain name. If the file was moved away, a new one is
    made: by a call of L{reopen}, or when a record is written. (For a record, the name
    is checked once in L{CHECK_INTERVAL} seconds.) If no new file can be made, the old
    one is used.
    """

    def __init__(
        self,
        path: str,
        descriptor: int,
        describeLoss: Callable[[int], bytes],
        reactor: Any,
        tell: Callable[[str], object],
    ) -> None:
        """
        @param path: its name.
        @param descriptor: the open file with that name; it is closed at the end.
        @param describeLoss: see L{LogOutput}.
        @param reactor: see L{LogOutput}.
        @param tell: called by the thread: with an empty text when a new file was made,
            or with the reason why none can be made.
        """
        self._path = path
        self._tell = tell
        # The time of the next check of the name.
        self._nextCheck = 0.0
        super().__init__(descriptor, describeLoss, reactor, isOwn=True)

    def reopen(self) -> None:
        """
        Check now whether the file was moved away, and make a new one if it was.
        """
        with self._lock:
            self._isDue = True
            if not self._running and not self._closed:
                self._startThread()
        self._takeArrived()
        self._wake()

    def _writeChunk(self) -> bool:
        now = monotonic()
        # The rest of a line has to follow its beginning, in the same file.
        if (self._isDue or now >= self._nextCheck) and self._isWhole:
            self._isDue = False
            self._nextCheck = now + CHECK_INTERVAL
            try:
                if self._wasMoved():
                    new = openFile(self._path)
                    os.close(self._descriptor)
                    self._descriptor = new
                    self._tell("")
            except OSError as error:
                self._tell(error.strerror or str(error))
        return super()._writeChunk()

    def _wasMoved(self) -> bool:
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return True
        ours = os.fstat(self._descriptor)
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)


def openFile(path: str) -> int:
    """
    Open a file to append to it; if there is none, make it.

    @raise OSError: if this is not possible. A pipe without a reader gives this error,
        too, so that nobody waits for a reader.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY
    return os.open(path, flags, _MODE)


def isFile(descriptor: int) -> bool:
    """
    Whether a descriptor belongs to a regular file.

    @raise OSError: if the descriptor is not open.
    """
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def outputTo(
    descriptor: int, describeLoss: Callable[[int], bytes], reactor: Any = None
) -> LogOutput:
    """
    Make the output for a descriptor, which it does not close: see L{LogOutput}.
    """
    make = FileOutput if isFile(descriptor) else LogOutput
    return make(descriptor, describeLoss, reactor)
