"""
Tests for L{upperproto.command.findings.diagnoses}.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from upperproto.answercheck import firstDifference
from upperproto.client import TooLong, UpperError, WrongAnswer
from upperproto.command.findings.diagnoses import _WORDS, Fault, notAnswered
from upperproto.command.probe.recordingclient import ProbeClient


class FaultTests(SynchronousTestCase):
    """
    L{Fault}.
    """

    def test_words(self) -> None:
        """
        Each fault is explained, in whole sentences of ASCII.
        """
        for code, (meaning, cause) in _WORDS.items():
            self.assertRegex(code, r"^[a-z-]+$")
            for words in meaning, cause:
                self.assertTrue(words.isascii() and words.endswith("."), words)


class NotAnsweredTests(SynchronousTestCase):
    """
    L{notAnswered}.
    """

    def fault(
        self, error: BaseException | None, came: bytes = b"", secure: bool = False
    ) -> Fault:
        """
        Explain an error.
        """
        client = ProbeClient()
        client.beginning = came
        client.receivedBytes = len(came)
        if secure:
            client.transport = StringTransport()
            directlyProvides(client.transport, ISSLTransport)
        return notAnswered(error, client)

    def wrong(self, text: str, answer: str) -> tuple[str, str]:
        """
        Explain a wrong answer.
        """
        index = firstDifference(text, answer)
        assert index is not None
        fault = self.fault(WrongAnswer(text, answer, index))
        return fault.code, str(fault)

    def test_wrong(self) -> None:
        """
        Kinds of wrong answers are told from one another.
        """
        text = "1:ßaäbcdefghij"
        for answer, code, said in [
            (text, "echo", "the text itself came back"),
            ("1:SSA", "half", "5 of 15 characters were answered"),
            (text.upper() + "X", "much", "'X' came at character 16, not the end"),
            ("1:ßAäBCDEFGHIJ", "ascii", "'1:ßAäBCDEFGHIJ' came"),
            ("7:ÄÖÜ", "foreign", "the answer to another text came: '7:ÄÖÜ'"),
            ("1:SSAÄBCDEFXYZ", "torn", "after 11 right characters, 'X' came at"),
            ("hello", "wrong", "'hello' came"),
            ("x" * 99, "wrong", f"'{'x' * 40}'… came"),
            ("\x1b[2J", "wrong", r"'\x1b[2J' came"),
        ]:
            found = self.wrong(text, answer)
            self.assertEqual(found[0], code, found)
            self.assertTrue(found[1].startswith(said), found)

    def test_errors(self) -> None:
        """
        And so is all else that can happen.
        """
        try:
            b"A\xff".decode()
        except UnicodeDecodeError as error:
            undecodable = error
        for error_, came, code, said in [
            (None, b"", "silent", "no answer in time"),
            (undecodable, b"", "wrong", r"'A\xff' came, which is not UTF-8"),
            (TooLong("9 bytes"), b"", "much", "9 bytes"),
            (UpperError("idle"), b"", "error", "error: idle"),
            (
                ConnectionDone(),
                b"",
                "closed",
                "the connection was closed without saying",
            ),
            (
                ConnectionDone(),
                b"A",
                "closed",
                "the connection was closed without an an",
            ),
            (ConnectionLost(), b"", "cut", "the connection was cut off"),
            (
                ConnectionDone(),
                b"HTTP/1.1 400",
                "other-server",
                "'HTTP/1.1 400' came: t",
            ),
            (
                ConnectionDone(),
                b"\x15\x03\x03",
                "speaks-tls",
                "a TLS alert came in plac",
            ),
        ]:
            fault = self.fault(error_, came)
            self.assertEqual(fault.code, code)
            self.assertTrue(str(fault).startswith(said), fault)
        fault = self.fault(ConnectionDone(), b"\x15\x03\x03", secure=True)
        self.assertEqual(fault.code, "closed")
