"""
Tests for L{upperproto.processes.watchdog}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from upperproto.processes.watchdog import (
    HANGING_HEARTBEATS,
    SILENT_HEARTBEATS,
    START_HEARTBEATS,
    Watchdog,
)


class WatchdogTests(SynchronousTestCase):
    """
    Tests for L{Watchdog}.
    """

    def test_hangs(self) -> None:
        """
        A process hangs from a number of missing heartbeats on, until the next one.
        """
        watchdog = Watchdog()
        found = []
        for _ in range(HANGING_HEARTBEATS):
            found.append(watchdog.hangs)
            watchdog.check(serving=True)
        self.assertEqual(found, [False] * HANGING_HEARTBEATS)
        self.assertTrue(watchdog.hangs)
        self.assertEqual(watchdog.silence, 5)
        watchdog.heard()
        self.assertFalse(watchdog.hangs)

    def test_check(self) -> None:
        """
        It says once why a process has to be killed, and later for one that starts.
        """
        for serving, number, why in [
            (True, SILENT_HEARTBEATS, "has been silent for 10 s"),
            (False, START_HEARTBEATS, "has not begun to serve within 30 s"),
        ]:
            watchdog = Watchdog()
            found = [watchdog.check(serving) for _ in range(number + 1)]
            self.assertEqual(found, [""] * (number - 1) + [why, ""])
