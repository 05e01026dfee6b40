"""
Tests for L{upperproto.reactor.clock}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from upperproto.reactor import clock
from upperproto.reactor.clock import MonotonicClock
from upperproto.reactor.epoll import UpperReactor


class MonotonicClockTests(SynchronousTestCase):
    """
    Tests for L{MonotonicClock}, also as the clock of a reactor.
    """

    def setUp(self) -> None:
        """
        Set the clocks of the system.
        """
        self.wall, self.uptime = Clock(), Clock()
        self.wall.advance(1_000_000)
        self.uptime.advance(1000)
        self.patch(clock, "time", self.wall.seconds)
        self.patch(clock, "monotonic", self.uptime.seconds)

    def reactor(self) -> UpperReactor:
        """
        Make a reactor.
        """
        reactor = UpperReactor()
        self.addCleanup(reactor._poller.close)
        self.addCleanup(reactor.waker.connectionLost, None)
        return reactor

    def test_start(self) -> None:
        """
        Its time begins as the system's.
        """
        self.assertEqual(MonotonicClock().seconds(), 1_000_000)

    def test_jumps(self) -> None:
        """
        When the system's clock is set, it goes on as before, and calls no timer early.
        """
        reactor = self.reactor()
        calls: list[int] = []
        early = reactor.callLater(3000, calls.append, 1)
        self.addCleanup(early.cancel)
        for jump in (3600, -7200):
            self.wall.rightNow += jump
            self.uptime.advance(1)
            reactor.runUntilCurrent()
        self.assertEqual(calls, [])
        self.assertEqual(reactor.seconds(), 1_000_002)

    def test_timers(self) -> None:
        """
        The timers of the reactor follow its time.
        """
        reactor = self.reactor()
        calls: list[int] = []
        reactor.callLater(5, calls.append, 1)
        moved = reactor.callLater(1, calls.append, 2)
        moved.reset(6)
        self.uptime.advance(5)
        reactor.runUntilCurrent()
        self.assertEqual(calls, [1])
        self.uptime.advance(1)
        reactor.runUntilCurrent()
        self.assertEqual(calls, [1, 2])
