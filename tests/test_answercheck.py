"""
Tests for L{upperproto.answercheck}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from upperproto.answercheck import NOTICE, AnswerScanner, firstDifference


class NoticeTests(SynchronousTestCase):
    """
    L{NOTICE}.
    """

    def test_notices(self) -> None:
        """
        A word of lower-case letters and a colon begin a notice.
        """
        for line in [
            b"error: a",
            b"server: name=a",
            b"some-kind2: x",
            b"a:",
            b"a" * 31 + b": b",
        ]:
            self.assertIsNotNone(NOTICE.match(line), line)

    def test_expected(self) -> None:
        """
        Nothing else does, such as the echo of a text.
        """
        for line in [
            b"",
            b"ERROR: A",
            b"a b: c",
            b"a",
            b"a:b",
            b" a: b",
            b"1: a",
            b"a" * 32 + b": b",
        ]:
            self.assertIsNone(NOTICE.match(line), line)


class FirstDifferenceTests(SynchronousTestCase):
    """
    L{firstDifference}.
    """

    def test_right(self) -> None:
        """
        The upper case is right.
        """
        for text in ["", "abc", "straße", "ΐŉﬃ", "日本"]:
            self.assertIsNone(firstDifference(text, text.upper()))

    def test_echo(self) -> None:
        """
        What Unicode 3.2 has, every server knows: it does not come back as it is.
        """
        for text in ["a", "ä", "я", "ά", "և"]:
            self.assertEqual(firstDifference(text, text), 0)

    def test_olderServer(self) -> None:
        """
        A server may not know a character, or not its upper case.
        """
        # Georgian has capitals since Unicode 11, and U+026A since Unicode 9.
        for text in ["ა", "\N{LATIN LETTER SMALL CAPITAL I}"]:
            self.assertNotEqual(text, text.upper())
            self.assertIsNone(firstDifference(f"a{text}b", f"A{text}B"))

    def test_newerServer(self) -> None:
        """
        A server may know a character, or its upper case, that this Python does
        not.
        """
        unassigned = "\U000e1000"
        self.assertIsNone(firstDifference("日", unassigned))
        self.assertIsNone(firstDifference(unassigned, "日"))

    def test_wrong(self) -> None:
        """
        Any other difference is one, and where it begins.
        """
        for text, answer, index in [
            ("abc", "ABD", 2),
            ("abc", "AB", 2),
            ("abc", "ABCD", 3),
            ("straße", "STRASE", 5),
        ]:
            self.assertEqual(firstDifference(text, answer), index)


class AnswerScannerTests(SynchronousTestCase):
    """
    L{AnswerScanner}.
    """

    def scan(self, *chunks: bytes) -> bytes:
        """
        Scan a stream.
        """
        self.scanner = AnswerScanner()
        passed = b"".join(self.scanner.feed(chunk) for chunk in chunks)
        return passed + self.scanner.end()

    def test_expected(self) -> None:
        """
        Answers pass.
        """
        self.assertEqual(self.scan(b"A\nB", b"", b"C\n\nD"), b"A\nBC\n\nD")
        self.assertTrue(self.scanner.isUpper)
        self.assertEqual(self.scanner.errors, 0)

    def test_notices(self) -> None:
        """
        Notices are taken out, wherever the stream is cut; errors pass.
        """
        stream = b"server: name=a\nA\nerror: x y\nb-2:\nC\nSERVER: A\nlast: n"
        for first in range(len(stream)):
            for second in range(first, len(stream)):
                passed = self.scan(
                    stream[:first], stream[first:second], stream[second:]
                )
                self.assertEqual(passed, b"A\nerror: x y\nC\nSERVER: A\n")
                self.assertEqual(self.scanner.errors, 1)
                self.assertEqual(self.scanner.error, b"error: x y")
                self.assertEqual(self.scanner.notices, [b"server: name=a", b"b-2:"])
                self.assertTrue(self.scanner.isUpper)

    def test_lower(self) -> None:
        """
        What has small letters and is no notice passes, and is no answer.
        """
        for stream in [b"abc\n", b"abc", b"<html>\n", b"A\nBc", b"a" * 100]:
            for cut in range(len(stream)):
                self.assertEqual(self.scan(stream[:cut], stream[cut:]), stream)
                self.assertFalse(self.scanner.isUpper)

    def test_endless(self) -> None:
        """
        Neither a notice without an end nor notices without end take memory.
        """
        self.assertEqual(self.scan(b"a: ", *[b"x" * 1000] * 100), b"")
        self.assertLess(len(self.scanner._begun), 2000)
        self.assertEqual(self.scan(b"a: x\n" * 1000), b"")
        self.assertLess(len(self.scanner.notices), 200)
