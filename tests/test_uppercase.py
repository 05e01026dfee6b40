"""
Tests for L{upperproto.uppercase}.
"""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from itertools import product

import stringzilla
from hypothesis import given, strategies
from twisted.trial.unittest import SynchronousTestCase

from tests import sample
from upperproto import uppercase
from upperproto.uppercase import splitComplete, upper

# Every code point that UTF-8 can encode: all but the surrogates.
CHARACTERS = [chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000]

# The first and the last byte of each range that UTF-8 tells apart (RFC 3629,
# section 4), and those that may stand nowhere.
TELLING = bytes.fromhex(
    "00 41 61 7f 80 8f 90 9f a0 bf c0 c1 c2 df e0 e1 ec ed ee ef f0 f1 f3 f4 f5 ff"
)

# Text that is broken in every way that those bytes allow.
broken = strategies.lists(strategies.sampled_from(TELLING), max_size=12).map(bytes)


class UpperTests(SynchronousTestCase):
    """
    Tests for L{upper}.
    """

    def test_everyCharacter(self) -> None:
        """
        Each character that can be encoded becomes what L{str.upper} makes of it,
        under each error handler.
        """
        self.assertEqual(len(CHARACTERS), 1_112_064)
        for errors in ("strict", "replace", "surrogateescape"):
            wrong = [
                character
                for character in sample(CHARACTERS)
                if upper(character.encode(), errors) != character.upper().encode()
            ]
            self.assertEqual(wrong, [])

    def test_fast(self) -> None:
        """
        Long ASCII text becomes the same with the extra C{fast} and without it, and
        what is not ASCII goes no other way.
        """
        self.assertIsNotNone(vars(uppercase)["translate"], "stringzilla is missing")
        calls: list[int] = []

        def translate(data: bytes, table: bytes) -> bytes:
            calls.append(len(data))
            return stringzilla.translate(data, table)  # type: ignore[no-any-return]

        self.patch(uppercase, "translate", translate)
        characters = bytes(range(128))
        for size in [0, 1, 511, 512, 513, 4095, 65536, 1_000_003]:
            text = (characters * (size // 128 + 1))[:size]
            self.assertTrue(upper(text) == text.decode().upper().encode(), size)
            for other in ["ß".encode() + text, text + "ß".encode()]:
                self.assertTrue(upper(other) == other.decode().upper().encode(), size)
        self.assertEqual(calls, [512, 513, 4095, 65536, 1_000_003])
        self.patch(uppercase, "translate", None)
        self.assertEqual(
            upper(characters * 8), (characters * 8).decode().upper().encode()
        )

    def test_noContext(self) -> None:
        """
        L{str.upper} looks at each character by itself, so text may be cut
        between any two.
        """
        text = "".join(CHARACTERS)
        expected = "".join(character.upper() for character in CHARACTERS)
        # Texts of megabytes: if they differ, nobody wants to read the difference.
        self.assertTrue(text.upper() == expected)
        self.assertTrue(upper(text.encode()) == expected.encode())
        # What lower case treats by its neighbours: the final sigma, and what
        # combines with an iota below.
        for text in ("ας", "ΑΣ", "ᾳ\u0345", "i\u0307", "ß\u0301"):
            parts = [upper(character.encode()) for character in text]
            self.assertEqual(upper(text.encode()), b"".join(parts))

    def test_noLowerCaseAscii(self) -> None:
        """
        No upper-cased answer holds a lower-case ASCII letter: one that begins
        with C{error:} is an error, whatever the client has sent. What
        surrogateescape gives back is not ASCII either.
        """
        answers = upper("".join(CHARACTERS).encode())
        self.assertIsNone(re.search(rb"[a-z]", answers))
        notUtf8 = bytes(range(0x80, 0x100))
        self.assertEqual(upper(notUtf8, "surrogateescape"), notUtf8)

    def test_growth(self) -> None:
        """
        An answer is at most three times as long as its text.
        """
        ratios = {
            len(character.upper().encode()) / len(character.encode())
            for character in CHARACTERS
        }
        self.assertEqual(max(ratios), 3)
        self.assertEqual(len(upper("\u0390".encode())), 6)

    def test_noLineEnds(self) -> None:
        """
        No character but LF has LF in its upper case, so there are as many
        answers as lines.
        """
        answers = upper("".join(CHARACTERS).encode())
        self.assertEqual(answers.count(b"\n"), 1)

    def test_strict(self) -> None:
        """
        By default, invalid UTF-8 is an error that says where it begins.
        """
        error = self.assertRaises(UnicodeDecodeError, upper, b"ab\xffcd")
        self.assertEqual(error.start, 2)

    @given(broken)
    def test_handlers(self, data: bytes) -> None:
        """
        The error handlers mean what Python's codecs mean by their names.
        """
        text = data.decode("utf-8", "replace")
        self.assertEqual(upper(data, "replace"), text.upper().encode())
        text = data.decode("utf-8", "surrogateescape")
        escaped = text.upper().encode("utf-8", "surrogateescape")
        self.assertEqual(upper(data, "surrogateescape"), escaped)
        try:
            answer = data.decode().upper().encode()
        except UnicodeDecodeError as error:
            ours = self.assertRaises(UnicodeDecodeError, upper, data, "strict")
            self.assertEqual(ours.start, error.start)
        else:
            self.assertEqual(upper(data, "strict"), answer)


class SplitCompleteTests(SynchronousTestCase):
    """
    Tests for L{splitComplete}.
    """

    def test_everyCharacter(self) -> None:
        """
        Each proper prefix of each character is incomplete, and waits as a whole.
        """
        prefixes = {
            character.encode()[:length]
            for character in sample(CHARACTERS)
            for length in range(1, len(character.encode()))
        }
        self.assertEqual({len(prefix) for prefix in prefixes}, {1, 2, 3})
        for prefix in prefixes:
            self.assertEqual(splitComplete(b"a\xc3\xa9" + prefix)[1], prefix)
            self.assertEqual(splitComplete(prefix), (b"", prefix))
        whole = [character.encode() for character in sample(CHARACTERS)]
        self.assertEqual([c for c in whole if splitComplete(c) != (c, b"")], [])

    def test_asPythonsDecoder(self) -> None:
        """
        What is incomplete is what Python's own incremental decoder keeps, for
        each sequence of up to four bytes that matters to UTF-8.
        """
        for length in range(5):
            for data in map(bytes, sample(product(TELLING, repeat=length))):
                decoder = getincrementaldecoder("utf-8")("replace")
                decoder.decode(data)
                incomplete, _ = decoder.getstate()
                complete = data[: len(data) - len(incomplete)]
                if splitComplete(data) != (complete, incomplete):
                    self.fail(repr(data))

    @given(broken, strategies.sampled_from(["replace", "surrogateescape"]))
    def test_cuts(self, data: bytes, errors: str) -> None:
        """
        Text that is cut anywhere, and handed on as far as it is complete, gets
        the same answer as in one piece.
        """
        for cut in range(len(data)):
            complete, incomplete = splitComplete(data[:cut])
            self.assertEqual(complete + incomplete, data[:cut])
            answer = upper(complete, errors) + upper(incomplete + data[cut:], errors)
            self.assertEqual(answer, upper(data, errors))
