"""
The signals that end a process: while it starts, and when it is ending already.
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
    What SIGINT and SIGTERM mean to a process that is already ending: end at once.

    The reactor's own handlers would stop it a second time, and it logs a traceback of
    C{ReactorNotRunning} then. Several services of one process may each watch: a
    signal is passed on to all that do, and the last to leave puts the handlers back.

    @ivar isWatching: whether a signal makes the call.
    @ivar before: the handlers that stood before this one's.
    """

    def __init__(self, reactor: Any, call: Callable[[], None]) -> None:
        """
        @param reactor: what calls.
        @param call: what to call, from the reactor.
        """
        self.reactor = reactor
        self.call = call
        self.isWatching = False
        self._trigger: Any = None
        self.before: dict[int, Any] = {}

    def start(self) -> None:
        """
        Watch as soon as the reactor begins to shut down.
        """
        self._trigger = self.reactor.addSystemEventTrigger(
            "before", "shutdown", self._watch
        )

    def stop(self) -> None:
        """
        Watch no longer, and put the handlers back.
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
        # Python lets only the main thread set handlers. A reactor in another one has
        # none, either.
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
            # Whoever has put a handler of his own on top of ours has called it.
            before(number, frame)


def _owner(handler: object) -> SecondSignal | None:
    """
    Whose handler this is, if it is one of ours.
    """
    owner = getattr(handler, "__self__", None)
    return owner if isinstance(owner, SecondSignal) else None


@contextmanager
def signalsBeforeRunning(reactor: Any, call: Callable[[str], None]) -> Iterator[None]:
    """
    Take SIGINT and SIGTERM as the reactor does when it runs: without this, they end
    a process that only starts, and leave its PID file and its UNIX sockets behind.

    @param reactor: a reactor that does not run yet.
    @param call: what to call with the name of the signal, in an iteration.
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
