"""
Tests for L{upperproto.command.findings.statistics}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from upperproto.command.findings.diagnoses import Fault
from upperproto.command.findings.records import Answered
from upperproto.command.findings.statistics import Pings
from upperproto.command.route.connection import Opened

OPENED = Opened("192.0.2.1:1", 0.5, 0.25, None)


class PingsTests(SynchronousTestCase):
    """
    L{Pings}.
    """

    def test_statistics(self) -> None:
        """
        The statistics are those of ping(8), with percentiles of the nearest rank.
        """
        pings = Pings()
        for value in [4, 1, 3, 2]:
            pings.add(Answered(1, "a", "A", rttSeconds=float(value)))
        found = pings.statistics()
        self.assertEqual((found["min"], found["avg"], found["max"]), (1, 2.5, 4))
        self.assertAlmostEqual(found["mdev"], 1.25**0.5)
        self.assertEqual((found["p50"], found["p90"], found["p99"]), (2, 4, 4))

    def test_hundred(self) -> None:
        """
        The 99th of a hundred is their 99 %.
        """
        pings = Pings()
        for value in range(1, 101):
            pings.add(Answered(1, "a", "A", rttSeconds=float(value)))
        found = pings.statistics()
        self.assertEqual((found["p50"], found["p90"], found["p99"]), (50, 90, 99))

    def test_nothing(self) -> None:
        """
        Without answers there are none.
        """
        pings = Pings()
        pings.add(Answered(1, "a", fault=Fault("silent", "x")))
        self.assertEqual(pings.statistics(), {})
        fields = pings.fields()
        self.assertEqual((fields["sent"], fields["lost"]), (1, 1))
        self.assertIsNone(fields["rtt_p99_seconds"])

    def test_counts(self) -> None:
        """
        Outcomes, instances and the parts of connections are counted.
        """
        pings = Pings()
        pings.add(Answered(1, "a", "A", 1.0, OPENED, 0.125, "one"))
        pings.add(Answered(2, "a", "A", 1.0, instance="one"))
        pings.add(Answered(3, "a", fault=Fault("echo", "x")))
        fields = pings.fields()
        counts = [fields[name] for name in ("sent", "answered", "wrong", "lost")]
        self.assertEqual(counts, [3, 2, 1, 0])
        self.assertEqual(fields["instances"], {"one": 2})
        self.assertEqual(fields["resolve_avg_seconds"], 0.125)
        self.assertEqual(fields["connect_avg_seconds"], 0.5)
        self.assertEqual(fields["tls_avg_seconds"], 0.25)
        self.assertEqual(pings.address, "192.0.2.1:1")
