"""
Standard input and output, without a change to what they are.

The descriptors are inherited. Their O_NONBLOCK flag belongs to everybody who
shares them, the shell among others, and would outlive this process if it was
killed. So it is never set: what is read has been reported as there, and what is
written may block.

That a write blocks is the back-pressure. While nobody takes our answers, none
are read from the server, which then reads no more text, and no input is read
either. The kernel holds what it has room for, and this process a chunk each way.
"""

from __future__ import annotations

import os
import re
import select
from collections.abc import Callable
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.main import CONNECTION_DONE
from twisted.python.failure import Failure

STDIN, STDOUT, STDERR = 0, 1, 2

# What does something to a terminal, or to the order of what it shows: the control
# characters, the separators of lines, and the marks of direction (UAX 9).
_CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)

# As much as Twisted sends in one call, where a file has it. A pipe gives at most
# the 64 KiB that it holds, a terminal one line.
CHUNK = FileDescriptor.SEND_LIMIT


class StandardInput(FileDescriptor):
    """
    Read standard input, whatever it is, as a producer for a transport.

    Twisted polls what epoll(7) refuses, such as a file, by itself.
    """

    def __init__(
        self,
        received: Callable[[bytes], None],
        ended: Callable[[Failure], None],
        reactor: Any,
    ) -> None:
        """
        @param received: is called with each chunk.
        @param ended: is called once at the end of input, with C{ConnectionDone},
            or with the L{OSError} of a read that failed.
        @param reactor: what waits for input.
        """
        super().__init__(reactor)
        self.connected = 1
        self._received = received
        self._ended = ended

    def fileno(self) -> int:
        """
        The descriptor to wait for.
        """
        return STDIN

    def doRead(self) -> Exception | None:
        """
        Read what is there.

        @return: what ends the input, if it has ended.
        """
        try:
            data = os.read(STDIN, CHUNK)
        except BlockingIOError:
            # Somebody else had set O_NONBLOCK, and somebody took the input.
            return None
        except OSError as error:
            return error
        if not data:
            return CONNECTION_DONE
        self._received(data)
        return None

    def connectionLost(self, reason: Failure) -> None:
        """
        Pass the end of input on.
        """
        super().connectionLost(reason)
        self._ended(reason)

    def stopProducing(self) -> None:
        """
        Read no more: nobody wants the input any longer.
        """
        self.stopReading()


def write(data: bytes) -> None:
    """
    Write to standard output, all of it, however long that takes.

    @param data: what.
    @raise OSError: where the system refuses; L{BrokenPipeError} if whoever read
        our output does so no longer.
    """
    written = 0
    while written < len(data):
        try:
            written += os.write(STDOUT, data[written:] if written else data)
        except BlockingIOError:
            # Somebody else had set O_NONBLOCK.
            poll = select.poll()
            poll.register(STDOUT, select.POLLOUT)
            poll.poll()


def escaped(text: str) -> str:
    """
    Make a text fit for a terminal: what does something to it becomes C{\\xNN}.

    @param text: what somebody else has sent; a byte that is not UTF-8 may be in it
        as a lone surrogate (C{surrogateescape}).
    """
    return _CONTROLS.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return found[0].encode("unicode_escape").decode("ascii")
