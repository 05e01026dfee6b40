"""
Tests for L{upperproto.account}.
"""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, strategies
from twisted.trial.unittest import SynchronousTestCase

from upperproto import upper
from upperproto.account import Account


def chunks(data: bytes, cuts: list[int]) -> list[bytes]:
    """
    Cut bytes into chunks of one byte at least.
    """
    bounds = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(bounds)]


CUTS = strategies.lists(strategies.integers(0, 1000), max_size=5)


class AccountTests(SynchronousTestCase):
    """
    L{Account}.
    """

    def settled(self, asked: str, answered: str) -> bool:
        """
        Settle an account with one chunk each way.
        """
        account = Account()
        account.ask(asked.encode())
        account.answer(answered.encode())
        return account.settled()

    def test_nothing(self) -> None:
        """
        Who asks nothing is owed nothing.
        """
        self.assertTrue(Account().settled())

    def test_ascii(self) -> None:
        """
        ASCII text has an answer as long as it is, to the byte.
        """
        self.assertTrue(self.settled("abc\nd", "ABC\nD"))
        self.assertFalse(self.settled("abc\nd", "ABC\n"))
        self.assertFalse(self.settled("abc\nd", ""))
        self.assertFalse(self.settled("abc\n", "error: too many connections\n"))

    def test_lines(self) -> None:
        """
        Other text has an answer of as many lines at least: errors may be lines
        of their own.
        """
        self.assertTrue(self.settled("ß\nß", "SS\nSS"))
        self.assertTrue(self.settled("ß\nß", "SS\nerror: invalid UTF-8 at byte 1\n"))
        self.assertTrue(self.settled("ß\n", "S\nerror: invalid UTF-8 at byte 3\n"))
        self.assertFalse(self.settled("ß\nß", "SS\n"))
        self.assertFalse(self.settled("ß\nß\n", "SS\n"))
        self.assertFalse(self.settled("ß", ""))

    def test_both(self) -> None:
        """
        What has been ASCII is counted in bytes, also when its answer comes
        together with others.
        """
        account = Account()
        account.ask(b"abc\n")
        account.ask("ß\n".encode())
        account.answer(b"ABC\nSS")
        account.answer(b"\n")
        self.assertTrue(account.settled())
        account.ask(b"abc")
        self.assertFalse(account.settled())
        account.answer(b"ABC")
        self.assertTrue(account.settled())

    @given(strategies.lists(strategies.text(max_size=20), max_size=5), CUTS, CUTS)
    def test_chunks(self, lines: list[str], cuts: list[int], others: list[int]) -> None:
        """
        However text and answers are cut, the account is settled at the end, and
        while lines are missing, it is not.
        """
        asked = "\n".join(lines).encode()
        answered = upper(asked)
        account = Account()
        for chunk in chunks(asked, cuts):
            account.ask(chunk)
        owed = asked.count(b"\n") + (not asked.endswith(b"\n"))
        for chunk in chunks(answered, others):
            if owed > 1:
                self.assertFalse(account.settled())
            account.answer(chunk)
            owed -= chunk.count(b"\n")
        self.assertTrue(account.settled())
