"""
Tests for L{upperproto.tls.floodguard}.
"""

from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis.strategies import integers, lists
from twisted.trial.unittest import SynchronousTestCase

from upperproto.tls.floodguard import (
    HEADER,
    MAX_RECORDS,
    MAX_WITHOUT_TEXT,
    FloodGuard,
)


def record(size: int) -> bytes:
    """
    Make a record of TLS.

    @param size: the number of bytes after its header.
    """
    return b"\x17\x03\x03" + size.to_bytes(2, "big") + bytes(size)


class CutTests(SynchronousTestCase):
    """
    The pieces that OpenSSL gets.
    """

    @given(
        lists(integers(0, 600), min_size=1, max_size=3 * MAX_RECORDS),
        lists(integers(1, 20_000), max_size=30),
    )
    def test_pieces(self, sizes: list[int], chunks: list[int]) -> None:
        """
        No byte is lost or comes twice, in whatever way the records come. In each piece
        a limited number of records begins, and only the beginning of a header waits.
        """
        records = [record(size) for size in sizes]
        stream, guard = b"".join(records), FloodGuard()
        begins = [0, *accumulate(map(len, records))][:-1]
        came = taken = 0
        for size in [*chunks, len(stream)]:
            chunk = stream[came : came + size]
            came += len(chunk)
            for piece in guard.cut(chunk):
                end = taken + len(piece)
                self.assertEqual(piece, stream[taken:end])
                begun = sum(taken <= begin < end for begin in begins)
                self.assertLessEqual(begun, MAX_RECORDS)
                taken = end
            self.assertLess(came - taken, HEADER)
        self.assertEqual(taken, len(stream))

    def test_longRecords(self) -> None:
        """
        Few long records come at a time: what comes with a broken one has no answer.
        """
        pieces = FloodGuard().cut(record(16384) * 16)
        self.assertEqual([len(piece) for piece in pieces], [4 * (16384 + HEADER)] * 4)

    def test_one(self) -> None:
        """
        One record is not copied.
        """
        data = record(20)
        (piece,) = FloodGuard().cut(data)
        self.assertIs(piece, data)


class FloodTests(SynchronousTestCase):
    """
    What a flood is.
    """

    def test_withoutText(self) -> None:
        """
        More bytes without text than a peer may send.
        """
        guard = FloodGuard()
        self.assertFalse(guard.isFlood(MAX_WITHOUT_TEXT))
        self.assertTrue(guard.isFlood(1))
        guard.withoutText = 0
        self.assertFalse(guard.isFlood(MAX_WITHOUT_TEXT))
