"""
Tests for L{upperproto.command.talk.pipe}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from upperproto.command.errors import SessionError
from upperproto.command.otherprotocols import ASK_WITH_TLS
from upperproto.command.talk.pipe import Filter

DONE, LOST = Failure(ConnectionDone()), Failure(ConnectionLost())

NOTHING = f"and nothing came; if the server speaks TLS, {ASK_WITH_TLS}"


class HalfClosingTransport(StringTransport):
    """
    A transport that notes how its side ended.
    """

    ended = ""

    def loseWriteConnection(self) -> None:
        """
        Note the end.
        """
        assert self.producer is None, "a producer keeps the connection open"
        self.ended += "half-closed"


class FilterTests(SynchronousTestCase):
    """
    L{Filter}, and what is L{Session}'s in it.
    """

    def setUp(self) -> None:
        """
        Make a filter whose output is a list.
        """
        self.reactor = MemoryReactorClock()
        self.output: list[bytes] = []
        self.transport = HalfClosingTransport()
        self.filter = Filter(self.reactor, output=self.output.append)

    def assertEnded(self, problem: str) -> None:
        """
        Assert that the conversation has ended badly, and why.
        """
        failure = self.failureResultOf(self.filter.done, SessionError)
        self.assertEqual(str(failure.value), problem)
        self.assertEqual(self.reactor.getReaders(), [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_conversation(self) -> None:
        """
        Input goes out as it is, answers come as they are; the end of input
        half-closes, and the server's ends it all.
        """
        self.filter.makeConnection(self.transport)
        self.assertEqual(len(self.reactor.getReaders()), 1)
        self.filter.inputReceived(b"abc\nd")
        self.filter.dataReceived(b"ABC\n")
        self.filter.inputEnded(DONE)
        self.assertEqual(self.transport.ended, "half-closed")
        self.filter.dataReceived(b"D")
        self.assertNoResult(self.filter.done)
        self.filter.connectionLost(DONE)
        self.successResultOf(self.filter.done)
        self.assertEqual(self.transport.value(), b"abc\nd")
        self.assertEqual(self.output, [b"ABC\n", b"D"])

    def test_backPressure(self) -> None:
        """
        While the transport takes nothing, no input is read.
        """
        self.filter.makeConnection(self.transport)
        assert self.transport.producer is not None
        self.assertTrue(self.transport.streaming)
        self.transport.producer.pauseProducing()
        self.assertEqual(self.reactor.getReaders(), [])
        self.transport.producer.resumeProducing()
        self.assertEqual(len(self.reactor.getReaders()), 1)

    def test_tooEarly(self) -> None:
        """
        A server that ends before the input does has cut the conversation off.
        """
        self.filter.makeConnection(self.transport)
        self.filter.connectionLost(DONE)
        self.assertEnded("the server closed the connection before the end of input")

    def test_unanswered(self) -> None:
        """
        So has one that has not answered everything.
        """
        self.filter.makeConnection(self.transport)
        self.filter.inputReceived(b"abc\n")
        self.filter.inputEnded(DONE)
        self.filter.connectionLost(DONE)
        self.assertEnded(
            f"the server closed the connection before its last answer, {NOTHING}"
        )

    def test_lost(self) -> None:
        """
        A connection that is lost, not closed, was cut off.
        """
        self.filter.makeConnection(self.transport)
        self.filter.inputEnded(DONE)
        self.filter.connectionLost(LOST)
        self.assertEnded("the connection was cut off")

    def test_fault(self) -> None:
        """
        A fault of ours that closes the connection is told, not hidden.
        """
        self.filter.makeConnection(self.transport)
        self.filter.connectionLost(Failure(ZeroDivisionError("division by zero")))
        self.assertEnded("the connection was lost: division by zero")

    def test_enough(self) -> None:
        """
        When nobody reads the output any more, that is a good end.
        """

        def refuse(data: bytes) -> None:
            raise BrokenPipeError(32, "Broken pipe")

        self.filter = Filter(self.reactor, output=refuse)
        self.filter.makeConnection(self.transport)
        self.filter.dataReceived(b"ABC\n")
        self.successResultOf(self.filter.done)
        # What else comes changes nothing.
        self.filter.dataReceived(b"ABC\n")
        self.filter.connectionLost(LOST)

    def test_full(self) -> None:
        """
        When the output cannot be written, that is a bad end.
        """

        def refuse(data: bytes) -> None:
            raise OSError(28, "No space left on device")

        self.filter = Filter(self.reactor, output=refuse)
        self.filter.makeConnection(self.transport)
        self.filter.dataReceived(b"ABC\n")
        self.assertEnded("cannot write standard output: No space left on device")

    def test_unreadable(self) -> None:
        """
        When the input cannot be read, that is a bad end.
        """
        self.filter.makeConnection(self.transport)
        self.filter.inputEnded(Failure(OSError(5, "Input/output error")))
        self.assertEnded("cannot read standard input: Input/output error")

    def test_speaksTLS(self) -> None:
        """
        A TLS alert is no answer, but tells how to ask.
        """
        self.filter.makeConnection(self.transport)
        self.filter.inputReceived(b"abc\n")
        self.filter.dataReceived(b"\x15\x03\x03\0\2\2\x0a")
        self.assertEnded(f"the server seems to speak TLS: {ASK_WITH_TLS}")
        self.assertEqual(self.output, [])

    def converse(self, asked: bytes, *answers: bytes, **options: Any) -> None:
        """
        Have a whole conversation.
        """
        self.filter = Filter(self.reactor, output=self.output.append, **options)
        self.filter.makeConnection(self.transport)
        self.filter.inputReceived(asked)
        for answer in answers:
            self.filter.dataReceived(answer)
        self.filter.inputEnded(DONE)
        self.filter.connectionLost(DONE)

    def test_cutOff(self) -> None:
        """
        A line that was sent with its end is answered by a line with its end.
        """
        for asked, answer in [
            ("ö" * 1000 + "\n", "Ö" * 400),
            ("ö" * 10 + "\n" + "ö" * 10 + "\n", "Ö" * 10 + "\n" + "Ö" * 9),
        ]:
            self.converse(asked.encode(), answer.encode())
            self.assertEnded("the server closed the connection before its last answer")

    def test_webPage(self) -> None:
        """
        A page of HTTP is no answer to anything.
        """
        for asked in [b"a\n", "ß\n".encode(), b"x" * 1000]:
            self.converse(asked, b"HTTP/1.1 400 Bad Request\r\n\r\n<html>\n")
            self.assertEnded(
                "the answers are not in upper case: the server there is a web server,"
                " not an upper-case service"
            )

    def test_more(self) -> None:
        """
        More than was asked is no answer.
        """
        for asked in [b"a\n", "ß\n".encode(), b"a"]:
            self.converse(asked, asked.decode().upper().encode(), b"A\nA\n")
            self.assertEnded("the server has answered more than it was asked")
            self.assertEqual(b"".join(self.output[-2:])[-4:], b"A\nA\n")

    def test_notices(self) -> None:
        """
        Notices are no part of the answers, however they are cut; errors are.
        """
        self.converse(
            b"a\xff\nb\n",
            *(b"server: na", b"me=a\nerr", b"or: x\nfuture", b": y\nB", b"\n"),
        )
        self.successResultOf(self.filter.done)
        self.assertEqual(b"".join(self.output), b"error: x\nB\n")

    def test_verify(self) -> None:
        """
        With C{--verify}, the first wrong byte ends it, with its offset.
        """
        self.converse(b"abc\ndef\n", b"ABC\nD", b"XF\n", verify=True)
        self.assertEnded("wrong answer at byte 6: 'XF\\n' came, not 'EF\\n'")
        self.converse("straße\n".encode(), b"STRA", b"SSE\n", verify=True)
        self.successResultOf(self.filter.done)

    def test_verifyErrors(self) -> None:
        """
        With C{--verify}, an error line ends it.
        """
        self.converse(b"a\n\xff\nc\n", b"A\n", b"error: x\n", verify=True)
        self.assertEnded("an error line at byte 3: error: x")

    def test_verifyEnd(self) -> None:
        """
        With C{--verify}, an answer that is missing is missed, and one too many is
        not wanted.
        """
        self.converse("ß\nß".encode(), b"SS\nS", verify=True)
        self.assertEnded("the answers end after byte 4: more was asked")
        self.converse(b"abc\n", b"ABC\nA", verify=True)
        self.assertEnded("the answers have more than was asked, from byte 5")

    def test_timeout(self) -> None:
        """
        With C{--timeout}, an answer is not waited for longer; silence of ours is.
        """
        self.filter = Filter(self.reactor, output=self.output.append, timeout=5)
        self.filter.makeConnection(self.transport)
        self.reactor.advance(100)
        self.filter.inputReceived(b"abc\n")
        self.reactor.advance(4)
        self.filter.dataReceived(b"A")
        self.reactor.advance(4)
        self.filter.dataReceived(b"BC\n")
        self.reactor.advance(100)
        self.assertNoResult(self.filter.done)
        self.filter.inputReceived(b"abc\n")
        self.reactor.advance(5)
        self.assertEnded("no answer within 5 s")

    def test_timeoutOfEnd(self) -> None:
        """
        With C{--timeout}, the end is not waited for longer.
        """
        self.filter = Filter(self.reactor, output=self.output.append, timeout=5)
        self.filter.makeConnection(self.transport)
        self.filter.inputReceived(b"a")
        self.filter.inputEnded(DONE)
        self.reactor.advance(5)
        self.assertEnded(f"no answer within 5 s, {NOTHING}")

    def test_progress(self) -> None:
        """
        Progress is told of what goes out and what comes in.
        """

        class Seen:
            bytes = (0, 0)

            def sent(self, size: int) -> None:
                self.bytes = (self.bytes[0] + size, self.bytes[1])

            def received(self, size: int) -> None:
                self.bytes = (self.bytes[0], self.bytes[1] + size)

        progress: Any = Seen()
        self.converse("straße\n".encode(), b"STRASSE\n", progress=progress)
        self.assertEqual(progress.bytes, (8, 8))
