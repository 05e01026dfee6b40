"""
The signal (SIGUSR1) that opens log files again.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


class ReopenSignal:
    """
    Call a function at each SIGUSR1, while a service runs.

    The handler that was set before is called, too: C{twistd} rotates its own log file
    then, and other services of this process open their files again.
    """

    def __init__(self, reactor: Any, call: Callable[[], None]) -> None:
        """
        @param reactor: calls the function.
        @param call: the function to call.
        """
        self._reactor = reactor
        self._call = call
        self._handler: _Handler | None = None

    def start(self) -> None:
        """
        Handle the signal from now on. In another thread than the main one, do nothing,
        because Python lets only the main thread set handlers.
        """
        if threading.current_thread() is threading.main_thread():
            self._handler = _Handler(lambda: self._reactor.callFromThread(self._call))

    def stop(self) -> None:
        """
        Stop handling the signal, and set the earlier handler again. If another service
        has set its handler after this one, that service does this when it stops.
        """
        if self._handler is not None:
            self._handler.call = None
            self._handler = None
            while (top := _owner(signal.getsignal(signal.SIGUSR1))) and not top.call:
                # None means that the handler was not set from Python.
                signal.signal(signal.SIGUSR1, top.before or signal.SIG_DFL)


class _Handler:
    """
    A signal handler, from one start to the next stop.

    @ivar call: the function to call; L{None} after the stop.
    @ivar before: the handler that was set before this one.
    """

    before: Any = None

    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call
        self.before = signal.signal(signal.SIGUSR1, self.handle)

    def handle(self, number: int, frame: FrameType | None) -> None:
        if self.call is not None:
            self.call()
        if callable(self.before):
            self.before(number, frame)


def _owner(handler: object) -> _Handler | None:
    """
    Get the L{_Handler} of a handler, if it is one of ours.
    """
    owner = getattr(handler, "__self__", None)
    return owner if isinstance(owner, _Handler) else None
