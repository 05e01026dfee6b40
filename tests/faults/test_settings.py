"""
Tests for L{upperproto.faults.settings}.
"""

from __future__ import annotations

from unittest import TestCase

from upperproto.faults.settings import RESET_WITHIN, FaultSettings


class FaultSettingsTests(TestCase):
    """
    Tests for L{FaultSettings}.
    """

    def test_words(self) -> None:
        """
        Each fault has its kind of value, and is shown as it was said.
        """
        words = {
            "delay": "0.2",
            "jitter": "0.1",
            "rate": "1000",
            "slice": "7",
            "limit": "100",
            "reset": "0.5",
            "silent": "0.25",
            "slowclose": "3",
            "halfclose": "off",
            "garble": "1",
            "seed": "x",
        }
        settings = FaultSettings.fromWords(words)
        shown = dict(each.split("=") for each in str(settings).split(":"))
        self.assertEqual(shown, words)
        self.assertEqual(FaultSettings.fromWords(shown), settings)

    def test_none(self) -> None:
        """
        By default there is no fault.
        """
        settings = FaultSettings.fromWords({})
        self.assertEqual(str(settings), "")
        self.assertFalse(settings.forConnection(0).any)

    def test_bad(self) -> None:
        """
        What is no value is refused with a message.
        """
        for name, word, message in [
            ("delay", "-1", "delay takes seconds, not '-1'"),
            ("delay", "inf", "delay takes seconds, not 'inf'"),
            ("delay", "nan", "delay takes seconds, not 'nan'"),
            ("delay", "", "delay takes seconds, not ''"),
            ("jitter", "0.1", "jitter cannot be more than delay"),
            ("rate", "0", "rate takes a number of bytes, at least 1, not '0'"),
            ("slice", "x", "slice takes a number of bytes, at least 1, not 'x'"),
            ("reset", "1.5", "reset takes a share from 0 to 1, not '1.5'"),
            ("halfclose", "no", "halfclose takes on or off, not 'no'"),
        ]:
            with self.subTest(name, word=word):
                with self.assertRaises(ValueError) as caught:
                    FaultSettings.fromWords({name: word})
                self.assertEqual(str(caught.exception), message)

    def test_shares(self) -> None:
        """
        A share of connections is about that, and with a seed it is the same ones again.
        """
        settings = FaultSettings(silent=0.25, reset=0.5, seed="1")
        faults = [settings.forConnection(number) for number in range(1000)]
        again = [settings.forConnection(number) for number in range(1000)]
        silent = [each.silent for each in faults]
        self.assertEqual(silent, [each.silent for each in again])
        self.assertEqual(
            [each.limit for each in faults], [each.limit for each in again]
        )
        self.assertTrue(200 < sum(silent) < 300, sum(silent))
        resets = [each for each in faults if each.resets]
        self.assertTrue(450 < len(resets) < 550, len(resets))
        limits = [each.limit for each in resets]
        self.assertTrue(all(x is not None and 0 <= x < RESET_WITHIN for x in limits))
        self.assertGreater(len(set(limits)), len(limits) // 2)
        self.assertTrue(all(x.limit is None for x in faults if not x.resets))

    def test_withoutSeed(self) -> None:
        """
        Without a seed, it is others.
        """
        settings = FaultSettings(silent=0.5)
        faults = [
            [settings.forConnection(number).silent for number in range(100)]
            for _ in range(2)
        ]
        self.assertNotEqual(faults[0], faults[1])
