"""
Tests for L{upperproto.command.findings.records}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from upperproto.command.findings.diagnoses import Fault
from upperproto.command.findings.records import Answered, Report, Step
from upperproto.command.route.connection import Opened

OPENED = Opened("192.0.2.1:1", 0.5, 0.25, None)


class FieldsTests(SynchronousTestCase):
    """
    What JSON has.
    """

    def test_answered(self) -> None:
        """
        The fields of one answer.
        """
        fields = Answered(1, "a", "A", 0.00012345678, OPENED, None, "b").fields()
        self.assertEqual(
            fields,
            {
                "outcome": "ok",
                "address": "192.0.2.1:1",
                "resolve_seconds": None,
                "connect_seconds": 0.5,
                "tls_seconds": 0.25,
                "rtt_seconds": 0.000123,
                "instance": "b",
                "fault": None,
                "problem": None,
                "meaning": None,
                "cause": None,
            },
        )

    def test_report(self) -> None:
        """
        The fields of an examination, whose outcome is that of its steps.
        """
        good, skipped = Step("a", "ok", "x", {"n": 1}, 1.0), Step("b", "skip")
        bad = Step("c", "FAIL", fault=Fault("cut", "y"))
        for steps, tried, ok in [
            ([good, skipped], True, True),
            ([good, bad], True, False),
            ([skipped], False, False),
            ([], False, False),
        ]:
            report = Report(steps)
            self.assertEqual((report.tried, report.fields()["ok"]), (tried, ok))
        fields = bad.fields()
        self.assertEqual((fields["status"], fields["fault"]), ("fail", "cut"))
        self.assertEqual(fields["problem"], "y")
        self.assertEqual(good.fields()["measured"], {"n": 1})
