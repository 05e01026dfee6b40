"""
Tests for L{upperproto.command.talk.completeness}.
"""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings, strategies
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from upperproto import UpperFactory
from upperproto.command.talk.completeness import AnswerTracker


def chunks(data: bytes, cuts: list[int]) -> list[bytes]:
    """
    Cut bytes into chunks of one byte at least.
    """
    bounds = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(bounds)]


CUTS = strategies.lists(strategies.integers(0, 1000), max_size=5)
# Lines of text and of what is none; a few characters make all kinds likely.
LINES = strategies.one_of(
    strategies.text("aß€", max_size=9).map(str.encode),
    strategies.binary(max_size=5),
    strategies.just(b"a" * 40),
)
TEXTS = strategies.lists(LINES, max_size=5).map(b"\n".join)


class ServerTransport(StringTransport):
    """
    A transport on the server's side, as far as the service needs it.
    """

    def loseWriteConnection(self) -> None:
        """
        Do nothing.
        """


class AnswerTrackerTests(SynchronousTestCase):
    """
    L{AnswerTracker}.
    """

    def settled(self, asked: str, answered: str) -> bool:
        """
        Whether one chunk each way leaves no problem.
        """
        tracker = AnswerTracker()
        tracker.ask(asked.encode())
        tracker.answer(answered.encode())
        tracker.end()
        return not tracker.problem()

    def test_nothing(self) -> None:
        """
        Who asks nothing is owed nothing.
        """
        self.assertFalse(AnswerTracker().problem())

    def test_ascii(self) -> None:
        """
        ASCII text has an answer as long as it is, to the byte.
        """
        self.assertTrue(self.settled("abc\nd", "ABC\nD"))
        self.assertFalse(self.settled("abc\nd", "ABC\n"))
        self.assertFalse(self.settled("abc\nd", ""))
        self.assertFalse(self.settled("abc\n", "error: too many connections\n"))

    def test_lines(self) -> None:
        """
        Other text has an answer of as many lines at least: errors may be lines
        of their own.
        """
        self.assertTrue(self.settled("ß\nß", "SS\nSS"))
        self.assertTrue(self.settled("ß\nß", "SS\nerror: invalid UTF-8 at byte 1\n"))
        self.assertTrue(self.settled("ß\n", "S\nerror: invalid UTF-8 at byte 3\n"))
        self.assertFalse(self.settled("ß\nß", "SS\n"))
        self.assertFalse(self.settled("ß\nß\n", "SS\n"))
        self.assertFalse(self.settled("ß", ""))

    def test_both(self) -> None:
        """
        What has been ASCII is counted in bytes, also when its answer comes
        together with others.
        """
        tracker = AnswerTracker()
        tracker.ask(b"abc\n")
        tracker.ask("ß\n".encode())
        tracker.answer(b"ABC\nSS")
        tracker.answer(b"\n")
        self.assertFalse(tracker.problem())
        tracker.ask(b"abc")
        self.assertTrue(tracker.problem())
        tracker.answer(b"ABC")
        self.assertFalse(tracker.problem())

    def test_partAnswered(self) -> None:
        """
        The beginning of a line may have been answered before the rest is asked.
        """
        tracker = AnswerTracker()
        tracker.ask(b"abc")
        tracker.answer(b"ABC")
        tracker.ask("ß\n".encode())
        self.assertTrue(tracker.problem())
        tracker.answer(b"SS\n")
        self.assertFalse(tracker.problem())

    def test_errorForBeginning(self) -> None:
        """
        An error may be shorter than the ASCII beginning of its line.
        """
        tracker = AnswerTracker()
        tracker.ask(b"abc\n" + b"x" * 100)
        tracker.ask(b"\xff\nd\n")
        tracker.answer(b"ABC\nerror: invalid UTF-8 at byte 101\n")
        self.assertTrue(tracker.problem())
        tracker.answer(b"D\n")
        self.assertFalse(tracker.problem())

    # Speed is no part of what is tested, and other work may slow the machine.
    @settings(deadline=None)
    @given(TEXTS, CUTS, CUTS)
    def test_service(self, asked: bytes, cuts: list[int], others: list[int]) -> None:
        """
        Whatever the service is asked, however that and its answers are cut, the
        tracker has no problem at the end, and not while lines are missing.
        """
        transport = ServerTransport()
        protocol = UpperFactory().buildProtocol(None)
        assert protocol is not None
        protocol.makeConnection(transport)
        tracker = AnswerTracker()
        for chunk in chunks(asked, cuts):
            tracker.ask(chunk)
            protocol.dataReceived(chunk)
        IHalfCloseableProtocol(protocol).readConnectionLost()
        owed = asked.count(b"\n") + (asked[-1:] not in (b"", b"\n"))
        for chunk in chunks(transport.value(), others):
            if owed > 1:
                self.assertTrue(tracker.problem())
            tracker.answer(chunk)
            owed -= chunk.count(b"\n")
        self.assertFalse(tracker.problem())
