"""
Handlers of SIGINT and SIGTERM, for a process that starts, or that is ending already.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class SecondSignal:
    """
    Handle a second SIGINT or SIGTERM: a process that is ending already ends at once.

    The reactor's own handlers would stop the reactor a second time, which logs a
    traceback of C{ReactorNotRunning}. Several services of one process may each watch:
    each handler passes the signal on to the one before it. The last service that stops
    puts the first handlers back.

    @ivar isWatching: whether a signal makes the call.
    @ivar before: the handlers before this one.
    """

    def __init__(self, reactor: Any, call: Callable[[], None]) -> None:
        """
        @param reactor: makes the call.
        @param call: what to call at a second signal.
        """
        self.reactor = reactor
        self.call = call
        self.isWatching = False
        self._trigger: Any = None
        self.before: dict[int, Any] = {}

    def start(self) -> None:
        """
        Handle the signals from the time when the reactor begins to shut down.
        """
        self._trigger = self.reactor.addSystemEventTrigger(
            "before", "shutdown", self._watch
        )

    def stop(self) -> None:
        """
        Stop handling the signals, and put the handlers back.
        """
        if self._trigger is not None:
            self.reactor.removeSystemEventTrigger(self._trigger)
            self._trigger = None
        self.isWatching = False
        for number in self.before:
            while (owner := _owner(signal.getsignal(number))) and not owner.isWatching:
                signal.signal(number, owner.before[number])

    def _watch(self) -> None:
        # A trigger that has been fired cannot be removed.
        self._trigger = None
        # Python lets only the main thread set handlers. So a reactor in another thread
        # has no handlers that could stop it twice.
        if threading.current_thread() is threading.main_thread():
            self.isWatching = True
            for number in (signal.SIGINT, signal.SIGTERM):
                self.before[number] = signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        watcher: SecondSignal | None = self
        isWatched = False
        while watcher is not None:
            if watcher.isWatching:
                isWatched = True
                watcher.reactor.callFromThread(watcher.call)
            before = watcher.before[number]
            watcher = _owner(before)
        if not isWatched and callable(before):
            # Another handler was set after this one, and has called it.
            before(number, frame)


def _owner(handler: object) -> SecondSignal | None:
    """
    Find the L{SecondSignal} that a handler belongs to, if it belongs to one.
    """
    owner = getattr(handler, "__self__", None)
    return owner if isinstance(owner, SecondSignal) else None


@contextmanager
def signalsBeforeRunning(reactor: Any, call: Callable[[str], None]) -> Iterator[None]:
    """
    Handle SIGINT and SIGTERM before the reactor runs. Without this, they end a process
    that starts, and its PID file and its UNIX sockets are not removed.

    @param reactor: a reactor that does not run yet.
    @param call: called with the name of the signal, in an iteration of the reactor.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        reactor.callFromThread(call, signal.Signals(number).name)

    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
