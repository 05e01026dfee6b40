"""
Ctrl-C.
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
    Have something called at Ctrl-C. A shell that starts a job in the background has
    it ignore SIGINT, and is not overruled.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        call()

    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, handle)


def leaveAtOnce() -> None:
    """
    Leave, on a new line.

    An exception would not do: the reactor catches those of what it calls. There
    is nothing to clean up, because nothing that will outlive us was changed.
    """
    with suppress(OSError):
        os.write(stdio.STDERR, b"\n")
    os._exit(INTERRUPTED)
