"""
Tests for L{upperproto.monitoring.reopensignal}.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from itertools import permutations
from threading import Thread
from types import SimpleNamespace

from twisted.trial.unittest import SynchronousTestCase

from upperproto.monitoring.reopensignal import ReopenSignal


class ReopenSignalTests(SynchronousTestCase):
    """
    Tests for L{ReopenSignal}.
    """

    def setUp(self) -> None:
        """
        Have a handler of somebody else, and put back what was there before.
        """
        self.addCleanup(signal.signal, signal.SIGUSR1, signal.getsignal(signal.SIGUSR1))
        self.others: list[int] = []
        self.handler = lambda number, frame: self.others.append(number)
        signal.signal(signal.SIGUSR1, self.handler)
        self.calls: list[str] = []
        self.fromThread: list[Callable[[], None]] = []

    def watch(self, name: str) -> ReopenSignal:
        """
        Let somebody watch.
        """
        reactor = SimpleNamespace(callFromThread=self.fromThread.append)
        watcher = ReopenSignal(reactor, partial(self.calls.append, name))
        watcher.start()
        return watcher

    def signal(self) -> list[str]:
        """
        Send this process a SIGUSR1, and give what was called because of it.
        """
        self.calls.clear()
        self.fromThread.clear()
        signal.raise_signal(signal.SIGUSR1)
        self.assertEqual(self.calls, [])
        for each in self.fromThread:
            each()
        return self.calls

    def test_called(self) -> None:
        """
        A signal makes the call, from the reactor, and reaches who had it before.
        """
        watcher = self.watch("a")
        self.assertEqual(self.signal(), ["a"])
        self.assertEqual(self.others, [signal.SIGUSR1])
        watcher.stop()
        self.assertIs(signal.getsignal(signal.SIGUSR1), self.handler)
        watcher.stop()
        self.assertEqual(self.signal(), [])

    def test_several(self) -> None:
        """
        Several services each hear of it until they stop, in whatever order, and the
        last of them puts the handler back.
        """
        for order in permutations("abc"):
            watchers = {name: self.watch(name) for name in "abc"}
            left = {*order}
            for name in order:
                self.assertEqual({*self.signal()}, left)
                watchers[name].stop()
                left.remove(name)
            self.assertIs(signal.getsignal(signal.SIGUSR1), self.handler)

    def test_startedAgain(self) -> None:
        """
        One that starts again while another one watches is called once.
        """
        first, second = self.watch("a"), self.watch("b")
        first.stop()
        first.start()
        self.assertEqual(sorted(self.signal()), ["a", "b"])
        second.stop()
        self.assertEqual(self.signal(), ["a"])
        first.stop()
        self.assertIs(signal.getsignal(signal.SIGUSR1), self.handler)

    def test_onTop(self) -> None:
        """
        A handler that somebody has put on top stays, and what it calls does no harm.
        """
        watcher = self.watch("a")
        ours = signal.getsignal(signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, lambda *arguments: ours(*arguments))  # type: ignore[operator, misc] # It is callable.
        top = signal.getsignal(signal.SIGUSR1)
        watcher.stop()
        self.assertIs(signal.getsignal(signal.SIGUSR1), top)
        self.assertEqual(self.signal(), [])
        self.assertEqual(self.others, [signal.SIGUSR1])

    def test_default(self) -> None:
        """
        Where nobody had it before, it is again as it was.
        """
        for before in (signal.SIG_DFL, signal.SIG_IGN):
            signal.signal(signal.SIGUSR1, before)
            watcher = self.watch("a")
            self.assertEqual(self.signal(), ["a"])
            watcher.stop()
            self.assertIs(signal.getsignal(signal.SIGUSR1), before)

    def test_otherThread(self) -> None:
        """
        In another thread than the main one nothing is set, because nothing can be.
        """
        watchers: list[ReopenSignal] = []
        thread = Thread(target=lambda: watchers.append(self.watch("a")))
        thread.start()
        thread.join()
        self.assertIs(signal.getsignal(signal.SIGUSR1), self.handler)
        watchers[0].stop()
        self.assertIs(signal.getsignal(signal.SIGUSR1), self.handler)
