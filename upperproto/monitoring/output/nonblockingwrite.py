"""
Non-blocking writes: ways to write to a descriptor without waiting.

A write to a pipe blocks when nobody reads the pipe. A write to a terminal blocks when
somebody has typed Ctrl-S there. Then the whole service blocks. The descriptor cannot be
made non-blocking, because that would change it for every process that shares it. So
a pipe or a terminal is opened once more, and a write to a socket has a flag that says
not to wait (C{MSG_DONTWAIT} of send(2)). Disks have no such way: only a thread can wait
for a disk.
"""

from __future__ import annotations

import os
import select
import socket
import stat
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

# Writes the first bytes of its argument, and returns their number.
Write = Callable[[bytes | bytearray], int]


def chooseWrite(descriptor: int, descriptors: ExitStack) -> Write | None:
    """
    Find a way to write without waiting.

    @param descriptor: the descriptor to write to.
    @param descriptors: closes the descriptors that this opens.
    @return: a function that raises C{BlockingIOError} if it would have to wait;
        L{None} if there is no way.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return None
    if stat.S_ISSOCK(mode):
        same = descriptors.enter_context(socket.socket(fileno=os.dup(descriptor)))
        return lambda data: same.send(data, socket.MSG_DONTWAIT)
    try:
        again = os.open(
            f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY
        )
    except OSError:
        # Either it belongs to another user (supervisors start a service like that), or
        # the reader of the pipe has closed it, or there is no /proc.
        return _splicer(descriptor, descriptors) if stat.S_ISFIFO(mode) else None
    descriptors.callback(os.close, again)
    if stat.S_ISFIFO(mode):
        return lambda data: os.write(again, wholeLines(data))
    return partial(os.write, again)


def wholeLines(
    data: bytes | bytearray, size: int = select.PIPE_BUF
) -> bytes | bytearray:
    """
    Get as many whole lines as fit into C{size} bytes. The default is the size that
    a pipe takes in one piece or not at all, even when others write to it (pipe(7)).
    If the first line is too long, get its beginning.
    """
    if len(data) <= size:
        return data
    return data[: data.rfind(b"\n", 0, size) + 1 or size]


def _splicer(descriptor: int, descriptors: ExitStack) -> Write:
    """
    Make a function that writes to a pipe through another pipe, which is our own:
    splice(2) from one pipe to another has a flag that says not to wait. This takes
    three system calls in place of one, and each write uses one of the 16 buffers that
    a pipe has.
    """
    reader, writer = os.pipe()
    descriptors.callback(os.close, reader)
    descriptors.callback(os.close, writer)

    def splice(data: bytes | bytearray) -> int:
        size, spliced = os.write(writer, wholeLines(data)), 0
        try:
            spliced = os.splice(reader, descriptor, size, flags=os.SPLICE_F_NONBLOCK)
        finally:
            if spliced < size:
                os.read(reader, size - spliced)
        return spliced

    return splice
