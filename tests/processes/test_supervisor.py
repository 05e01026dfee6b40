"""
Tests for L{upperproto.processes.supervisor}. What real processes do, the functional
tests show.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet
from twisted.logger import capturedLogs, formatEvent
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from tests.processes.spawning import SpawningReactor
from upperproto.processes import supervisor
from upperproto.processes.restartedprocess import LEAST_DELAY
from upperproto.processes.supervisor import GRACE, Supervisor
from upperproto.processes.watchdog import (
    HANGING_HEARTBEATS,
    HEARTBEAT,
    SILENT_HEARTBEATS,
    START_HEARTBEATS,
)
from upperproto.tap import Options, makeService
from upperproto.ways import systemd
from upperproto.ways.endpoints import CannotStart

DRAIN = 10


class SupervisorTests(SynchronousTestCase):
    """
    Tests for L{Supervisor}.
    """

    def setUp(self) -> None:
        """
        Make a reactor that does not run yet, and listen to what systemd is told.
        """
        self.reactor = SpawningReactor()
        self.told: list[str] = []
        self.patch(systemd, "notify", self.told.append)
        self.secondSignal: list[Callable[[], None]] = []

        def watch(reactor: object, call: Callable[[], None]) -> SimpleNamespace:
            return SimpleNamespace(
                start=partial(self.secondSignal.append, call),
                stop=self.secondSignal.clear,
            )

        self.patch(supervisor, "SecondSignal", watch)

    def make(self, number: int = 2, *endpoints: str, **options: Any) -> Supervisor:
        """
        Make a service.
        """
        endpoints = endpoints or ("tcp:0:interface=127.0.0.1",)
        service = Supervisor(number, options, list(endpoints), DRAIN, self.reactor)
        self.addCleanup(service._shared.close)
        return service

    def whenAsked(self, *happens: Callable[[], object]) -> None:
        """
        Let something happen when the reactor is asked to iterate.
        """
        self.reactor.happens += happens

    def serve(self, number: int) -> Callable[[], None]:
        """
        Let the process of this number say that it serves, when it is asked to.
        """
        return lambda: self.reactor.processes[number].serve()

    def start(self, number: int = 2) -> Supervisor:
        """
        Make a service, and start it.
        """
        service = self.make(number)
        self.whenAsked(*map(self.serve, range(number)))
        service.startService()
        return service

    def begin(self) -> None:
        """
        Let the reactor run, and go on.
        """
        self.reactor.run()
        self.reactor.running = True

    def test_start(self) -> None:
        """
        The sockets are bound once, when the process has its privileges or when it
        starts, and each worker is handed its own, beside its streams and that on
        which it says that it serves.
        """
        for privileged in (True, False):
            service = self.make()
            if privileged:
                service.privilegedStartService()
            self.assertEqual(self.reactor.processes, [])
            self.whenAsked(self.serve(0), self.serve(1))
            service.startService()
            [sockets] = service._shared.sockets
            self.assertEqual(
                [options["childFDs"] for _, options in self.reactor.spawned],
                [
                    {0: "w", 1: "r", 2: "r", 3: "r", 4: each.fileno()}
                    for each in sockets
                ],
            )
            self.reactor.processes.clear()
            self.reactor.spawned.clear()

    def test_accessLog(self) -> None:
        """
        SIGUSR1 is passed on to the workers that serve, from the reactor, if there is an
        access log; and nothing of that stays.
        """
        before = signal.getsignal(signal.SIGUSR1)
        self.start()
        self.assertIs(signal.getsignal(signal.SIGUSR1), before)
        self.reactor.processes.clear()
        service = self.make(2, **{"access-log": "/access.log"})
        self.whenAsked(self.serve(0), self.serve(1))
        service.startService()
        one, two = self.reactor.processes
        two.die()
        self.reactor.advance(LEAST_DELAY)
        three = self.reactor.processes[2]
        signal.raise_signal(signal.SIGUSR1)
        self.assertEqual(one.signals, [])
        self.reactor.iterate()
        for process, number in ((one, [signal.SIGUSR1]), (two, []), (three, [])):
            self.assertEqual(process.signals, number)
        stopped = service.stopService()
        one.end()
        three.end()
        self.reactor.advance(0)
        self.successResultOf(stopped)
        self.assertIs(signal.getsignal(signal.SIGUSR1), before)

    def test_accessLogOfStandardOutput(self) -> None:
        """
        Each worker is handed this process's standard output, behind its sockets.
        """
        service = self.make(2, **{"access-log": "-"})
        self.whenAsked(self.serve(0), self.serve(1))
        service.startService()
        for _, options in self.reactor.spawned:
            self.assertEqual(options["childFDs"][5], 1)
            self.assertEqual(len(options["childFDs"]), 6)
        service.stopService()
        for process in self.reactor.processes:
            process.end()

    def test_environment(self) -> None:
        """
        Workers have the environment of their parent, whatever bytes are in it; but
        systemd hears of the service from the parent alone.
        """
        with patch.dict(os.environ, {"NOTIFY_SOCKET": "x", "OTHER": "\udcff"}):
            self.start()
        for _, options in self.reactor.spawned:
            self.assertEqual(options["env"][b"OTHER"], b"\xff")
            self.assertNotIn(b"NOTIFY_SOCKET", options["env"])

    def test_ready(self) -> None:
        """
        Where the reactor does not run yet, the start takes until each worker serves;
        systemd is told, once, when the reactor runs.
        """
        service = self.make(3)
        self.whenAsked(self.serve(2), lambda: None, self.serve(0), self.serve(1))
        service.startService()
        self.assertEqual(self.reactor.happens, [])
        self.assertEqual(self.told, [])
        self.begin()
        self.assertEqual(self.told, ["READY=1\nSTATUS=Serving"])
        self.reactor.processes[0].die()
        self.reactor.advance(LEAST_DELAY)
        self.reactor.processes[3].serve()
        self.assertEqual(len(self.told), 1)

    def test_readyLater(self) -> None:
        """
        Where the reactor runs, the start does not wait, and systemd is told when each
        worker serves; one that cannot is started again until it can.
        """
        self.begin()
        self.make().startService()
        one, two = self.reactor.processes
        one.serve()
        two.end(1)
        self.reactor.advance(LEAST_DELAY)
        self.assertEqual(self.told, [])
        self.reactor.processes[2].serve()
        self.assertEqual(self.told, ["READY=1\nSTATUS=Serving"])

    def failToStart(self, *happens: Callable[[], object]) -> str:
        """
        Start a service that cannot start, because of what happens when the reactor is
        asked to iterate.

        @return: what the person who has started it reads.
        """
        service = self.make()
        self.whenAsked(*happens)
        with self.assertRaises(CannotStart) as caught:
            service.startService()
        self.assertFalse(service.running)
        self.assertEqual(service._shared.sockets, [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.told, [])
        return str(caught.exception)

    def end(self, number: int) -> Callable[[], None]:
        """
        Let the process of this number end in order, when it is asked to.
        """
        return lambda: self.reactor.processes[number].end()

    def test_cannotServe(self) -> None:
        """
        Where a worker ends before it serves, the others are ended, and the start
        fails, with what the worker has said.
        """

        def cannot() -> None:
            self.reactor.processes[1].say(b"upper: no such key\n", error=True)
            self.reactor.processes[1].end(1)

        said = self.failToStart(self.serve(0), cannot, lambda: None, self.end(0))
        one, two = self.reactor.processes
        self.assertEqual((one.signals, two.signals), (["TERM"], []))
        self.assertEqual(
            said,
            "upper: worker 2 cannot serve: no such key (ended with status 1)",
        )

    def test_cannotSpawn(self) -> None:
        """
        So it is where a worker cannot be started at all.
        """
        self.reactor.refusal = OSError("no such luck")
        said = self.failToStart()
        self.assertEqual(said, "upper: worker 1 cannot serve: no such luck")

    def test_tooSlow(self) -> None:
        """
        So it is where a worker does not come to it: it is killed, and so is another
        one that does not end.
        """

        def iterate(delay: float) -> None:
            self.reactor.advance(delay)
            self.reactor.processes[1].serve()
            for process in self.reactor.processes:
                if process.signals[-1:] == ["KILL"]:
                    process.signals.append("ended")
                    process.die()

        self.patch(self.reactor, "iterate", iterate)
        self.assertEqual(
            self.failToStart(),
            "upper: worker 1 cannot serve: has not begun to serve within 30 s"
            " (ended by SIGKILL)",
        )
        self.assertEqual(self.reactor.processes[1].signals, ["TERM", "KILL", "ended"])
        waited = START_HEARTBEATS * HEARTBEAT + DRAIN + GRACE
        self.assertAlmostEqual(self.reactor.seconds(), waited, places=0)

    def test_interrupted(self) -> None:
        """
        A signal ends a start in order; a second one ends the conversations that have
        begun meanwhile. Then signals mean what they meant before.
        """
        # A shell may have had this process ignore it.
        given = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, given)
        before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
        for number in (signal.SIGTERM, signal.SIGINT):
            self.reactor.processes.clear()
            kill = partial(os.kill, os.getpid(), number)
            said = self.failToStart(
                self.serve(0), kill, lambda: None, kill, self.end(0), self.end(1)
            )
            self.assertEqual(
                said, f"upper: {number.name} came before all workers served"
            )
            for process in self.reactor.processes:
                self.assertEqual(process.signals, ["TERM", "TERM"])
        after = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
        self.assertEqual(after, before)

    def test_ignoredSignal(self) -> None:
        """
        A signal that the process was started to ignore is ignored.
        """
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.addCleanup(signal.signal, signal.SIGINT, before)
        kill = partial(os.kill, os.getpid(), signal.SIGINT)
        self.whenAsked(kill, self.serve(0), self.serve(1))
        self.make().startService()

    def test_otherThread(self) -> None:
        """
        In a thread, which signals are no matter of, it starts as well.
        """
        errors: list[object] = []

        def start() -> None:
            try:
                self.start()
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=start)
        thread.start()
        thread.join()
        self.assertEqual(errors, [])

    def test_stopMeanwhile(self) -> None:
        """
        Whoever stops the service while it waits for its workers need not wait for it.
        """
        service = self.make()

        def stop() -> None:
            stopped.append(service.stopService())

        stopped: list[Deferred[None]] = []
        self.whenAsked(self.serve(0), stop)
        service.startService()
        for process in self.reactor.processes:
            process.end()
        self.reactor.advance(0)
        self.successResultOf(stopped[0])

    def test_refused(self) -> None:
        """
        Where one port cannot be had, the start fails, whether or not the reactor runs;
        what was bound before is not, any more.
        """
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            endpoint = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
            for begin in (lambda: None, self.begin):
                begin()
                service = self.make(2, "tcp:0:interface=127.0.0.1", endpoint)
                with self.assertRaises(CannotStart) as caught:
                    service.startService()
                why = "upper: Couldn't listen on 127.0.0.1"
                self.assertTrue(str(caught.exception).startswith(why))
                self.assertEqual(service._shared.sockets, [])
                self.assertFalse(service.running)
                self.reactor.advance(0)
                self.assertEqual(self.reactor.getDelayedCalls(), [])
                self.assertEqual(self.reactor.processes, [])

    def test_datagrams(self) -> None:
        """
        The sockets of datagrams are bound when the process has its privileges, or the
        service cannot start.
        """
        endpoints = ["tcp:0:interface=127.0.0.1"]
        ports: list[int | str] = ["same", 0]
        for port in ports:
            service = Supervisor(2, {}, endpoints, DRAIN, self.reactor, (port, ""))
            service.privilegedStartService()
            self.assertEqual(len(service._shared.sockets), 2)
            taken = service._shared.sockets[-1][0].getsockname()[1]
            other = Supervisor(2, {}, endpoints, DRAIN, self.reactor, (taken, ""))
            with self.assertRaises(CannotStart) as caught:
                other.privilegedStartService()
            self.assertIn("upper: Couldn't listen on UDP", str(caught.exception))
            self.assertEqual(other._shared.sockets, [])
            service._shared.close()

    def test_notShared(self) -> None:
        """
        An endpoint that wants more than sockets cannot be shared.
        """

        class Elsewhere:
            def __init__(self, reactor: IReactorFDSet, description: str) -> None:
                self.reactor = reactor

            def listen(self, factory: object) -> None:
                self.reactor.getReaders()

        self.patch(supervisor, "endpointFrom", Elsewhere)
        with self.assertRaises(CannotStart) as caught:
            self.make(2, "elsewhere:").startService()
        said = str(caught.exception)
        self.assertEqual(said, "upper: workers cannot share elsewhere:")

    def test_sameRefusals(self) -> None:
        """
        Whatever one process refuses, several refuse with the same words.
        """
        endpoints = [
            *("tcp:70000", "tcp:-1", "tcp:x", "tcp", "tcp:", "tcp:0:foo=1"),
            *("tcp:0:interface=192.0.2.1", "tcp:0:interface=x y"),
            *("tcp:0:backlog=x", "tcp:0:backlog=99999999999"),
            *("tcp6:x", "tcp6:0:interface=::2", "tcp6:0:interface=::1%lo"),
            *(
                "unix:/none/socket",
                "unix:socket:mode=9",
                "ssl:0",
                "ssl:0:privateKey=/none",
                "systemd:",
            ),
            *("systemd:domain=INET", "systemd:domain=INET:index=0", "", "foo:1"),
            *("systemd:domain=INET:name=x", "haproxy:tcp:0", "stdio:", "fd:0", "unix:"),
            *("tcp6:70000", "tcp:0:interface="),
        ]
        for endpoint in endpoints:
            said = []
            for number in "12":
                options = Options()
                words = ["--listen", endpoint, "--workers", number]
                with self.assertRaises((CannotStart, UsageError)) as caught:
                    options.parseOptions(words)
                    makeService(options, self.reactor).privilegedStartService()
                said.append(str(caught.exception))
            self.assertEqual(said[0], said[1], endpoint)
            self.assertTrue(said[0])

    def test_notAnEndpoint(self) -> None:
        """
        What is not an endpoint is known before anything listens.
        """
        with self.assertRaises(CannotStart) as caught:
            self.make(2, "tcp:0", "foo:1")
        self.assertIn("not an endpoint: foo:1", str(caught.exception))

    def test_stop(self) -> None:
        """
        At the end the parent closes its copies of the sockets before it tells any
        worker. When all have ended it has stopped, and nothing of it is left.
        """
        service = self.start()
        self.begin()
        self.told.clear()
        [sockets] = service._shared.sockets
        open_: list[bool] = []

        def note(name: str) -> None:
            self.assertEqual(name, "TERM")
            open_.extend(each.fileno() != -1 for each in sockets)

        one, two = self.reactor.processes
        self.patch(one, "signalProcess", note)
        self.patch(two, "signalProcess", note)
        stopped = service.stopService()
        self.assertEqual(open_, [False] * 4)
        self.assertEqual(len(self.secondSignal), 1)
        self.assertEqual(self.told, ["STOPPING=1\nSTATUS=Draining"])
        self.reactor.advance(1)
        one.end()
        self.assertNoResult(stopped)
        two.end()
        self.successResultOf(stopped)
        self.assertEqual(self.secondSignal, [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.reactor.getReaders(), [])
        self.assertEqual(len(self.reactor.processes), 2)

    def test_stopWithoutStart(self) -> None:
        """
        What was not started has stopped.
        """
        self.successResultOf(self.make().stopService())
        self.assertEqual(self.told, [])

    def test_again(self) -> None:
        """
        A service that has stopped can be started again.
        """
        service = self.start()
        stopped = service.stopService()
        for process in self.reactor.processes:
            process.end()
        self.reactor.advance(0)
        self.successResultOf(stopped)
        self.whenAsked(self.serve(2), self.serve(3))
        service.startService()
        self.assertEqual(len(service._shared.sockets), 1)

    def test_kill(self) -> None:
        """
        A worker has its drain time, and then some more, until it is killed.
        """
        service = self.start()
        stopped = service.stopService()
        one, two = self.reactor.processes
        one.end()
        self.reactor.advance(DRAIN + GRACE - 0.1)
        self.assertEqual(two.signals, ["TERM"])
        self.reactor.advance(0.1)
        self.assertEqual(two.signals, ["TERM", "KILL"])
        self.assertNoResult(stopped)
        two.die()
        self.successResultOf(stopped)

    def test_secondSignal(self) -> None:
        """
        A second signal is passed on.
        """
        service = self.start()
        [call] = self.secondSignal
        service.stopService()
        self.reactor.processes[0].end()
        call()
        self.assertEqual(
            [each.signals for each in self.reactor.processes],
            [["TERM"], ["TERM", "TERM"]],
        )

    def test_silent(self) -> None:
        """
        A worker that is silent for too long is replaced, and no other.
        """
        self.start()
        one, two = self.reactor.processes
        for _ in range(SILENT_HEARTBEATS):
            two.serve()
            self.reactor.advance(HEARTBEAT)
        self.assertEqual((one.signals, two.signals), (["KILL"], []))
        with capturedLogs() as events:
            one.die()
            self.reactor.advance(0)
        self.assertEqual(
            [formatEvent(each) for each in events],
            ["worker 1 was ended by SIGKILL", "Starting worker 1"],
        )
        self.assertEqual(
            self.reactor.spawned[2][1]["childFDs"],
            self.reactor.spawned[0][1]["childFDs"],
        )

    def test_status(self) -> None:
        """
        Those who ask are told what all workers have said; and how many serve, once all
        have done so.
        """
        service = self.make(2)
        self.assertEqual(service.serving, 0)
        self.whenAsked(self.serve(0), lambda: None, self.serve(1))
        service.startService()
        self.assertEqual(service.serving, 2)
        [(address, faults)] = service.listeners()
        self.assertTrue(address.startswith("127.0.0.1:"), address)
        self.assertEqual(faults, "")
        self.assertEqual(
            service.workers(),
            [(f"worker {each}", "serves, process 4711") for each in (1, 2)],
        )
        empty = service.snapshot()
        self.assertEqual((empty["connections"], empty["notAfter"]), (0, None))
        self.assertEqual(empty["counts"]["opened"], {})
        one, two = self.reactor.processes
        for process, number in ((one, 1), (two, 2)):
            said = {
                "connections": number,
                "counts": {"bytes": {"sent": 10 * number}},
                "incidents": [[3 - number, "peer", "what"]],
                "notAfter": 100 - number,
            }
            process.serve(json.dumps(said).encode())
        whole = service.snapshot()
        self.assertEqual(whole["connections"], 3)
        self.assertEqual(whole["counts"]["bytes"], {"sent": 30})
        self.assertEqual(whole["notAfter"], 98)
        self.assertEqual([when for when, *_ in whole["incidents"]], [1, 2])

    def test_statusOfOthers(self) -> None:
        """
        No count falls when a worker ends; one that is replaced, or hangs, does not
        serve.
        """
        service = self.start()
        self.begin()
        one, two = self.reactor.processes
        one.serve(b'{"connections": 1, "counts": {"bytes": {"sent": 5}}}')
        two.serve(b'{"connections": 1, "counts": {"bytes": {"sent": 7}}}')
        one.die()
        self.assertEqual(service.serving, 1)
        snapshot = service.snapshot()
        self.assertEqual(snapshot["counts"]["bytes"], {"sent": 12})
        self.assertEqual(snapshot["connections"], 1)
        self.assertEqual(service.workers()[0], ("worker 1", "ended"))
        self.reactor.advance(LEAST_DELAY)
        self.assertEqual(service.workers()[0], ("worker 1", "starts, process 4711"))
        for _ in range(HANGING_HEARTBEATS):
            self.reactor.processes[2].serve(b'{"counts": {"bytes": {"sent": 1}}}')
            self.reactor.advance(HEARTBEAT)
        self.assertEqual(service.serving, 1)
        self.assertEqual(
            service.workers()[1],
            ("worker 2", "hangs: silent for 5 s, process 4711"),
        )
        self.assertEqual(service.snapshot()["counts"]["bytes"], {"sent": 13})
