"""
Tests for L{upperproto.signals}.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from upperproto.signals import onSecondSignal


class OnSecondSignalTests(SynchronousTestCase):
    """
    Tests for L{onSecondSignal}.
    """

    def setUp(self) -> None:
        """
        Put the handlers back afterwards.
        """
        for number in [signal.SIGINT, signal.SIGTERM]:
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        reactor: Any = MemoryReactorClock()
        self.calls: list[None] = []
        self.fromThread: list[Callable[[], None]] = []
        reactor.callFromThread = self.fromThread.append
        self.reactor = reactor
        onSecondSignal(reactor, lambda: self.calls.append(None))

    def test_untilShutdown(self) -> None:
        """
        While the reactor runs, signals are the reactor's.
        """
        before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
        self.reactor.run()
        after = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
        self.assertEqual(after, before)

    def test_shutdown(self) -> None:
        """
        Once it shuts down, each further signal makes the call, in a turn of the
        reactor.
        """
        [(call, arguments, keywords)] = self.reactor.triggers["before"]["shutdown"]
        call(*arguments, **keywords)
        for number in [signal.SIGTERM, signal.SIGINT]:
            os.kill(os.getpid(), number)
        self.assertEqual(self.calls, [])
        for each in self.fromThread:
            each()
        self.assertEqual(len(self.calls), 2)
