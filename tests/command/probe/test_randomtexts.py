"""
Tests for L{upperproto.command.probe.randomtexts}.
"""

from __future__ import annotations

from unicodedata import name, ucd_3_2_0

from twisted.trial.unittest import SynchronousTestCase

from upperproto.command.options import LEAST_SIZE
from upperproto.command.probe.randomtexts import _ALPHABET, _SCRIPTS, unlike


class UnlikeTests(SynchronousTestCase):
    """
    L{unlike}.
    """

    def test_size(self) -> None:
        """
        A text has the size that was asked for, and is one line.
        """
        for size in [LEAST_SIZE, 56, 1000]:
            for number in [0, 9, 123456]:
                text = unlike(number, size)
                self.assertEqual(len(text), size)
                self.assertNotIn("\n", text)

    def test_unlike(self) -> None:
        """
        No text is like another one.
        """
        texts = {unlike(1, LEAST_SIZE) for _ in range(1000)}
        self.assertEqual(len(texts), 1000)

    def test_known(self) -> None:
        """
        Each letter has another upper case, and every server knows both: they are in
        Unicode 3.2.
        """
        for letter in set(_ALPHABET).union(*_SCRIPTS):
            self.assertNotEqual(letter, letter.upper())
            for each in letter + letter.upper():
                self.assertNotEqual(ucd_3_2_0.category(each), "Cn", letter)
        self.assertEqual(len(_ALPHABET), 256)

    def test_scripts(self) -> None:
        """
        Even the shortest one has letters of several scripts, and one whose upper case
        is longer.
        """
        for _ in range(100):
            text = unlike(1234567, LEAST_SIZE)
            scripts = {name(letter).split()[0] for letter in text if letter.isalpha()}
            self.assertLessEqual({"LATIN", "GREEK", "CYRILLIC", "ARMENIAN"}, scripts)
            self.assertGreater(len(text.upper()), len(text))

    def test_echo(self) -> None:
        """
        An echo of it is no notice.
        """
        self.assertRegex(unlike(42, 56), "^42:")
