"""
Tests for L{upperproto.reactor.epoll}.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest import skipUnless

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionLost
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.testing import MemoryReactor
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from upperproto.reactor import epoll as turn
from upperproto.reactor.epoll import Turn, shorten
from upperproto.ways.endpoints import Inheriting


class Pipe(FileDescriptor):
    """
    The reading end of a pipe, in a reactor.

    @ivar events: what has happened to it.
    """

    def __init__(self, reactor: Any, doRead: Callable[[Pipe], Any]) -> None:
        """
        @param reactor: where.
        @param doRead: what it does with what comes.
        """
        super().__init__(reactor)
        self.reading, self.writing = os.pipe()
        self.events: list[object] = []
        self._doRead = doRead
        self.startReading()

    def fileno(self) -> int:
        """
        Give the reading end.
        """
        return self.reading

    def doRead(self) -> Any:
        """
        Read.
        """
        self.events.append(os.read(self.reading, 10))
        return self._doRead(self)

    def connectionLost(self, reason: Failure) -> None:
        """
        Note why.
        """
        self.events.append(reason.type)
        super().connectionLost(reason)
        self.stopReading()

    def close(self) -> None:
        """
        Close both ends.
        """
        self.stopReading()
        os.close(self.reading)
        if self.writing >= 0:
            os.close(self.writing)


@skipUnless(hasattr(select, "epoll"), "needs epoll")
class TurnTests(SynchronousTestCase):
    """
    Tests for L{Turn}.
    """

    def setUp(self) -> None:
        """
        Make a reactor that takes short turns.
        """
        from twisted.internet.epollreactor import EPollReactor

        self.reactor: Any = EPollReactor()
        self.addCleanup(self.reactor._poller.close)
        short = shorten(self.reactor)
        assert short is not None
        self.turn = short

    def pipe(self, doRead: Callable[[Pipe], Any] = lambda pipe: None) -> Pipe:
        """
        Make a pipe that is closed after the test.
        """
        pipe = Pipe(self.reactor, doRead)
        self.addCleanup(pipe.close)
        return pipe

    def test_read(self) -> None:
        """
        Who can read does, and only then.
        """
        pipe, other = self.pipe(), self.pipe()
        os.write(pipe.writing, b"abc")
        self.reactor.iterate(0)
        self.reactor.iterate(0)
        self.assertEqual(pipe.events, [b"abc"])
        self.assertEqual(other.events, [])

    def test_waits(self) -> None:
        """
        Without a time, it waits for an event.
        """
        pipe = self.pipe()
        os.write(pipe.writing, b"abc")
        self.turn(None)
        self.assertEqual(pipe.events, [b"abc"])

    def test_end(self) -> None:
        """
        A reader that says that its stream has ended is told so.
        """
        pipe = self.pipe(lambda pipe: CONNECTION_DONE)
        os.write(pipe.writing, b"abc")
        self.reactor.iterate(0)
        self.assertEqual(pipe.events, [b"abc", type(CONNECTION_DONE)])

    def test_hangUp(self) -> None:
        """
        An event of another kind is handled as Twisted does.
        """
        pipe = self.pipe()
        os.close(pipe.writing)
        pipe.writing = -1
        self.reactor.iterate(0)
        self.assertEqual(pipe.events, [type(CONNECTION_DONE)])

    def test_fault(self) -> None:
        """
        A fault ends the connection that meets it, with one traceback in the log,
        and no other.
        """
        pipe = self.pipe(lambda pipe: 1 // 0)
        other = self.pipe()
        for each in (pipe, other):
            os.write(each.writing, b"abc")
        self.reactor.iterate(0)
        self.assertEqual(pipe.events, [b"abc", ZeroDivisionError])
        self.assertEqual(other.events, [b"abc"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_closedMeanwhile(self) -> None:
        """
        Who has been closed by an earlier event of the same turn is not called.
        """
        pipes: list[Pipe] = []

        def closeOthers(reader: Pipe) -> None:
            for each in pipes:
                if each is not reader:
                    each.connectionLost(Failure(ConnectionLost()))

        pipes += [self.pipe(closeOthers), self.pipe(closeOthers)]
        for each in pipes:
            os.write(each.writing, b"abc")
        self.reactor.iterate(0)
        self.assertEqual(
            sorted((each.events for each in pipes), key=str),
            [[ConnectionLost], [b"abc"]],
        )

    def test_readSoon(self) -> None:
        """
        A new connection is read after all events of the turn that has accepted it,
        and before its end.
        """

        def accept(pipe: Pipe) -> None:
            self.turn.readSoon(new)
            self.turn.atEnd(lambda: ended.append(list(new.events)))

        ended: list[list[object]] = []
        pipes = [self.pipe(accept), self.pipe(lambda pipe: os.write(new.writing, b"b"))]
        new = self.pipe(lambda pipe: CONNECTION_DONE)
        for each in pipes:
            os.write(each.writing, b"a")
        self.reactor.iterate(0)
        told = [b"b", type(CONNECTION_DONE)]
        self.assertEqual(new.events, told)
        self.assertEqual(ended, [told])
        self.reactor.iterate(0)
        self.assertEqual(new.events, told)

    def test_readSoonNoMore(self) -> None:
        """
        It is not, if it reads no more by then.
        """

        def refuse(pipe: Pipe) -> None:
            self.turn.readSoon(new)
            new.stopReading()

        pipe, new = self.pipe(refuse), self.pipe()
        os.write(pipe.writing, b"a")
        self.reactor.iterate(0)
        self.assertEqual(pipe.events, [b"a"])
        self.assertEqual(new.events, [])

    def test_atEnd(self) -> None:
        """
        What is for the end of a turn is done once, after all its events.
        """

        def read(pipe: Pipe) -> None:
            self.turn.atEnd(lambda: ended.append([len(each.events) for each in pipes]))

        ended: list[list[int]] = []
        pipes = [self.pipe(read), self.pipe(read)]
        for each in pipes:
            os.write(each.writing, b"abc")
        self.reactor.iterate(0)
        self.assertEqual(ended, [[1, 1], [1, 1]])
        self.reactor.iterate(0)
        self.assertEqual(len(ended), 2)

    def test_afterTimers(self) -> None:
        """
        What a timer leaves for the end of the turn is done before events are
        waited for.
        """
        pipe = self.pipe()
        os.write(pipe.writing, b"abc")
        ended: list[list[object]] = []
        self.turn.atEnd(lambda: ended.append(list(pipe.events)))
        self.turn(None)
        self.assertEqual(ended, [[]])
        self.assertEqual(pipe.events, [b"abc"])

    def test_once(self) -> None:
        """
        A reactor has one turn, however many services ask for it.
        """
        self.assertIs(shorten(self.reactor), self.turn)
        self.assertIsInstance(self.reactor.doIteration, Turn)

    def test_standIn(self) -> None:
        """
        What stands in for a reactor that takes short turns has the same turn.
        """
        self.assertIs(shorten(Inheriting(self.reactor)), self.turn)


class Poller:
    """
    Stands in for epoll, and for the time.

    @ivar now: the time, in seconds.
    @ivar comes: when the next events come.
    @ivar looks: for how long each look would have waited.
    """

    def __init__(self) -> None:
        """
        Begin at no time in particular.
        """
        self.now = 100.0
        self.comes = 100.0
        self.events = [(-1, 0)]
        self.looks: list[float] = []

    def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
        """
        Look, which takes ten microseconds, and wait.
        """
        self.looks.append(timeout)
        self.now += 0.00001
        if timeout:
            waited = self.comes if timeout < 0 else min(self.comes, self.now + timeout)
            self.now = max(self.now, waited)
        return self.events if self.now >= self.comes else []


class CloselyTests(SynchronousTestCase):
    """
    Tests for how L{Turn} waits for events that follow each other closely.
    """

    def setUp(self) -> None:
        """
        Make a turn in a time of its own.
        """
        self.poller = Poller()
        self.patch(turn, "monotonic", lambda: self.poller.now)
        reactor = SimpleNamespace(_poller=self.poller, _selectables={}, _POLL_IN=1)
        self.turn = Turn(reactor)

    def turnAfter(self, seconds: float, timeout: float | None = None) -> list[float]:
        """
        Take a turn whose events come after some seconds.

        @return: for how long each of its looks would have waited.
        """
        self.poller.comes = self.poller.now + seconds
        self.poller.looks.clear()
        self.turn(timeout)
        return list(self.poller.looks)

    def test_sleepsFirst(self) -> None:
        """
        Nothing is known of the first event, nor of one after a long time: the
        process sleeps.
        """
        self.assertEqual(self.turnAfter(1), [-1])
        self.assertEqual(self.turnAfter(1, timeout=5), [5])

    def test_closely(self) -> None:
        """
        After one that came closely, the next is looked for without sleep.
        """
        self.turnAfter(0.00005)
        self.assertEqual(self.turnAfter(0.000035), [0, 0, 0, 0])
        self.assertEqual(self.turnAfter(0.000005), [0])

    def test_notForLong(self) -> None:
        """
        When it does not come, the process sleeps, and does so the next time.
        """
        self.turnAfter(0.00005)
        looks = self.turnAfter(1)
        self.assertEqual(looks[-1], -1)
        self.assertEqual(set(looks[:-1]), {0})
        self.assertIn(len(looks[:-1]), (10, 11))
        self.assertEqual(self.turnAfter(0.00005), [-1])

    def test_several(self) -> None:
        """
        After several at a time it sleeps.
        """
        self.poller.events *= 2
        self.turnAfter(0.00005)
        self.assertEqual(self.turnAfter(0.00005), [-1])

    def test_timer(self) -> None:
        """
        A timer that is due is not waited for.
        """
        self.turnAfter(0.00005)
        self.assertEqual(self.turnAfter(1, timeout=0), [0])
        self.turnAfter(0.00005)
        self.assertLess(len(self.turnAfter(1, timeout=0.00003)), 6)


class ShortenTests(SynchronousTestCase):
    """
    Tests for L{shorten} where nothing can be shortened.
    """

    def test_otherReactor(self) -> None:
        """
        Another reactor keeps its own turn.
        """
        self.assertIsNone(shorten(MemoryReactor()))

    def test_withoutEpoll(self) -> None:
        """
        So does each where the system has no epoll.
        """
        self.patch(select, "epoll", None)
        del select.epoll
        self.assertIsNone(shorten(MemoryReactor()))
