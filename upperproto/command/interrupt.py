"""
Ctrl-C: what happens at SIGINT.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from upperproto.command import standardio as stdio

# The status that a shell gives for SIGINT.
INTERRUPTED = 130


def onInterrupt(call: Callable[[], None]) -> None:
    """
    Call a function at Ctrl-C. A background job of a shell ignores SIGINT, and goes on
    to do so.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        call()

    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, handle)


def leaveAtOnce() -> None:
    """
    End the process at once, on a new line.

    An exception would not end it, because the reactor catches exceptions. There is
    nothing to clean up.
    """
    with suppress(OSError):
        os.write(stdio.STDERR, b"\n")
    os._exit(INTERRUPTED)
