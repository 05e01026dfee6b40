"""
Tests for L{upperproto.status.service}.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from tests.status.observed import FakeService
from upperproto.status import service
from upperproto.status.service import StatusService
from upperproto.ways.endpoints import CannotStart


class StatusServiceTests(SynchronousTestCase):
    """
    Tests for L{StatusService}.
    """

    def setUp(self) -> None:
        """
        Make a service, and wait for a second signal.
        """
        self.reactor: Any = MemoryReactorClock()
        self.observed = FakeService()
        self.secondSignal: list[Callable[[], None]] = []

        def watch(reactor: object, call: Callable[[], None]) -> SimpleNamespace:
            return SimpleNamespace(
                start=partial(self.secondSignal.append, call),
                stop=self.secondSignal.clear,
            )

        self.patch(service, "SecondSignal", watch)

    def make(self, endpoint: str | None = "tcp:80", delay: float = 0) -> StatusService:
        """
        Make the service with its status.
        """
        return StatusService(self.observed, self.reactor, endpoint, delay)

    def test_start(self) -> None:
        """
        The status listens, whether or not the process has privileges at first.
        """
        self.make().startService()
        self.assertEqual([port for port, *_ in self.reactor.tcpServers], [80])
        another = self.make("tcp:81")
        another.privilegedStartService()
        another.startService()
        self.assertEqual([port for port, *_ in self.reactor.tcpServers], [80, 81])
        self.assertEqual(
            self.observed.steps,
            ["startService", "privilegedStartService", "startService"],
        )

    def test_order(self) -> None:
        """
        It answers before the service has started, and until it has ended.
        """
        status = self.make()
        ports: list[int] = []

        def look() -> None:
            ports.extend(port for port, *_ in self.reactor.tcpServers)

        self.patch(self.observed, "startService", look)
        status.startService()
        self.assertEqual(ports, [80])
        ended: list[Any] = []
        status.stopService().addCallback(ended.append)
        self.assertEqual(self.observed.steps, ["stopService"])
        self.assertEqual(ended, [])
        self.observed.stopped.callback(None)
        self.assertEqual(ended, [None])
        self.assertEqual(self.secondSignal, [])

    def test_cannotListen(self) -> None:
        """
        Where the status cannot listen, nothing starts.
        """

        def refuse(*arguments: object, **options: object) -> None:
            raise CannotListenError("127.0.0.1", 80, OSError("taken"))

        self.reactor.listenTCP = refuse
        with self.assertRaises(CannotStart) as caught:
            self.make().startService()
        self.assertIn("taken", str(caught.exception))
        self.assertEqual(self.observed.steps, [])

    def test_cannotStart(self) -> None:
        """
        Where the service cannot start, the status listens no more.
        """
        self.observed.refusal = CannotStart("upper: why")
        status = self.make()
        with self.assertRaises(CannotStart):
            status.startService()
        self.assertEqual(self.secondSignal, [])
        assert status._listener is not None
        self.assertIsNone(status._listener.getHost())

    def test_noEndpoint(self) -> None:
        """
        There is a delay without a status, too: balancers may learn of the end in other
        ways.
        """
        status = self.make(None, 3)
        status.startService()
        status.stopService()
        self.assertEqual(self.reactor.tcpServers, [])
        self.assertEqual(self.observed.steps, ["startService"])
        self.reactor.advance(3)
        self.assertEqual(self.observed.steps, ["startService", "stopService"])

    def test_bad(self) -> None:
        """
        What is no endpoint, or has faults, is refused at once.
        """
        for endpoint in ["tcp:x", "fault:delay=1:tcp:0"]:
            with self.assertRaises(CannotStart) as caught:
                self.make(endpoint)
            self.assertTrue(str(caught.exception).startswith("upper: "))

    def test_delay(self) -> None:
        """
        The service goes on for a time, but it is not ready any more.
        """
        self.observed.serving = 1
        status = self.make(delay=3)
        status.startService()
        self.assertEqual(status._observer.state(), "serving")
        status.stopService()
        self.assertEqual(status._observer.state(), "draining")
        self.reactor.advance(2.9)
        self.assertEqual(self.observed.steps, ["startService"])
        self.reactor.advance(0.2)
        self.assertEqual(self.observed.steps, ["startService", "stopService"])

    def test_secondSignal(self) -> None:
        """
        A second signal makes it stop at once; a third finds no delay.
        """
        status = self.make(delay=3)
        status.startService()
        status.stopService()
        [call] = self.secondSignal
        call()
        self.assertEqual(self.observed.steps, ["startService", "stopService"])
        call()
        self.observed.stopped.callback(None)
        self.assertEqual(self.secondSignal, [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])
