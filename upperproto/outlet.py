"""
Standard output and error that cannot hold the service up.

C{twistd --nodaemon} and C{twist} log with blocking writes. When the reader of
the pipe has stopped, or somebody has typed Ctrl-S in the terminal, such a write
does not return, and the whole service stands still. The descriptor cannot be
made non-blocking, because that would change it for every process that shares
it; so a thread waits in place of the reactor.

This module relies on Twisted's log observers to hand each record to the
C{write} of C{sys.__stdout__} or C{sys.__stderr__} in one piece, as they do from
24.3 to 26.10.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from queue import SimpleQueue
from select import select
from threading import Thread
from typing import Any

from twisted.logger import Logger

# How many bytes may wait to be written; while there are more, records are lost.
LIMIT = 1 << 20

# How long, in seconds, the end of the process may wait for its last records.
PATIENCE = 0.2


class Outlet:
    """
    Write whole records from a thread, and lose some rather than wait.
    """

    _log = Logger()

    def __init__(self, descriptor: int, encoding: str) -> None:
        """
        @param descriptor: what to write to; it is not closed.
        @param encoding: how records are encoded; what it lacks is escaped.
        """
        self._descriptor = descriptor
        self._encoding = encoding
        # Unlike a Condition, it may be used by a signal handler that interrupts
        # its use, as Twisted's do to log the signal.
        self._records: SimpleQueue[bytes] = SimpleQueue()
        # The thread alone adds to _done, so that neither needs a lock.
        self._given = 0
        self._done = 0
        self._lost = 0
        self._deadline: float | None = None
        Thread(target=self._writeAll, name="standard output", daemon=True).start()

    def write(self, record: str) -> int:
        """
        Have a record written, or lose it if too much waits already.

        @param record: the whole of it.
        @return: its length.
        """
        waiting = self._given - self._done
        if self._lost and waiting < LIMIT // 2:
            lost, self._lost = self._lost, 0
            self._log.warn(
                "{lost} log records are lost here: nobody read them", lost=lost
            )
        data = record.encode(self._encoding, "backslashreplace")
        if waiting + len(data) > LIMIT:
            self._lost += 1
        else:
            self._given += len(data)
            self._records.put(data)
        if self._deadline is not None:
            while self._done < self._given and time.monotonic() < self._deadline:
                time.sleep(0.001)
        return len(record)

    def finish(self) -> None:
        """
        From now on, wait until what is written is out; but for no more than
        L{PATIENCE} altogether, because the process is about to end.
        """
        self._deadline = time.monotonic() + PATIENCE

    def _writeAll(self) -> None:
        """
        Write for ever, in a thread.
        """
        while True:
            # Each write costs a busy reactor a switch of threads, and this one
            # up to 5 ms until it may go on; so all that waits goes in one.
            batch = bytearray(self._records.get())
            while not self._records.empty():
                batch += self._records.get()
            rest = memoryview(batch)
            while rest:
                try:
                    rest = rest[os.write(self._descriptor, rest) :]
                except BlockingIOError:
                    # Somebody who shares it has made it non-blocking.
                    select([], [self._descriptor], [])
                except OSError:
                    # The reader is gone. The service is not here to log.
                    break
            self._done += len(batch)


def unblock(reactor: Any) -> None:
    """
    Take over standard output and standard error where writing to them can
    block: to pipes, sockets and terminals, but not to files.

    @param reactor: the one that runs.
    """
    for file in (sys.__stdout__, sys.__stderr__):
        # It is None where the process was started with the descriptor closed.
        if file is None:
            continue
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or file.isatty():
            outlet = Outlet(file.fileno(), file.encoding)
            file.write = outlet.write  # type: ignore[method-assign] # one file's.
            reactor.addSystemEventTrigger("after", "shutdown", outlet.finish)
