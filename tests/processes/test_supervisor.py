"""
Tests for L{upperproto.processes.supervisor} and L{upperproto.processes.worker}.
"""

from __future__ import annotations

import signal
import socket
from typing import Any

from twisted.internet.error import (
    CannotListenError,
    ConnectionDone,
    ProcessDone,
    ProcessTerminated,
)
from twisted.internet.protocol import Factory, ProcessProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import LogEvent, capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from upperproto.monitoring import outlet
from upperproto.processes import supervisor as workers
from upperproto.processes import worker
from upperproto.processes.supervisor import (
    LEAST_DELAY,
    PAUSE,
    SharedSockets,
    WorkerOutput,
    Workers,
)
from upperproto.processes.worker import ParentWatch
from upperproto.ways import systemd


class SharedSocketsTests(SynchronousTestCase):
    """
    Tests for L{SharedSockets}. They bind ports of the loopback interface, to
    which nobody connects: what C{SO_REUSEPORT} does, only the kernel knows.
    """

    def share(self, workers: int = 3) -> SharedSockets:
        """
        Stand in for a reactor.
        """
        shared = SharedSockets(workers, MemoryReactorClock())
        self.addCleanup(shared.close)
        return shared

    def test_tcp(self) -> None:
        """
        A TCP port is bound once for each worker, by the same number.
        """
        for interface in ["127.0.0.1", "::1"]:
            shared = self.share()
            shared.listenTCP(0, Factory(), backlog=7, interface=interface)
            [sockets] = shared.sockets
            self.assertEqual(len(sockets), 3)
            addresses = {each.getsockname() for each in sockets}
            self.assertEqual(len(addresses), 1)
            for each in sockets:
                self.assertFalse(each.getblocking())
                listening = each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                self.assertEqual(listening, 1)

    def test_taken(self) -> None:
        """
        A port that is taken is an error, even where another service shares it
        among its own workers.
        """
        first = self.share()
        first.listenTCP(0, Factory(), interface="127.0.0.1")
        port = first.sockets[0][0].getsockname()[1]
        second = self.share()
        with self.assertRaises(CannotListenError) as caught:
            second.listenTCP(port, Factory(), interface="127.0.0.1")
        self.assertEqual(caught.exception.port, port)
        self.assertEqual(second.sockets, [])

    def test_tls(self) -> None:
        """
        TLS is the workers': its port is bound like any other.
        """
        shared = self.share()
        shared.listenSSL(0, Factory(), object(), backlog=7, interface="127.0.0.1")
        self.assertEqual(len(shared.sockets[0]), 3)

    def test_inherited(self) -> None:
        """
        A socket that was inherited is accepted from by all workers.
        """
        bound = socket.socket()
        self.addCleanup(bound.close)

        class StubPort:
            socket = bound

            def stopReading(self) -> None:
                reading.append(False)

            def stopListening(self) -> None:
                reading.append(False)

        reading: list[bool] = []
        reactor: Any = MemoryReactorClock()
        reactor.adoptStreamPort = lambda *arguments: StubPort()
        shared = SharedSockets(3, reactor)
        shared.adoptStreamPort(bound.fileno(), socket.AF_INET, Factory())
        self.assertEqual(shared.sockets, [[bound] * 3])
        self.assertEqual(reading, [False])
        shared.close()
        self.assertEqual(reading, [False, False])
        self.assertEqual(bound.fileno(), -1)

    def test_noSuchInterface(self) -> None:
        """
        An address that is none is an error.
        """
        with self.assertRaises(CannotListenError):
            self.share().listenTCP(0, Factory(), interface="no.such.host.invalid")


class WorkersTests(SynchronousTestCase):
    """
    Tests for L{Workers}. What processes do, the functional tests show.
    """

    def test_start(self) -> None:
        """
        The sockets are bound once, when the process has its privileges or when
        it starts, and each worker is handed its own.
        """
        for privileged in (True, False):
            reactor = SpawningReactor()
            made = Workers(2, {}, ["tcp:0:interface=127.0.0.1"], 10, reactor)
            self.patch(workers, "onSecondSignal", lambda reactor, call: None)
            if privileged:
                made.privilegedStartService()
            self.assertEqual(reactor.spawned, [])
            made.startService()
            [sockets] = made._shared.sockets
            self.addCleanup(made._shared.close)
            self.assertEqual(
                reactor.spawned,
                [{0: "w", 1: "r", 2: "r", 3: each.fileno()} for each in sockets],
            )

    def test_whenRunning(self) -> None:
        """
        Once the reactor runs, what the workers say is stamped, and standard
        output cannot hold the parent up any more.
        """
        calls: list[object] = []
        self.patch(workers, "onSecondSignal", lambda reactor, call: None)
        self.patch(workers, "stampLines", calls.append)
        self.patch(outlet, "unblock", calls.append)
        self.patch(systemd, "notify", lambda text: None)
        reactor = SpawningReactor()
        made = Workers(2, {}, ["tcp:0:interface=127.0.0.1"], 10, reactor)
        made.startService()
        self.addCleanup(made._shared.close)
        self.assertEqual(calls, [])
        reactor.run()
        self.assertEqual(calls, [reactor, WorkerOutput])

    def test_end(self) -> None:
        """
        What a worker has died of is logged, before it is started again; an end in
        good order is not.
        """
        self.patch(workers, "onSecondSignal", lambda reactor, call: None)
        reactor = SpawningReactor()
        made = Workers(4, {}, ["tcp:0:interface=127.0.0.1"], 10, reactor)
        made.startService()
        self.addCleanup(made._shared.close)
        ends = [
            ProcessTerminated(signal=signal.SIGKILL),
            ProcessTerminated(signal=signal.SIGRTMIN + 1),
            ProcessTerminated(3),
            ProcessDone(0),
        ]
        with capturedLogs() as events:
            for protocol, end in zip(reactor.protocols.copy(), ends, strict=True):
                protocol.processEnded(Failure(end))
            reactor.advance(LEAST_DELAY)
        self.assertEqual(
            [formatEvent(each) for each in events],
            [
                "worker 1 was ended by SIGKILL",
                "worker 2 was ended by signal 35",
                "worker 3 was ended with status 3",
                *(f"Starting worker {each}" for each in (1, 2, 3, 4)),
            ],
        )


