"""
Output of a log's records to a file, which never makes the reactor wait.

A disk, above all that of another machine, may take any time for each call, and cannot
be asked not to. So a thread makes all of them.
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable
from threading import Thread
from time import monotonic
from typing import Any

from upperproto.monitoring.output.descriptors import wholeLines
from upperproto.monitoring.output.logoutput import MAX_WRITE, LogOutput

# How long, in seconds, the thread collects records once it has written. To be woken for
# each one would take more time than all else that is done for it.
PAUSE = 0.01

# How long, in seconds, an urgent record may wait until it is written, and any record
# until there is room again.
URGENT_TIMEOUT = 0.05

# How often, in seconds, the thread looks whether the file was moved away, at most.
CHECK_INTERVAL = 1.0

# Not everybody may read who was served.
_MODE = 0o640


class FileOutput(LogOutput):
    """
    Write whole records to a regular file, from a thread. It ends when nothing has come
    for some time.

    An urgent record is waited for, for L{URGENT_TIMEOUT} at most, so that it is in the
    file when a crash follows. So are others when much waits: a disk that answers loses
    nothing of a burst. While the disk does not answer, this is done only once.
    """

    # Whether the last line in the file is whole.
    _isWhole = True
    _isHurried = False
    # The thread that was waited for in vain.
    _stuck: Thread | None = None

    def _awaitRoom(self) -> None:
        # A file has room, or says that it has none.
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
        Wait until somebody wakes the thread, for so many seconds at most.
        """
        poll = select.poll()
        poll.register(self._wakeReader, select.POLLIN)
        return bool(poll.poll(seconds * 1000))


class NamedFileOutput(FileOutput):
    """
    Write to the file of some name. Where it was moved away, it is made anew: when a
    record is written a second later or more, or when somebody says so. Where that
    cannot be done, the old one is written to.
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
        @param descriptor: what was opened by that name; it is closed.
        @param describeLoss: see L{LogOutput}.
        @param reactor: likewise.
        @param tell: is called by the thread when the file was made anew, or with the
            reason for which it cannot be.
        """
        self._path = path
        self._tell = tell
        # When it is looked for in any case.
        self._nextCheck = 0.0
        super().__init__(descriptor, describeLoss, reactor, isOwn=True)

    def reopen(self) -> None:
        """
        Look now whether the file was moved away.
        """
        with self._lock:
            self._isDue = True
            if not self._running and not self._closed:
                self._startThread()
        self._takeArrived()
        self._wake()

    def _writeChunk(self) -> bool:
        now = monotonic()
        # The rest of a line belongs to its beginning.
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
    Open a file to append to it, or make it.

    @raise OSError: where that cannot be done. A pipe without a reader is an error, and
        so it is not waited for.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY
    return os.open(path, flags, _MODE)


def isFile(descriptor: int) -> bool:
    """
    Whether a descriptor is that of a regular file.

    @raise OSError: for what is no open descriptor.
    """
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def outputTo(
    descriptor: int, describeLoss: Callable[[int], bytes], reactor: Any = None
) -> LogOutput:
    """
    Make the output for a descriptor that somebody else closes: see L{LogOutput}.
    """
    make = FileOutput if isFile(descriptor) else LogOutput
    return make(descriptor, describeLoss, reactor)
