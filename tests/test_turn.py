"""
Tests for L{upperproto.turn}.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from typing import Any
from unittest import skipUnless

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionLost
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.testing import MemoryReactor
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from upperproto.listeners import Inheriting
from upperproto.turn import Turn, shorten


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
        turn = shorten(self.reactor)
        assert turn is not None
        self.turn = turn

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
