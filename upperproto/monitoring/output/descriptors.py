"""
Ways to write to a descriptor without waiting.

A write to a pipe or a terminal blocks when nobody reads the pipe, or somebody has typed
Ctrl-S in the terminal, and with it the whole service. The descriptor cannot be made
non-blocking, because that would change it for every process that shares it. So a pipe
or a terminal is opened once more, and a socket is asked not to wait (C{MSG_DONTWAIT} of
send(2)). A disk cannot be asked: only a thread can wait for it.
"""

from __future__ import annotations

import os
import select
import socket
import stat
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

# Writes some of what it is given, and gives how many bytes.
Write = Callable[[bytes | bytearray], int]


def chooseWrite(descriptor: int, descriptors: ExitStack) -> Write | None:
    """
    Find a way to write without waiting.

    @param descriptor: what to write to.
    @param descriptors: closes what is opened for that.
    @return: raises C{BlockingIOError} where it would have to wait; nothing if there is
        no way.
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
        # It belongs to another user (supervisors start a service like that), the reader
        # of the pipe has gone, or there is no /proc.
        return _splicer(descriptor, descriptors) if stat.S_ISFIFO(mode) else None
    descriptors.callback(os.close, again)
    if stat.S_ISFIFO(mode):
        return lambda data: os.write(again, wholeLines(data))
    return partial(os.write, again)


def wholeLines(
    data: bytes | bytearray, size: int = select.PIPE_BUF
) -> bytes | bytearray:
    """
    Take as many lines as fit, by default as many as a pipe takes in one piece, whoever
    else writes to it, or none (pipe(7)).
    """
    if len(data) <= size:
        return data
    return data[: data.rfind(b"\n", 0, size) + 1 or size]


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
        size, spliced = os.write(writer, wholeLines(data)), 0
        try:
            spliced = os.splice(reader, descriptor, size, flags=os.SPLICE_F_NONBLOCK)
        finally:
            if spliced < size:
                os.read(reader, size - spliced)
        return spliced

    return splice


def writeSome(descriptor: int, data: bytes | bytearray) -> int:
    """
    Write no more than a terminal takes at once, as a rule.
    """
    return os.write(descriptor, data[: select.PIPE_BUF])
