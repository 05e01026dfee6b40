"""
Tests for L{upperproto.limits.pendingconnections}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from upperproto.interfaces import IPending, IPendingConnections
from upperproto.limits.pendingconnections import PendingConnections


@implementer(IPending)
class Pending:
    """
    A connection that waits, and notes why it was refused.
    """

    def __init__(self, pending: PendingConnections, fault: bool = False) -> None:
        """
        @param pending: where it waits.
        @param fault: it meets a fault when it is to be refused.
        """
        self.reasons: list[str] = []
        self._pending = pending
        self._fault = fault
        pending.add(self)

    def refuse(self, why: str) -> None:
        """
        Note it, and wait no more.
        """
        if self._fault:
            raise RuntimeError("a fault")
        self.reasons.append(why)
        self._pending.remove(self)


class PendingConnectionsTests(SynchronousTestCase):
    """
    Tests for L{PendingConnections}.
    """

    def setUp(self) -> None:
        """
        Let two wait at a time.
        """
        self.told: list[tuple[IAddress, str]] = []

        def refused(peer: IAddress, why: str, *rest: object) -> None:
            self.told.append((peer, why))

        self.clock: Any = Clock()
        self.pending = PendingConnections(self.clock, 2, refused)

    def test_interface(self) -> None:
        """
        It is what those who wait ask for.
        """
        verifyObject(IPendingConnections, self.pending)
        self.assertIs(self.pending.clock, self.clock)

    def test_tooMany(self) -> None:
        """
        If too many wait, the one that has waited longest is refused.
        """
        first, second, third = (Pending(self.pending) for _ in range(3))
        self.assertEqual(first.reasons, ["too many others wait"])
        self.pending.remove(second)
        Pending(self.pending)
        self.assertEqual(second.reasons + third.reasons, [])
        Pending(self.pending)
        self.assertEqual(third.reasons, ["too many others wait"])

    def test_fault(self) -> None:
        """
        A fault of the oldest one keeps no other from waiting, and it is refused once.
        """
        faulty = Pending(self.pending, fault=True)
        others = [Pending(self.pending) for _ in range(4)]
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        refused = ["too many others wait"]
        self.assertEqual([each.reasons for each in others], [refused, refused, [], []])
        self.pending.remove(faulty)
        self.assertEqual(len(self.pending), 2)

    def test_refuseAll(self) -> None:
        """
        All that wait are refused, and a fault of one keeps no other.
        """
        Pending(self.pending, fault=True)
        other = Pending(self.pending)
        self.pending.refuseAll("the reason")
        self.assertEqual(other.reasons, ["the reason"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_refused(self) -> None:
        """
        Who was not let in is passed on.
        """
        address: Any = object()
        self.pending.refused(address, "the reason")
        self.assertEqual(self.told, [(address, "the reason")])
