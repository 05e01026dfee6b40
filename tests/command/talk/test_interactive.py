"""
Tests for L{upperproto.command.interactive}.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from upperproto.command.interactive import FAREWELL, Terminal
from upperproto.command.session import BadEnd

DONE = Failure(ConnectionDone())


class TerminalTests(SynchronousTestCase):
    """
    L{Terminal}.
    """

    def setUp(self) -> None:
        """
        Connect.
        """
        self.reactor = MemoryReactorClock()
        self.transport = StringTransport()
        self.screen = b""
        self.terminal = Terminal(self.reactor, self.show)
        self.terminal.makeConnection(self.transport)

    def show(self, text: bytes) -> None:
        """
        Show a text.
        """
        self.screen += text

    def assertShown(self, text: bytes) -> None:
        """
        Assert what has been shown since the last time.
        """
        shown, self.screen = self.screen, b""
        self.assertEqual(shown, text)

    def assertSent(self, text: bytes) -> None:
        """
        Assert what has been sent since the last time.
        """
        sent = self.transport.value()
        self.transport.clear()
        self.assertEqual(sent, text)

    def test_conversation(self) -> None:
        """
        A prompt, a message, an answer, a prompt.
        """
        self.assertShown(b" -> ")
        self.terminal.inputReceived(b"abc\n")
        self.assertSent(b"abc\n")
        self.assertShown(b"")
        self.terminal.dataReceived(b"ABC\n")
        self.assertShown(b"Received from server: ABC\n -> ")

    def test_partsOfAnswer(self) -> None:
        """
        An answer is shown as it comes.
        """
        self.terminal.inputReceived(b"abc\n")
        self.assertShown(b" -> ")
        self.terminal.dataReceived(b"A")
        self.assertShown(b"Received from server: A")
        self.terminal.dataReceived(b"BC")
        self.assertShown(b"BC")
        self.terminal.dataReceived(b"\n")
        self.assertShown(b"\n -> ")

    def test_oneByOne(self) -> None:
        """
        A message is sent when the one before it has been answered, and there is
        no prompt in between.
        """
        self.terminal.inputReceived(b"a\nb\n")
        self.assertSent(b"a\n")
        self.assertShown(b" -> ")
        self.terminal.dataReceived(b"A\n")
        self.assertSent(b"b\n")
        self.assertShown(b"Received from server: A\n")
        self.terminal.dataReceived(b"B\n")
        self.assertShown(b"Received from server: B\n -> ")

    def test_partsOfMessage(self) -> None:
        """
        A line that comes in parts is one message.
        """
        self.terminal.inputReceived(b"ab")
        self.assertSent(b"")
        self.terminal.inputReceived(b"c\n")
        self.assertSent(b"abc\n")

    def test_leave(self) -> None:
        """
        C{q} leaves; what was typed after it is not sent.
        """
        self.terminal.inputReceived(b"a\nq\nb\n")
        self.assertFalse(self.transport.disconnecting)
        self.terminal.dataReceived(b"A\n")
        self.assertTrue(self.transport.disconnecting)
        self.assertSent(b"a\n")
        self.assertShown(b" -> Received from server: A\n")
        self.terminal.connectionLost(DONE)
        self.successResultOf(self.terminal.done)
        self.assertShown(b"")

    def test_leaveAnyway(self) -> None:
        """
        A server that does not answer the farewell is not waited for.
        """
        self.terminal.inputReceived(b"q\n")
        self.assertNoResult(self.terminal.done)
        self.reactor.advance(FAREWELL)
        self.successResultOf(self.terminal.done)

    def test_endOfInput(self) -> None:
        """
        The end of input leaves like C{q}, on a new line, when what stood before
        it has been answered.
        """
        self.terminal.inputReceived(b"abc")
        self.terminal.inputEnded(DONE)
        self.assertSent(b"abc\n")
        self.assertShown(b" -> \n")
        self.terminal.dataReceived(b"ABC\n")
        self.assertShown(b"Received from server: ABC\n")
        self.assertTrue(self.transport.disconnecting)

    def test_endOfInputWithinAnswer(self) -> None:
        """
        The end of input does not break an answer up.
        """
        self.terminal.inputReceived(b"abc\n")
        self.terminal.dataReceived(b"AB")
        self.terminal.inputEnded(DONE)
        self.terminal.dataReceived(b"C\n")
        self.assertShown(b" -> Received from server: ABC\n")
        self.assertTrue(self.transport.disconnecting)

    def test_lost(self) -> None:
        """
        When the server goes, the line that was begun is left.
        """
        self.terminal.connectionLost(DONE)
        self.assertShown(b" -> \n")
        failure = self.failureResultOf(self.terminal.done, BadEnd)
        self.assertEqual(str(failure.value), "the server closed the connection")

    def test_lostWithinAnswer(self) -> None:
        """
        When it goes within an answer, so is that.
        """
        self.terminal.inputReceived(b"abc\n")
        self.terminal.dataReceived(b"AB")
        self.terminal.connectionLost(DONE)
        self.assertShown(b" -> Received from server: AB\n")
        self.failureResultOf(self.terminal.done, BadEnd)

    def test_unasked(self) -> None:
        """
        What the server says unasked stands on a line of its own.
        """
        self.terminal.dataReceived(b"error: idle for 600 s\n")
        self.assertShown(b" -> \nReceived from server: error: idle for 600 s\n")
