"""
Tests for L{upperproto.faults.endpointstring}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from upperproto.faults.endpointstring import Fields, fields, join, separateFaults


class DescriptionTests(SynchronousTestCase):
    """
    Descriptions of endpoints.
    """

    def test_fields(self) -> None:
        """
        A description is taken apart as Twisted does it, and put together again.
        """
        cases: list[tuple[str, Fields]] = [
            ("", [(None, "")]),
            ("tcp:1", [(None, "tcp"), (None, "1")]),
            (r"unix:a\:b:mode=600", [(None, "unix"), (None, "a:b"), ("mode", "600")]),
            ("a=b=c", [("a", "b=c")]),
        ]
        for description, parts in cases:
            self.assertEqual(fields(description), parts)
            self.assertEqual(fields(join(parts)), parts)

    def test_faults(self) -> None:
        """
        Faults are separated from the endpoint that has them, wherever they stand.
        """
        for description, faults, inner in [
            ("tcp:1:delay=2", "", "tcp:1:delay=2"),
            ("fault:tcp:1", "fault", "tcp:1"),
            ("Fault:delay=2:tcp:1", "Fault:delay=2", "tcp:1"),
            (
                r"fault:seed=a\:b:unix:a\:b:mode=600:rate=3",
                r"fault:seed=a\:b:rate=3",
                r"unix:a\:b:mode=600",
            ),
        ]:
            found, endpoint = separateFaults(description)
            self.assertEqual((join(found) if found else "", endpoint), (faults, inner))
