"""
Tests for L{upperproto.monitoring.incidents}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from upperproto.monitoring.incidents import INCIDENTS, Incidents, lastIncidents


class IncidentsTests(SynchronousTestCase):
    """
    Tests for L{Incidents} and L{lastIncidents}.
    """

    def test_add(self) -> None:
        """
        Only the last ones are kept.
        """
        incidents = Incidents()
        for each in range(INCIDENTS + 1):
            incidents.add(f"client {each}", "no PROXY header")
        clients = [client for _, client, _ in incidents]
        self.assertEqual(clients, [f"client {n + 1}" for n in range(INCIDENTS)])

    def test_lastIncidents(self) -> None:
        """
        They come in their order, and the oldest are left out.
        """
        some = [[number, "client", "what"] for number in range(INCIDENTS, -1, -1)]
        last = lastIncidents(some)
        self.assertEqual([each[0] for each in last], list(range(1, INCIDENTS + 1)))
