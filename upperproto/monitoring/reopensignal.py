"""
The signal that has logs opened anew.
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

    @ivar isWatching: whether a signal makes the call.
    @ivar before: the handler that stood before this one.
    """

    def __init__(self, reactor: Any, call: Callable[[], None]) -> None:
        """
        @param reactor: what calls.
        @param call: what to call, from the reactor.
        """
        self.isWatching = False
        self.before: Any = None
        self._reactor = reactor
        self._call = call

    def start(self) -> None:
        """
        Watch from now on; but Python lets only the main thread set handlers.
        """
        if threading.current_thread() is threading.main_thread():
            self.isWatching = True
            self.before = signal.signal(signal.SIGUSR1, self._handle)

    def stop(self) -> None:
        """
        Watch no longer, and put the handler back. Where another service has put its own
        on top, that one does so when it stops.
        """
        if not self.isWatching:
            return
        self.isWatching = False
        while (owner := _owner(signal.getsignal(signal.SIGUSR1))) is not None:
            if owner.isWatching:
                break
            signal.signal(signal.SIGUSR1, owner.before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.isWatching:
            self._reactor.callFromThread(self._call)
        if callable(self.before):
            self.before(number, frame)


def _owner(handler: object) -> ReopenSignal | None:
    """
    Whose handler this is, if it is one of ours.
    """
    owner = getattr(handler, "__self__", None)
    return owner if isinstance(owner, ReopenSignal) else None
