"""
Tests for L{upperproto.command.talk.interactive}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.command.talk.keyboard import FakeKeyboard
from upperproto.command.errors import SessionError
from upperproto.command.otherprotocols import ASK_WITH_TLS
from upperproto.command.talk.interactive import FAREWELL, SILENCE, Terminal

DONE = Failure(ConnectionDone())


class TerminalTests(SynchronousTestCase):
    """
    L{Terminal}.
    """

    def setUp(self) -> None:
        """
        Connect.
        """
        self.connect()

    def connect(self, **options: Any) -> None:
        """
        Connect a terminal.
        """
        self.reactor = MemoryReactorClock()
        self.transport = StringTransport()
        self.screen = b""
        self.keyboard = FakeKeyboard(self.show)
        keyboard: Any = self.keyboard
        self.terminal = Terminal(self.reactor, keyboard, output=self.show, **options)
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

    def assertEnded(self, problem: str) -> None:
        """
        Assert that the session has ended badly, and why.
        """
        failure = self.failureResultOf(self.terminal.done, SessionError)
        self.assertEqual(str(failure.value), problem)
        self.assertTrue(self.keyboard.stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_conversation(self) -> None:
        """
        A prompt, a message, an answer, a prompt.
        """
        self.assertShown(b" -> ")
        self.keyboard.type(b"abc")
        self.assertEqual(self.transport.value(), b"abc\n")
        self.assertShown(b"")
        self.terminal.dataReceived(b"ABC\n")
        self.assertShown(b"Received from server: ABC\n -> ")

    def test_partsOfAnswer(self) -> None:
        """
        An answer is shown as it comes.
        """
        self.keyboard.type(b"abc")
        self.assertShown(b" -> ")
        self.terminal.dataReceived(b"A")
        self.assertShown(b"Received from server: A")
        self.terminal.dataReceived(b"BC")
        self.assertShown(b"BC")
        self.assertEqual(self.keyboard.asked, 0)
        self.terminal.dataReceived(b"\n")
        self.assertShown(b"\n -> ")

    def test_cutCharacter(self) -> None:
        """
        A character that comes in two parts is shown as one.
        """
        self.keyboard.type("ä".encode())
        self.assertShown(b" -> ")
        self.terminal.dataReceived(b"\xc3")
        self.terminal.dataReceived(b"\x84\n")
        self.assertShown("Received from server: Ä\n -> ".encode())

    def test_controls(self) -> None:
        """
        What does something to a terminal is escaped, and invalid bytes are, too.
        """
        self.keyboard.type(b"a")
        self.assertShown(b" -> ")
        self.terminal.dataReceived(b"\x1b[2J\r\t\x7f\xc2\x9b\xe2\x80\xae\xff\n")
        self.assertShown(
            b"Received from server: \\x1b[2J\\r\\t\\x7f\\x9b\\u202e\\xff\n -> "
        )

    def test_leave(self) -> None:
        """
        C{q} leaves.
        """
        self.keyboard.type(b"q")
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.transport.value(), b"")
        self.assertShown(b" -> ")
        self.terminal.connectionLost(DONE)
        self.successResultOf(self.terminal.done)
        self.assertShown(b"")
        self.assertTrue(self.keyboard.stopped)

    def test_leaveAnyway(self) -> None:
        """
        A server that does not answer the farewell is not waited for.
        """
        self.keyboard.type(b"q")
        self.assertNoResult(self.terminal.done)
        self.reactor.advance(FAREWELL)
        self.successResultOf(self.terminal.done)

    def test_endOfInput(self) -> None:
        """
        The end of input leaves like C{q}, on a new line.
        """
        self.keyboard.end("")
        self.assertShown(b" -> \n")
        self.assertTrue(self.transport.disconnecting)

    def test_unreadable(self) -> None:
        """
        Input that cannot be read is told.
        """
        self.keyboard.end("cannot read standard input: x")
        self.assertEnded("cannot read standard input: x")

    def test_lost(self) -> None:
        """
        When the server goes, the line that was begun is left.
        """
        self.keyboard.type(b"a")
        self.terminal.dataReceived(b"A\n")
        self.screen = b""
        self.terminal.connectionLost(DONE)
        self.assertShown(b"\n")
        self.assertEnded("the server closed the connection")

    def test_lostAtOnce(self) -> None:
        """
        A server that goes without a word, when it was asked, may speak TLS.
        """
        self.keyboard.type(b"a")
        self.terminal.connectionLost(DONE)
        self.assertEnded(
            "the server closed the connection, and nothing came; if the server speaks"
            f" TLS, {ASK_WITH_TLS}"
        )

    def test_lostWithinAnswer(self) -> None:
        """
        When it goes within an answer, so is that.
        """
        self.keyboard.type(b"abc")
        self.terminal.dataReceived(b"AB")
        self.terminal.connectionLost(DONE)
        self.assertShown(b" -> Received from server: AB\n")
        self.assertEnded("the server closed the connection")

    def test_unasked(self) -> None:
        """
        What the server says unasked stands on a line of its own, and what was being
        typed comes back when no more comes.
        """
        self.terminal.dataReceived(b"error: idle")
        self.terminal.dataReceived(b" for 600 s\n")
        self.assertShown(b" -> \nReceived from server: error: idle for 600 s\n")
        self.reactor.advance(1)
        self.assertShown(b" -> typed")
        self.terminal.connectionLost(DONE)
        self.assertShown(b"\n")
        self.assertEnded("the server closed the connection")

    def test_lastWord(self) -> None:
        """
        What the server says before it goes is not followed by a prompt.
        """
        self.terminal.dataReceived(b"error: idle for 600 s\n")
        self.terminal.connectionLost(DONE)
        self.assertShown(b" -> \nReceived from server: error: idle for 600 s\n")
        self.assertEnded("the server closed the connection")

    def test_notice(self) -> None:
        """
        A notice is shown, and is no answer; the echo of what was typed is one.
        """
        self.terminal.dataReceived(b"server: name=a\n")
        self.assertShown(b" -> \nNotice from server: server: name=a\n")
        self.keyboard.type(b"note: a")
        self.terminal.dataReceived(b"server: name=b\n")
        self.assertEqual(self.keyboard.asked, 0)
        self.terminal.dataReceived(b"note: a\n")
        self.assertEqual(self.keyboard.asked, 1)

    def test_noticeInPieces(self) -> None:
        """
        So it is wherever it is cut, before an answer and in front of one.
        """
        notice = b"server: name=a\n"
        for cut in range(1, len(notice)):
            self.connect(verify=True)
            self.terminal.dataReceived(notice[:cut])
            self.terminal.dataReceived(notice[cut:])
            self.assertShown(b" -> \nNotice from server: server: name=a\n")
            self.keyboard.type(b"abc")
            self.terminal.dataReceived(notice[:cut])
            self.terminal.dataReceived(notice[cut:] + b"ABC\n")
            self.assertShown(
                b"Notice from server: server: name=a\nReceived from server: ABC\n -> "
            )
            self.assertNoResult(self.terminal.done)

    def test_noNotice(self) -> None:
        """
        What could have become one, and does not, is shown after a moment, or when the
        server goes.
        """
        self.keyboard.type(b"a")
        self.assertShown(b" -> ")
        self.terminal.dataReceived(b"lo")
        self.terminal.dataReceived(b"gin")
        self.assertShown(b"")
        self.reactor.advance(1)
        self.assertShown(b"Received from server: login")
        self.terminal.dataReceived(b": \nab")
        self.assertShown(b": \n -> ")
        self.terminal.connectionLost(DONE)
        self.assertShown(b"\nReceived from server: ab\n")
        self.assertEnded("the server closed the connection")

    def test_verify(self) -> None:
        """
        With C{--verify}, a wrong answer ends it.
        """
        self.connect(verify=True)
        self.terminal.dataReceived(b"server: name=a\n")
        self.keyboard.type(b"abc")
        self.terminal.dataReceived(b"ABC\n")
        self.keyboard.type(b"def")
        self.terminal.dataReceived(b"def\n")
        self.assertEnded("wrong answer at byte 5: 'def\\n' came, not 'DEF\\n'")

    def test_timeout(self) -> None:
        """
        With C{--timeout}, an answer is not waited for longer; a person is.
        """
        self.connect(timeout=5)
        self.reactor.advance(100)
        self.keyboard.type(b"abc")
        self.terminal.dataReceived(b"A")
        self.reactor.advance(5)
        self.assertEnded("no answer within 5 s")

    def test_silence(self) -> None:
        """
        Where nothing comes at all, the person is told of TLS, once; a server that
        has said something does not speak it.
        """
        self.keyboard.type(b"a")
        self.assertShown(b" -> ")
        self.reactor.advance(SILENCE)
        self.assertShown(
            b"(no answer yet, and nothing came; if the server speaks TLS,"
            b" %s)\n" % ASK_WITH_TLS.encode()
        )
        self.terminal.dataReceived(b"A\n")
        self.keyboard.type(b"b")
        self.screen = b""
        self.reactor.advance(SILENCE)
        self.assertShown(b"")
        self.connect()
        self.keyboard.type(b"a")
        self.terminal.dataReceived(b"A\n")
        self.screen = b""
        self.reactor.advance(SILENCE)
        self.assertShown(b"")
