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
    Call something at each SIGUSR1, for as long as a service runs.

    Whoever has had a handler before is called, too: C{twistd} rotates its own log file
    then, and other services of this process open theirs anew.
    """

    def __init__(self, reactor: Any, call: Callable[[], None]) -> None:
        """
        @param reactor: what calls.
        @param call: what to call, from the reactor.
        """
        self._reactor = reactor
        self._call = call
        self._handler: _Handler | None = None

    def start(self) -> None:
        """
        Watch from now on; but Python lets only the main thread set handlers.
        """
        if threading.current_thread() is threading.main_thread():
            self._handler = _Handler(lambda: self._reactor.callFromThread(self._call))

    def stop(self) -> None:
        """
        Watch no longer, and put the handler back. Where another service has put its own
        on top, that one does so when it stops.
        """
        if self._handler is not None:
            self._handler.call = None
            self._handler = None
            while (top := _owner(signal.getsignal(signal.SIGUSR1))) and not top.call:
                # None is a handler that is not Python's.
                signal.signal(signal.SIGUSR1, top.before or signal.SIG_DFL)


class _Handler:
    """
    A handler, from one start to the next stop.

    @ivar call: what to call; L{None} if nothing is any more.
    @ivar before: the handler that stood before this one.
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
    Whose handler this is, if it is one of ours.
    """
    owner = getattr(handler, "__self__", None)
    return owner if isinstance(owner, _Handler) else None
