"""
A service for the tests of its status.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from zope.interface import implementer

from upperproto.interfaces import IObserved
from upperproto.monitoring.counters import Counters


@implementer(IObserved)
class FakeService(Service):
    """
    A service that does what a test says.

    @ivar counters: what it tells that it has counted.
    @ivar refusal: what keeps it from starting.
    @ivar steps: what it was asked to do.
    @ivar stopped: fires when it has stopped.
    """

    def __init__(self) -> None:
        """
        Serve nobody.
        """
        self.serving = 0
        self.counters = Counters()
        self.connections = 0
        self.notAfter: float | None = None
        self.processes: list[tuple[str, str]] = []
        self.refusal: Exception | None = None
        self.steps: list[str] = []
        self.stopped = Deferred[None]()

    def privilegedStartService(self) -> None:
        """
        Note it.
        """
        self.steps.append("privilegedStartService")

    def startService(self) -> None:
        """
        Note it, or do not start.
        """
        self.steps.append("startService")
        if self.refusal is not None:
            raise self.refusal

    def stopService(self) -> Deferred[None]:
        """
        Note it.
        """
        self.steps.append("stopService")
        return self.stopped

    def listeners(self) -> list[tuple[str, str]]:
        """
        Two addresses.
        """
        return [("127.0.0.1:5000", ""), ("[::1]:5001", "delay=0.2")]

    def workers(self) -> list[tuple[str, str]]:
        """
        What the test says.
        """
        return self.processes

    def snapshot(self) -> dict[str, Any]:
        """
        What the test says.
        """
        return {
            "connections": self.connections,
            "counts": self.counters.snapshot([]),
            "incidents": list(self.counters.incidents),
            "notAfter": self.notAfter,
        }
