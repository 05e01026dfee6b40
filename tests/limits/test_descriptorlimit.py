"""
Tests for L{upperproto.limits.descriptorlimit}.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.logger import LogEvent, Logger
from twisted.trial.unittest import SynchronousTestCase

from upperproto.limits import descriptorlimit as limits
from upperproto.limits.descriptorlimit import MAX_REFUSED, SPARE, fitDescriptors

INFINITE = -1


class FitDescriptorsTests(SynchronousTestCase):
    """
    Tests for L{fitDescriptors}.
    """

    def fit(self, soft: int, hard: int, *wanted: Any) -> tuple[int, int]:
        """
        Fit into a process with these limits.
        """
        self.limit = (soft, hard)
        self.warnings: list[LogEvent] = []

        def setrlimit(kind: int, limit: tuple[int, int]) -> None:
            self.assertLessEqual(limit[0], hard if hard != INFINITE else limit[0])
            self.limit = limit

        system = SimpleNamespace(
            RLIMIT_NOFILE=7,
            RLIM_INFINITY=INFINITE,
            getrlimit=lambda kind: self.limit,
            setrlimit=setrlimit,
        )
        self.patch(limits, "resource", system)
        observer: Any = self.warnings.append
        self.patch(limits, "_log", Logger(observer=observer))
        return fitDescriptors(*wanted)

    def test_enough(self) -> None:
        """
        A limit that is enough stays as it is.
        """
        needed = 100 + MAX_REFUSED + SPARE
        for soft in [needed, needed + 1, INFINITE]:
            fitting = self.fit(soft, INFINITE, 100, 1)
            self.assertEqual(fitting, (100, MAX_REFUSED))
            self.assertEqual(self.limit, (soft, INFINITE))
            self.assertEqual(self.warnings, [])

    def test_raised(self) -> None:
        """
        A soft limit is raised to what is needed, no further than that, and the
        hard one stays.
        """
        needed = 100 + MAX_REFUSED + SPARE
        for hard in [needed, 1_000_000, INFINITE]:
            fitting = self.fit(64, hard, 100, 1)
            self.assertEqual(fitting, (100, MAX_REFUSED))
            self.assertEqual(self.limit, (needed, hard))
            self.assertEqual(self.warnings, [])

    def test_twoQueues(self) -> None:
        """
        Clients that wait for a PROXY header or a handshake need descriptors, too.
        """
        self.fit(64, INFINITE, 100, 2)
        self.assertEqual(self.limit[0], 100 + 2 * MAX_REFUSED + SPARE)

    def test_refused(self) -> None:
        """
        Where the hard limit is too low, fewer are served, so that there are
        descriptors for all that is promised; and one warning says so.
        """
        for queues in [1, 2]:
            for hard in [SPARE + 1, 100, 256, 1024]:
                places, refused = self.fit(64, hard, 10_000, queues)
                self.assertEqual(self.limit, (hard, hard))
                self.assertGreaterEqual(places, 1)
                waiting = refused * queues
                self.assertEqual(places + waiting + SPARE, hard)
                [warning] = self.warnings
                self.assertEqual(warning["fitting"], places)
                self.assertEqual(warning["allowed"], hard)

    def test_fewWanted(self) -> None:
        """
        Where only those who are refused do not fit, all others do.
        """
        places, refused = self.fit(64, 200, 20, 1)
        self.assertEqual(places, 20)
        self.assertLess(refused, MAX_REFUSED)
