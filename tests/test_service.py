"""
Tests for L{upperproto.service}.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.memory import MemoryNetwork
from upperproto import service
from upperproto.factory import UpperFactory
from upperproto.monitoring import outlet
from upperproto.monitoring.connectionlog import Transcript
from upperproto.reactor.epoll import Turn
from upperproto.service import UpperService
from upperproto.ways import systemd
from upperproto.ways.endpoints import CannotStart
from upperproto.ways.layers import Entrance
from upperproto.ways.proxyprotocol import ProxyFactory


class Port:
    """
    A listening port that notes when it is to stop.
    """

    def __init__(self, events: list[str]) -> None:
        """
        @param events: where it notes that.
        """
        self.events = events
        self.stopped: Deferred[None] = Deferred()

    def stopListening(self) -> Deferred[None]:
        """
        Note it.
        """
        self.events.append("refuse")
        return self.stopped


class UpperServiceTests(SynchronousTestCase):
    """
    Tests for L{UpperService}.
    """

    def setUp(self) -> None:
        """
        Make a reactor whose ports can be watched, and keep the process as it is.
        """
        self.network = MemoryNetwork()
        self.factory = UpperFactory(clock=self.network)
        self.events: list[str] = []
        self.ports: list[Port] = []
        self.listening: list[tuple[Any, ...]] = []
        self.secondSignals: list[tuple[object, Callable[[], None]]] = []

        def listenTCP(*arguments: Any, **options: Any) -> Port:
            self.listening.append((*arguments, options))
            self.ports.append(Port(self.events))
            return self.ports[-1]

        def onSecondSignal(reactor: object, call: Callable[[], None]) -> None:
            self.secondSignals.append((reactor, call))

        self.patch(self.network, "listenTCP", listenTCP)
        self.patch(service, "onSecondSignal", onSecondSignal)

    def make(self, *endpoints: str, **settings: Any) -> UpperService:
        """
        Make a service.
        """
        return UpperService(self.factory, list(endpoints), 10, self.network, **settings)

    def test_turn(self) -> None:
        """
        Where the reactor takes short turns, new connections are read in the turn that
        accepts them, and answers are sent at its end.
        """
        turn = Turn(self.network)
        self.patch(service, "shorten", {self.network: turn}.get)
        self.make().startService()
        self.assertEqual(self.factory.outbox.later, turn.atEnd)
        self.assertEqual(self.factory.readSoon, turn.readSoon)

    def test_memory(self) -> None:
        """
        The memory of a read is kept for the next.
        """
        calls: list[str] = []
        self.patch(service, "keepMemory", lambda: calls.append("kept"))
        self.make().startService()
        self.assertEqual(calls, ["kept"])

    def test_turnOfAnotherReactor(self) -> None:
        """
        Where it does not, they are sent at the end of its own.
        """
        later = self.factory.outbox.later
        self.make().startService()
        self.assertIs(self.factory.outbox.later, later)

    def test_listens(self) -> None:
        """
        It listens on each endpoint once, when it has its privileges or when it
        starts.
        """
        for privileged in (True, False):
            self.listening.clear()
            made = self.make("tcp:1:interface=127.0.0.1", "tcp:2:backlog=7")
            self.assertEqual(self.listening, [])
            if privileged:
                made.privilegedStartService()
                self.assertEqual(len(self.listening), 2)
            made.startService()
            self.assertEqual(
                self.listening,
                [
                    (1, self.factory, {"backlog": 50, "interface": "127.0.0.1"}),
                    (2, self.factory, {"backlog": 7, "interface": ""}),
                ],
            )

    def test_notAnEndpoint(self) -> None:
        """
        What is not an endpoint is known before anything listens.
        """
        with self.assertRaises(CannotStart) as caught:
            self.make("tcp:1", "foo:1")
        self.assertIn("not an endpoint: foo:1", str(caught.exception))
        self.assertEqual(self.listening, [])

    def test_cannotListen(self) -> None:
        """
        Where the system refuses, the start ends with a message.
        """

        def listenTCP(*arguments: Any, **options: Any) -> None:
            raise OSError("no such luck")

        self.patch(self.network, "listenTCP", listenTCP)
        for start in ("privilegedStartService", "startService"):
            with self.assertRaises(CannotStart) as caught:
                getattr(self.make("tcp:1"), start)()
            self.assertEqual(str(caught.exception), "upper: no such luck")
        self.assertEqual(self.secondSignals, [])

    def test_entrance(self) -> None:
        """
        What connections have to pass, its listeners know.
        """
        entrance = Entrance(self.factory, proxies=[ip_network("127.0.0.0/8")])
        self.make("tcp:1", entrance=entrance).startService()
        [(_, factory, _)] = self.listening
        self.assertIsInstance(factory, ProxyFactory)

    def test_stop(self) -> None:
        """
        At the end it refuses new connections on all its ports first; then it
        drains; and it has stopped when the last conversation has.
        """

        def drain(seconds: float) -> Deferred[None]:
            self.events.append(f"drain {seconds}")
            return self.drained

        self.drained: Deferred[None] = Deferred()
        self.patch(self.factory, "drain", drain)
        made = self.make("tcp:1", "tcp:2")
        made.startService()
        stopped = made.stopService()
        self.assertEqual(self.events, ["refuse"] * 2)
        self.ports[0].stopped.callback(None)
        self.assertEqual(self.events, ["refuse"] * 2)
        self.ports[1].stopped.callback(None)
        self.assertEqual(self.events, ["refuse", "refuse", "drain 10"])
        self.assertNoResult(stopped)
        self.drained.callback(None)
        self.assertIsNone(self.successResultOf(stopped))

    def test_nobody(self) -> None:
        """
        Without a conversation, it has stopped as soon as nobody can begin one.
        """
        made = self.make("tcp:1")
        made.startService()
        stopped = made.stopService()
        self.assertNoResult(stopped)
        self.ports[0].stopped.callback(None)
        self.assertIsNone(self.successResultOf(stopped))

    def test_secondSignal(self) -> None:
        """
        A second signal ends all conversations at once, and with them the stop.
        """
        made = self.make("tcp:1")
        made.startService()
        [(reactor, call)] = self.secondSignals
        self.assertIs(reactor, self.network)
        client = self.network.connect(self.factory)
        stopped = made.stopService()
        self.ports[0].stopped.callback(None)
        self.assertNoResult(stopped)
        call()
        self.network.turn()
        self.assertTrue(client.socket.cut)
        self.assertEqual(client.protocol.ending, "a second signal")
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_whenRunning(self) -> None:
        """
        Once the reactor runs, systemd is told, standard output cannot hold the
        service up any more, and the lines of the log are stamped.
        """
        calls: list[tuple[object, ...]] = []
        self.patch(systemd, "notify", lambda text: calls.append(("notify", text)))
        self.patch(
            outlet, "unblock", lambda reactor: calls.append(("unblock", reactor))
        )
        self.patch(service, "stampLines", lambda *source: calls.append(source))
        self.make("tcp:1").startService()
        self.assertEqual(calls, [])
        self.network.run()
        self.assertEqual(
            calls,
            [
                ("notify", "READY=1\nSTATUS=Serving"),
                ("unblock", self.network),
                (Transcript, None),
            ],
        )
