"""
Tests for L{upperproto.command.talk.verification}.
"""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings, strategies
from twisted.trial.unittest import SynchronousTestCase

from upperproto.command.talk.verification import Verifier
from upperproto.uppercase import upper

CUTS = strategies.lists(strategies.integers(0, 1000), max_size=5)
TEXTS = strategies.one_of(
    strategies.text("aß€\n", max_size=30).map(str.encode),
    strategies.binary(max_size=20),
)


def chunks(data: bytes, cuts: list[int]) -> list[bytes]:
    """
    Cut bytes into chunks of one byte at least.
    """
    bounds = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(bounds)]


class VerifierTests(SynchronousTestCase):
    """
    L{Verifier}.
    """

    def verify(self, asked: bytes, *answers: bytes) -> str:
        """
        Say what is wrong with some answers.
        """
        verifier = Verifier()
        verifier.ask(asked)
        verifier.ask(b"", final=True)
        for answer in answers:
            problem = verifier.answer(answer)
            if problem:
                return problem
        return verifier.end()

    @settings(deadline=None)
    @given(TEXTS, CUTS, CUTS)
    def test_right(self, asked: bytes, cuts: list[int], others: list[int]) -> None:
        """
        What is right is found right, however it is cut.
        """
        verifier = Verifier()
        for chunk in chunks(asked, cuts):
            verifier.ask(chunk)
        verifier.ask(b"", final=True)
        for chunk in chunks(upper(asked, "surrogateescape"), others):
            self.assertEqual(verifier.answer(chunk), "")
        self.assertEqual(verifier.end(), "")

    @settings(deadline=None)
    @given(TEXTS, CUTS, strategies.integers(0, 1000))
    def test_wrong(self, asked: bytes, cuts: list[int], where: int) -> None:
        """
        A byte that is wrong is found, and where.
        """
        right = upper(asked, "surrogateescape")
        if not right:
            return
        index = where % len(right)
        wrong = bytearray(right)
        # A capital becomes a small letter, and any other byte another one of ASCII.
        wrong[index] = ord("x")
        if wrong[index] != right[index]:
            problem = self.verify(asked, *chunks(bytes(wrong), cuts))
            self.assertIn(f"byte {index + 1}:", problem)

    def test_ends(self) -> None:
        """
        Less and more are both wrong.
        """
        self.assertEqual(
            self.verify(b"ab", b"A"), "the answers end after byte 1: more was asked"
        )
        self.assertEqual(
            self.verify(b"ab", b"ABC"),
            "the answers have more than was asked, from byte 3",
        )
        self.assertEqual(
            self.verify("ä".encode(), b"\xc3"),
            "the answers end after byte 1: more was asked",
        )

    def test_otherUnicode(self) -> None:
        """
        A server with another version of Unicode may answer otherwise, also with
        other lengths, and after that, all is compared as before.
        """
        asked = "aა\N{LATIN LETTER SMALL CAPITAL I}b".encode()
        for answer in [asked.replace(b"a", b"A").replace(b"b", b"B"), upper(asked)]:
            for cut in range(len(answer)):
                self.assertEqual(self.verify(asked, answer[:cut], answer[cut:]), "")
            problem = self.verify(asked, answer[:-1] + b"X")
            self.assertRegex(problem, f"^wrong answer at byte {len(answer)}:")
