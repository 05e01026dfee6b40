"""
Tests for L{upperproto.limits.stopsignals}.
"""

from __future__ import annotations

import signal
from functools import partial
from threading import Thread
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from tests.test_service import Signalled
from upperproto.limits.stopsignals import SecondSignal


class SecondSignalTests(SynchronousTestCase):
    """
    Tests for L{SecondSignal}.
    """

    def setUp(self) -> None:
        """
        Make a reactor, and put the handlers back afterwards.
        """
        for number in [signal.SIGINT, signal.SIGTERM]:
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.first: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, frame: self.first.append(number))
        self.reactor: Any = MemoryReactorClock()
        self.signalled = Signalled(self.reactor)
        self.calls: list[str] = []

    def watch(self, name: str) -> SecondSignal:
        """
        Let somebody watch for a second signal.
        """
        watcher = SecondSignal(self.reactor, partial(self.calls.append, name))
        watcher.start()
        return watcher

    def signal(self) -> list[str]:
        """
        Send this process a SIGTERM, and give what was called because of it.
        """
        self.calls.clear()
        self.signalled.fromThread.clear()
        signal.raise_signal(signal.SIGTERM)
        self.assertEqual(self.calls, [])
        for each in self.signalled.fromThread:
            each()
        return self.calls

    def test_untilShutdown(self) -> None:
        """
        While the reactor runs, signals are the reactor's.
        """
        self.watch("a")
        self.assertEqual(self.signal(), [])
        self.assertEqual(self.first, [signal.SIGTERM])

    def test_severalServices(self) -> None:
        """
        Once it shuts down, a signal reaches all who watch, from the reactor, and
        nobody else; and the last of them puts the handler back, in whatever order
        they stop.
        """
        for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]):
            self.first.clear()
            watchers = [self.watch(name) for name in "abc"]
            self.signalled.shutDown()
            self.assertEqual(sorted(self.signal()), ["a", "b", "c"])
            left = [0, 1, 2]
            for index in order:
                self.assertEqual(self.first, [])
                watchers[index].stop()
                left.remove(index)
                names = sorted("abc"[each] for each in left)
                self.assertEqual(sorted(self.signal()), names)
            self.assertEqual(self.first, [signal.SIGTERM])

    def test_anotherThread(self) -> None:
        """
        In an application whose reactor runs in another thread, signals stay as they
        are.
        """
        watcher = self.watch("a")
        thread = Thread(target=self.signalled.shutDown)
        thread.start()
        thread.join()
        self.assertEqual(self.signal(), [])
        watcher.stop()
        self.assertEqual(self.first, [signal.SIGTERM])
