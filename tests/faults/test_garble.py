"""
Tests for L{upperproto.faults.garble}.
"""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from upperproto.faults.garble import garble


class GarbleTests(SynchronousTestCase):
    """
    Tests for L{garble}.
    """

    def test_oneByte(self) -> None:
        """
        One byte is changed, at the start, at the end or between, to any other value.
        """
        random, places, values = Random("x"), set(), set()
        for _ in range(10_000):
            changed = garble(b"abc", random)
            [place] = [i for i, byte in enumerate(b"abc") if changed[i] != byte]
            self.assertEqual(len(changed), 3)
            places.add(place)
            values.add(changed[place])
        self.assertEqual(places, {0, 1, 2})
        self.assertEqual(len(values), 256)