class SpawningReactor(MemoryReactorClock):
    """
    A reactor that takes note of processes in place of starting them.
    """

    def __init__(self) -> None:
        """
        Begin with none.
        """
        super().__init__()
        self.spawned: list[dict[int, str | int]] = []
        self.protocols: list[ProcessProtocol] = []

    def spawnProcess(
        self, protocol: ProcessProtocol, *arguments: Any, childFDs: Any, **options: Any
    ) -> StringTransport:
        """
        Take note of a process, and of the descriptors that it is handed.
        """
        self.spawned.append(childFDs)
        self.protocols.append(protocol)
        process = StringTransport()
        protocol.makeConnection(process)
        return process


class WorkerOutputTests(SynchronousTestCase):
    """
    Tests for L{WorkerOutput}.
    """

    def setUp(self) -> None:
        """
        Make one whose process pauses and goes on.
        """
        self.clock = Clock()
        self.output = WorkerOutput("worker 1", self.clock)
        self.process = StringTransport()
        self.output.makeConnection(self.process)

    def say(self, *chunks: bytes, stamped: bool) -> list[LogEvent]:
        """
        Say something, in a log that is stamped or not.

        @return: what is logged.
        """
        self.patch(workers, "allStamp", lambda source: stamped)
        with capturedLogs() as events:
            for chunk in chunks:
                self.output.dataReceived(chunk)
                self.clock.advance(PAUSE)
        return list(events)

    def test_stamped(self) -> None:
        """
        What comes at once is logged at once, each line with the worker's name.
        """
        one, two = self.say(b"a\nb\nc", b"\n\xff\n", stamped=True)
        self.assertEqual(formatEvent(one), "[worker 1] a\n[worker 1] b")
        self.assertEqual(formatEvent(two), "[worker 1] c\n[worker 1] \\xff")

    def test_others(self) -> None:
        """
        Where each event is a record, each line is one.
        """
        events = self.say(b"a\nb\nc", b"\n", stamped=False)
        self.assertEqual(
            [(each["tag"], each["line"], each["stream"]) for each in events],
            [("worker 1", line, "stdout") for line in "abc"],
        )

    def test_long(self) -> None:
        """
        No line is too long.
        """
        chunks = [b"a" * 8191] * 10 + [b"\n"]
        [event] = self.say(*chunks, stamped=True)
        self.assertEqual(event["line"], "a" * 81910)

    def test_unfinished(self) -> None:
        """
        A line that a worker has died within is logged; without one, nothing is.
        """
        self.say(b"a\nb", stamped=True)
        with capturedLogs() as events:
            self.output.ended()
            self.output.ended()
        self.assertEqual([formatEvent(each) for each in events], ["[worker 1] b"])

    def test_pause(self) -> None:
        """
        What follows closely waits to be logged together, but not where as much has
        come as is read at a time.
        """
        self.output.dataReceived(b"a" * 8191 + b"\n")
        self.assertEqual(self.process.producerState, "producing")
        self.output.dataReceived(b"a\n")
        self.assertEqual(self.process.producerState, "paused")
        self.clock.advance(PAUSE)
        self.assertEqual(self.process.producerState, "producing")
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ParentWatchTests(SynchronousTestCase):
    """
    Tests for L{ParentWatch}.
    """

    def test_end(self) -> None:
        """
        Only the end of what the parent may say is its end.
        """
        watch = ParentWatch(MemoryReactorClock())
        said = [b"x", b""]

        class System:
            read = staticmethod(lambda descriptor, size: said.pop(0))

        self.patch(worker, "os", System)
        self.assertIsNone(watch.doRead())
        self.assertIsInstance(watch.doRead(), ConnectionDone)
