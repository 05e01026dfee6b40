"""
Tests for L{upperproto.answers}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from upperproto.answers import NOTICE, firstDifference


class NoticeTests(SynchronousTestCase):
    """
    L{NOTICE}.
    """

    def test_notices(self) -> None:
        """
        A word of lower-case letters and a colon begin a notice.
        """
        for line in [b"error: a", b"server: name=a", b"some-kind2: x", b"a:"]:
            self.assertIsNotNone(NOTICE.match(line), line)

    def test_answers(self) -> None:
        """
        Nothing else does, such as the echo of a text.
        """
        for line in [b"", b"ERROR: A", b"a b: c", b"a", b"a:b", b" a: b", b"1: a"]:
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
