"""
Tests for L{upperproto.reactor.readsize}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from upperproto.reactor.readsize import (
    GROWTH,
    LARGEST_READ,
    READ_TIME,
    SMALLEST_READ,
    nextSize,
)


class NextSizeTests(SynchronousTestCase):
    """
    How many bytes the next read may take.
    """

    def test_quick(self) -> None:
        """
        More than the last one, if that was full; up to a bound.
        """
        self.assertEqual(nextSize(2048, 2048, 0.0), GROWTH * 2048)
        self.assertEqual(nextSize(2048, 2047, 0.0), 2048)
        self.assertEqual(nextSize(LARGEST_READ, LARGEST_READ, 0.0), LARGEST_READ)

    def test_slow(self) -> None:
        """
        What takes as long as it may; but not less than the least.
        """
        self.assertEqual(nextSize(8192, 8192, 2 * READ_TIME), 4096)
        self.assertEqual(nextSize(8192, 4096, 2 * READ_TIME), 2048)
        self.assertEqual(nextSize(8192, 8192, 100 * READ_TIME), SMALLEST_READ)

    def test_between(self) -> None:
        """
        A read that could be larger grows no further than to what it may take.
        """
        self.assertEqual(nextSize(8192, 8192, READ_TIME / 2), 16384)
