"""
Tests for L{upperproto.service}.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from ipaddress import ip_network
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.trial.unittest import SynchronousTestCase

from tests.datagrams.test_port import MemorySocket
from tests.memory import MemoryNetwork
from upperproto import service
from upperproto.factory import UpperFactory
from upperproto.monitoring.connectionlog import ConnectionLog
from upperproto.monitoring.counters import Counters
from upperproto.service import UpperService
from upperproto.ways import systemd
from upperproto.ways.endpoints import CannotStart, Listener
from upperproto.ways.inherited import Inheriting
from upperproto.ways.proxyprotocol.headerwait import ProxyFactory


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

    def getHost(self) -> IPv4Address:
        """
        Some address.
        """
        return IPv4Address("TCP", "127.0.0.1", 1)

    def stopListening(self) -> Deferred[None]:
        """
        Note it.
        """
        self.events.append("refuse")
        return self.stopped


class Signalled:
    """
    The part of a reactor that is asked when the process gets a signal.
    """

    def __init__(self, reactor: Any) -> None:
        """
        @param reactor: of which reactor in memory.
        """
        self.fromThread: list[Callable[[], None]] = []
        self.triggers: list[Callable[[], None]] = []
        reactor.callFromThread = self.fromThread.append
        reactor.addSystemEventTrigger = self.add
        reactor.removeSystemEventTrigger = self.triggers.remove

    def add(
        self, phase: str, event: str, call: Callable[[], None]
    ) -> Callable[[], None]:
        """
        Note what is to be called at the beginning of a shutdown.
        """
        assert (phase, event) == ("before", "shutdown")
        self.triggers.append(call)
        return call

    def shutDown(self) -> None:
        """
        Do what a reactor does first when it is to stop. Then these triggers are gone.
        """
        calls = [*self.triggers]
        self.triggers.clear()
        for call in calls:
            call()


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
        self.signalled = Signalled(self.network)
        self.patch(Listener, "close", lambda listener: self.events.append("close"))
        self.told: list[str] = []
        for each in ("ready", "stopping"):
            self.patch(systemd, each, partial(self.told.append, each))

        def listenTCP(*arguments: Any, **options: Any) -> Port:
            self.listening.append((*arguments, options))
            self.ports.append(Port(self.events))
            return self.ports[-1]

        self.patch(self.network, "listenTCP", listenTCP)

    def make(self, *endpoints: str, **settings: Any) -> UpperService:
        """
        Make a service.
        """
        return UpperService(self.factory, list(endpoints), 10, self.network, **settings)

    def test_memory(self) -> None:
        """
        The memory of a read is kept for the next.
        """
        calls: list[str] = []
        self.patch(service, "keepMemory", lambda: calls.append("kept"))
        self.make().startService()
        self.assertEqual(calls, ["kept"])

    def test_datagrams(self) -> None:
        """
        Datagrams are answered beside the first TCP listener, or on a socket that was
        inherited; where neither is possible, nothing listens.
        """
        bound: list[tuple[str, int]] = []

        def bind(host: str, port: int) -> Any:
            if port == 2:
                raise CannotListenError(host, port, "no")
            bound.append((host, port))
            return MemorySocket(host)

        self.patch(service, "bindDatagrams", bind)
        made = self.make("tcp:1")
        made.addDatagrams("same", "")
        made.privilegedStartService()
        made.startService()
        self.assertEqual(bound, [("127.0.0.1", 1)])
        self.assertEqual(len(self.network.readers), 1)
        with self.assertRaises(ValueError), made._everywhereOrNowhere():
            raise ValueError
        self.assertEqual(self.network.readers, set())
        made = self.make("tcp:1")
        made.addDatagrams(2, "")
        self.events.clear()
        error = self.assertRaises(CannotStart, made.startService)
        self.assertEqual(str(error), "upper: Couldn't listen on 127.0.0.1:2: no.")
        self.assertEqual(self.events, ["close"])

    def test_datagramsInherited(self) -> None:
        """
        A worker answers them on the socket that it has inherited.
        """
        inherited: Any = MemorySocket("192.0.2.9")
        self.patch(Inheriting, "inheritDatagrams", lambda _: inherited)
        made = UpperService(self.factory, [], 10, Inheriting(self.network))
        made.addDatagrams("same", "")
        made.startService()
        [port] = self.network.readers
        self.assertIs(port._socket, inherited)

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

    def test_accessLog(self) -> None:
        """
        The log is started before anything listens, and stopped when the last
        connection has closed; at once, where the service cannot start.
        """
        events = self.events

        class Log(ConnectionLog):
            refusal: OSError | None = None

            def start(self) -> None:
                events.append("start")
                if self.refusal is not None:
                    raise self.refusal

            def stop(self) -> None:
                events.append("stop")

        log = Log()
        self.factory = UpperFactory(clock=self.network, accessLog=log)
        made = self.make("tcp:1")
        made.privilegedStartService()
        self.assertEqual((events, len(self.listening)), (["start"], 1))
        made.startService()
        client = self.network.connect(self.factory)
        stopped = made.stopService()
        self.ports[0].stopped.callback(None)
        self.assertNotIn("stop", events)
        client.finish()
        self.network.wait(1)
        self.successResultOf(stopped)
        self.assertEqual(events[-1], "stop")
        events.clear()
        log.refusal = OSError(13, "Permission denied", "/access.log")
        error = self.assertRaises(CannotStart, self.make("tcp:1").startService)
        self.assertEqual(
            str(error),
            "upper: the access log cannot be opened: [Errno 13] Permission denied:"
            " '/access.log'",
        )
        self.assertEqual(events, ["start", "close", "stop"])
        self.assertEqual(len(self.listening), 1)

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
        self.assertEqual(self.signalled.triggers, [])

    def test_startFailsHalfWay(self) -> None:
        """
        Where one of several ports cannot be had, those before it are closed again.
        """

        def listenTCP(*arguments: Any, **options: Any) -> Port:
            if len(self.ports) == 2:
                raise OSError("no such luck")
            self.ports.append(Port(self.events))
            return self.ports[-1]

        self.patch(self.network, "listenTCP", listenTCP)
        for start in ("privilegedStartService", "startService"):
            self.ports.clear()
            self.events.clear()
            with self.assertRaises(CannotStart):
                getattr(self.make("tcp:1", "tcp:2", "tcp:3"), start)()
            self.assertEqual(self.events, ["close"] * 3)

    def test_certificateFiles(self) -> None:
        """
        Files that will be read again are read at the start, with the rights that the
        process has then.
        """

        class Certificates:
            getContext = None

            def check(self) -> None:
                raise ValueError("cannot read key.pem")

        with self.assertRaises(CannotStart) as caught:
            self.make("tcp:1", certificates=Certificates()).startService()
        self.assertEqual(str(caught.exception), "upper: cannot read key.pem")
        self.assertEqual(self.events, ["close"])

    def test_layers(self) -> None:
        """
        What connections have to pass, its listeners know.
        """
        self.make("tcp:1", proxies=[ip_network("127.0.0.0/8")]).startService()
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
        client = self.network.connect(self.factory)
        self.signalled.shutDown()
        stopped = made.stopService()
        self.ports[0].stopped.callback(None)
        self.assertNoResult(stopped)
        signal.raise_signal(signal.SIGTERM)
        [call] = self.signalled.fromThread
        call()
        self.network.iterateUntilIdle()
        self.assertTrue(client.socket.cut)
        self.assertEqual(client.protocol.closingReason, "a second signal")
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_systemd(self) -> None:
        """
        systemd is told that the service is ready when the reactor runs, and that it
        stops when it does. A service that has stopped by then is not ready.
        """
        first, second = self.make("tcp:1"), self.make("tcp:2")
        first.startService()
        second.startService()
        second.stopService()
        self.assertEqual(self.told, ["stopping"])
        self.network.run()
        self.assertEqual(self.told, ["stopping", "ready"])

    def test_nothingStays(self) -> None:
        """
        Started and stopped, whether or not the process shuts down meanwhile, it leaves
        no handler of a signal and no trigger of the reactor behind.
        """
        handlers = [signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)]
        made = self.make("tcp:1")
        for shutsDown in (False, True):
            made.startService()
            if shutsDown:
                self.signalled.shutDown()
            stopped = made.stopService()
            self.ports[-1].stopped.callback(None)
            self.assertIsNone(self.successResultOf(stopped))
            self.assertEqual(self.signalled.triggers, [])
            self.assertEqual(
                [signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)],
                handlers,
            )

    def test_observed(self) -> None:
        """
        It tells where it listens, whom it serves and what has happened.
        """
        self.factory = UpperFactory(clock=self.network, counters=Counters())
        self.patch(service, "bindDatagrams", lambda host, port: MemorySocket(host))
        made = self.make("tcp:1", "fault:delay=1:tcp:2")
        made.addDatagrams("same", "")
        made.privilegedStartService()
        made.startService()
        addresses, faults = zip(*made.listeners(), strict=True)
        self.assertEqual(len(addresses), 3)
        self.assertEqual([bool(each) for each in faults], [False, True, False])
        self.assertEqual(made.workers(), [])
        found = made.snapshot()
        self.assertEqual((found["connections"], found["notAfter"]), (0, None))
        self.assertEqual(found["counts"]["lost"], {"lines": 0})
        self.assertEqual(found["incidents"], [])
