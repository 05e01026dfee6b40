"""
Tests for L{upperproto.monitoring.conversationlog}.
"""

from __future__ import annotations

import json
import sys
from io import StringIO

from hypothesis import given, strategies
from twisted.logger import capturedLogs, jsonFileLogObserver, textFileLogObserver
from twisted.trial.unittest import SynchronousTestCase

from tests import sample
from tests.monitoring.connections import texts
from upperproto.monitoring.conversationlog import TextLog, escape


class EscapeTests(SynchronousTestCase):
    """
    Tests for L{escape}.
    """

    def test_printable(self) -> None:
        """
        What is printable stays as it is, in any script.
        """
        for text in ("hello, world", "straße", "漢字 ΑΒΓ", "{curly} %s"):
            self.assertEqual(escape(text.encode()), text)

    def test_escapes(self) -> None:
        """
        What is not is named in Python's manner.
        """
        for data, expected in {
            b"\r": r"\r",
            b"\n": r"\n",
            b"\t": r"\t",
            b"\0": r"\x00",
            b"\x7f": r"\x7f",
            b"\x1b[2J": r"\x1b[2J",
            b"a\\n": r"a\\n",
            "\x85".encode(): r"\x85",
            "\x9b2J".encode(): r"\x9b2J",
            "\u2028\u2029".encode(): r"\u2028\u2029",
            "\u202e\u2066\u200f".encode(): r"\u202e\u2066\u200f",
            "\ufeff\u200b".encode(): r"\ufeff\u200b",
            "\U000e0041".encode(): r"\U000e0041",
            b"a\xffb\x80": r"a\xffb\x80",
            b"\xed\xa0\x80": r"\xed\xa0\x80",
        }.items():
            self.assertEqual(escape(data), expected)

    def test_everyCharacter(self) -> None:
        """
        No character passes that is not printable, alone or in company.
        """
        for point in sample(range(sys.maxunicode + 1)):
            character = chr(point)
            escaped = escape(character.encode("utf-8", "surrogatepass"))
            if not escaped.isprintable():
                self.fail(f"U+{point:04X}")
            if escaped != character:
                self.assertEqual(escaped[0], "\\")
                self.assertTrue(escaped.isascii())

    @given(strategies.binary(max_size=20))
    def test_anything(self, data: bytes) -> None:
        """
        Whatever the bytes, what is logged is printable and can be encoded; where
        nothing is escaped, it is what was said.
        """
        escaped = escape(data)
        self.assertTrue(escaped.isprintable())
        escaped.encode()
        if "\\" not in escaped:
            self.assertEqual(escaped.encode(), data)


class TextLogTests(SynchronousTestCase):
    """
    Tests for L{TextLog}.
    """

    def test_contents(self) -> None:
        """
        Each line that is received, and each answer, is a record of its own, in
        the tutorial's words.
        """
        with capturedLogs() as events:
            TextLog(lines=True).received(b"a\nb\r\n\nc")
            TextLog(lines=True).answered(b"A\nB\r\n")
        self.assertEqual(
            texts(events),
            [
                "from connected user: a",
                r"from connected user: b\r",
                "from connected user: ",
                "from connected user: c",
                "sending: A",
                r"sending: B\r",
            ],
        )

    def test_asByLogger(self) -> None:
        """
        The events are those that Twisted's L{Logger} makes.
        """
        log = TextLog()
        with capturedLogs() as events:
            log.answered(b"A")
            log._log.info("sending: {line}", line="A")
        [ours, theirs] = events
        self.assertLess(abs(theirs["log_time"] - ours["log_time"]), 60)
        self.assertEqual(repr(ours["log_logger"]), repr(theirs["log_logger"]))
        self.assertEqual(ours.keys(), theirs.keys())
        for key in ("log_level", "log_namespace", "log_source", "log_format", "line"):
            self.assertEqual(ours[key], theirs[key], key)

    @given(strategies.binary(max_size=20))
    def test_noForgery(self, data: bytes) -> None:
        """
        Whatever is said, neither the text log nor the JSON log has a record
        more than there are lines, or a character that is not printable.
        """
        data = b"\r\x1b[31m{log_level}\xe2\x80\xa8" + data
        text, structured = StringIO(), StringIO()
        with capturedLogs() as events:
            TextLog(lines=True).received(data)
        for event in events:
            textFileLogObserver(text)(event)
            jsonFileLogObserver(structured)(event)
        said = data.removesuffix(b"\n").split(b"\n")
        self.assertEqual(len(events), len(said))
        lines = text.getvalue().split("\n")[:-1]
        self.assertEqual(len(lines), len(said))
        for line in lines:
            self.assertTrue(line.isprintable(), line)
            self.assertIn(" from connected user: ", line)
        records = structured.getvalue().removeprefix("\x1e").split("\x1e")
        self.assertEqual(len(records), len(said))
        for record, part in zip(records, said, strict=True):
            self.assertEqual(json.loads(record)["line"], escape(part))
