"""
Standard output and error that cannot hold the service up.

C{twistd --nodaemon} and C{twist} log with blocking writes. When the reader of
the pipe has stopped, or somebody has typed Ctrl-S in the terminal, such a write
does not return, and the whole service stands still. The descriptor cannot be
made non-blocking, because that would change it for every process that shares
it. So a pipe or a terminal is opened once more, a socket is asked not to wait
(C{MSG_DONTWAIT} of send(2)), and what cannot be written without waiting is left to
a thread, which waits in place of the reactor.

This module relies on Twisted's log observers to hand each record to the
C{write} of C{sys.__stdout__} or C{sys.__stderr__} in one piece, as they do from
24.3 to 26.10.
"""

from __future__ import annotations

import os
import socket
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
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
    Write whole records, from a thread where one has to wait, and lose some rather
    than hold anybody up.
    """

    _log = Logger()

    def __init__(self, descriptor: int, encoding: str) -> None:
        """
        @param descriptor: what to write to; it is not closed.
        @param encoding: how records are encoded; what it lacks is escaped.
        """
        self._descriptor = descriptor
        self._encoding = encoding
        self._withoutWaiting = _withoutWaiting(descriptor)
        # Unlike a Condition, it may be used by a signal handler that interrupts
        # its use, as Twisted's do to log the signal.
        self._records: SimpleQueue[bytes] = SimpleQueue()
        # The thread adds to _done while it has records, and nobody else does then;
        # so neither needs a lock.
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
                "{lost} lines of the log are lost here: nobody read them", lost=lost
            )
        data = record.encode(self._encoding, "backslashreplace")
        size = len(data)
        if waiting + size > LIMIT:
            # The lines of a turn come in one record.
            self._lost += record.count("\n")
        else:
            idle = self._given == self._done
            self._given += size
            if idle:
                data = data[self._writeNow(data) :]
            if data:
                self._records.put(data)
        if self._deadline is not None:
            while self._done < self._given and time.monotonic() < self._deadline:
                time.sleep(0.001)
        return len(record)

    def _writeNow(self, data: bytes) -> int:
        """
        Write what one need not wait for.

        @return: how many bytes.
        """
        sent = 0
        if self._withoutWaiting is not None:
            # There may be no room, or nobody to read.
            with suppress(OSError):
                sent = self._withoutWaiting(data)
        self._done += sent
        return sent

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
            size = len(batch)
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
            self._done += size


def _withoutWaiting(descriptor: int) -> Callable[[bytes], int] | None:
    """
    Find a way to write to a descriptor without waiting for who reads.

    @param descriptor: a pipe, a socket or a terminal.
    @return: writes what it is given, or some of it, and gives how many bytes; an
        C{OSError} says that it would have to wait. Nothing if there is no way.
    """
    if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        same = socket.socket(fileno=os.dup(descriptor))
        return lambda data: same.send(data, socket.MSG_DONTWAIT)
    try:
        own = os.open(
            f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY
        )
    except OSError:
        # There is no /proc, or it belongs to another user.
        return None
    return partial(os.write, own)


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
