"""
What SIGINT and SIGTERM mean to a process that is already ending.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any


def onSecondSignal(reactor: Any, call: Callable[[], None]) -> None:
    """
    Once the reactor is shutting down, call something at each further SIGINT or
    SIGTERM.

    The reactor's own handlers would stop it a second time, and it logs a
    traceback of C{ReactorNotRunning} then.

    @param reactor: a running reactor, or one that will run.
    @param call: what to call, in a turn of the reactor.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        reactor.callFromThread(call)

    def install() -> None:
        signal.signal(signal.SIGINT, handle)
        signal.signal(signal.SIGTERM, handle)

    reactor.addSystemEventTrigger("before", "shutdown", install)
