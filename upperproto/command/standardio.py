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

STDIN, STDOUT, STDERR = 0, 1, 2

# What does something to a terminal, or to the order of what it shows: the control
# characters, the separators of lines, and the marks of direction (UAX 9).
_CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


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
