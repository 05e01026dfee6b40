"""
Standard input and output, with blocking writes.

The descriptors are inherited. Other processes, such as the shell, share their flag
O_NONBLOCK, and it would stay set if this process were killed. So it is never set. Input
is read only after the reactor has reported it, and a write may block.

The blocking write is the back-pressure. While nobody reads our output, we read no
answers from the server and no input. Then the server reads no more text. The kernel
holds as much as it has room for, and this process one chunk in each direction.
"""

from __future__ import annotations

import os
import re
import select

STDIN, STDOUT, STDERR = 0, 1, 2

# Characters that change a terminal, or the order of its text: control characters, line
# separators, and marks of direction (UAX 9).
_CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def write(data: bytes) -> None:
    """
    Write all bytes to standard output, and wait as long as that takes.

    @param data: the bytes.
    @raise OSError: if the system refuses; L{BrokenPipeError} if nobody reads the output
        any more.
    """
    written = 0
    while written < len(data):
        try:
            written += os.write(STDOUT, data[written:] if written else data)
        except BlockingIOError:
            # Another process has set O_NONBLOCK.
            poll = select.poll()
            poll.register(STDOUT, select.POLLOUT)
            poll.poll()


def escaped(text: str) -> str:
    """
    Make a text safe for a terminal: control characters become C{\\xNN}.

    @param text: the text. A byte that is not UTF-8 is a lone surrogate in it
        (C{surrogateescape}).
    """
    return _CONTROLS.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return found[0].encode("unicode_escape").decode("ascii")
