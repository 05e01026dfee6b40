"""
Tests for L{upperproto.processes.restartedprocess}.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import Clock
from twisted.logger import LogEvent, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.processes.spawning import FakeProcess
from upperproto.processes.restartedprocess import (
    LEAST_DELAY,
    MOST_DELAY,
    READ_INTERVAL,
    READ_SIZE,
    SHORT_LIFE,
    Worker,
    workerCommand,
)
from upperproto.processes.watchdog import (
    HEARTBEAT,
    SILENT_HEARTBEATS,
    START_HEARTBEATS,
)


class WorkerCommandTests(SynchronousTestCase):
    """
    Tests for L{workerCommand}.
    """

    def path(self, command: list[bytes]) -> object:
        """
        Run the beginning of the program.

        @return: what becomes of C{sys.path}.
        """
        assignment = command[command.index(b"-c") + 1].split(b";")[1].strip()

        class StubSystem:
            path: object = ["at first"]

        exec(assignment, {"sys": StubSystem})
        return StubSystem.path

    def test_path(self) -> None:
        """
        The worker finds its modules where the parent does, in this order, wherever
        either stands then; and nowhere else.
        """
        self.patch(sys, "path", ["", "zip\u00e9 \udcff", "/usr/lib"])
        command = workerCommand(Clock(), {})
        here = os.getcwd()
        self.assertEqual(
            self.path(command), [here, f"{here}/zip\u00e9 \udcff", "/usr/lib"]
        )
        self.assertEqual(command[:2], [os.fsencode(sys.executable), b"-I"])

    def test_flags(self) -> None:
        """
        File names mean to it what they mean to the parent, and assertions do.
        """

        class StubFlags:
            utf8_mode = 1
            optimize = 2

        self.patch(sys, "flags", StubFlags)
        command = workerCommand(Clock(), {})
        self.assertEqual(command[2 : command.index(b"-c")], [b"-Xutf8=1", b"-O", b"-O"])

    def test_options(self) -> None:
        """
        It gets its options, whatever characters are in them.
        """
        options = {"tls-key": "/\u00e9\udcff\n", "workers": 1, "idle-timeout": None}
        *_, words = workerCommand(Clock(), options)
        self.assertEqual(json.loads(words), options)

    def test_reactor(self) -> None:
        """
        It gets a reactor of the parent's kind, or of the nearest kind that can be
        installed; Twisted's own choice where there is none.
        """

        class Derived(EPollReactor):
            def __init__(self) -> None:
                pass

        for reactor, module in {
            Derived(): b"twisted.internet.epollreactor",
            Clock(): b"twisted.internet.default",
        }.items():
            *_, found, _ = workerCommand(reactor, {})
            self.assertEqual(found, module)


class WorkerTests(SynchronousTestCase):
    """
    Tests for L{Worker}.
    """

    def setUp(self) -> None:
        """
        Make a worker.
        """
        self.clock = Clock()
        self.processes: list[FakeProcess] = []
        self.refusal: Exception | None = None
        self.served = 0
        self.worker = Worker("worker 1", self.spawn, self.clock, self.countServed)

    def spawn(self, worker: Worker) -> None:
        """
        Start a process, or do not.
        """
        if self.refusal is not None:
            raise self.refusal
        self.processes.append(FakeProcess(worker))

    def countServed(self) -> None:
        """
        Count how often the worker has begun to serve.
        """
        self.served += 1

    def start(self) -> FakeProcess:
        """
        Start the worker.
        """
        self.worker.start()
        [process] = self.processes
        return process

    def logOf(self, *events: LogEvent) -> list[str | None]:
        """
        Format what was logged.
        """
        return [formatEvent(each) for each in events]

    def heartbeats(self, number: int) -> None:
        """
        Let time go on, and the worker be watched.
        """
        for _ in range(number):
            self.clock.advance(HEARTBEAT)
            self.worker.watch()

    def test_serving(self) -> None:
        """
        A worker serves once it has said so, and says so once for each process.
        """
        process = self.start()
        self.assertFalse(self.worker.serving)
        process.serve()
        process.serve()
        self.assertTrue(self.worker.serving)
        self.assertEqual(self.served, 1)
        self.clock.advance(SHORT_LIFE)
        process.die()
        self.assertFalse(self.worker.serving)
        self.clock.advance(0)
        self.processes[1].serve()
        self.assertEqual(self.served, 2)

    def test_restart(self) -> None:
        """
        When it has ended it is started again, whatever has ended it: at once if it
        has served for a while.
        """
        self.start()
        for number, by in enumerate([signal.SIGKILL, signal.SIGTERM, None], 1):
            self.processes[-1].serve()
            self.clock.advance(SHORT_LIFE)
            self.processes[-1].end(by=by)
            self.clock.advance(0)
            self.assertEqual(len(self.processes), number + 1)

    def test_shortLife(self) -> None:
        """
        If it has ended within a second it is started again after a time that doubles
        up to a bound; and so it is if it has not served, however long that took. The
        next one that serves for longer is followed at once, and then it begins anew.
        """
        self.start()
        delays = [LEAST_DELAY * 2**each for each in range(10)]
        for number, delay in enumerate(delays, 1):
            if number % 2:
                self.processes[-1].serve()
            else:
                self.clock.advance(SHORT_LIFE * number)
            self.processes[-1].die()
            self.clock.advance(min(delay, MOST_DELAY) * 0.99)
            self.assertEqual(len(self.processes), number)
            self.clock.advance(min(delay, MOST_DELAY) * 0.01 + 1e-6)
            self.assertEqual(len(self.processes), number + 1)
        for delay in (0, LEAST_DELAY):
            number = len(self.processes)
            self.processes[-1].serve()
            if not delay:
                self.clock.advance(SHORT_LIFE)
            self.processes[-1].die()
            if delay:
                self.clock.advance(0)
                self.assertEqual(len(self.processes), number)
            self.clock.advance(delay)
            self.assertEqual(len(self.processes), number + 1)

    def test_notStarted(self) -> None:
        """
        Where the system cannot start a process, the worker tries again.
        """
        self.refusal = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        with capturedLogs() as events:
            self.worker.start()
            self.clock.advance(LEAST_DELAY)
        text = "[Errno 24] Too many open files"
        cannot = f"worker 1 cannot be started: {text}"
        self.assertEqual(self.logOf(*events), ["Starting worker 1", cannot] * 2)
        self.assertEqual(self.worker.failure, text)
        self.refusal = None
        self.clock.advance(2 * LEAST_DELAY)
        [process] = self.processes
        process.serve()
        self.assertEqual(self.worker.failure, "")

    def test_failure(self) -> None:
        """
        Why it has ended before it served is known: by the last line of its standard
        error, such as a message of ours or the end of a traceback, and by how it has
        ended.
        """
        for lines, failure in {
            b"": "ended with status 1",
            b"upper: no such key\n": "no such key (ended with status 1)",
            b"Traceback\n  x\nError: x": "Error: x (ended with status 1)",
        }.items():
            self.worker.start()
            process = self.processes[-1]
            if lines:
                process.say(lines, error=True)
                self.clock.advance(READ_INTERVAL)
            process.say(b"a line of the log\n")
            self.clock.advance(READ_INTERVAL)
            process.end(1)
            self.assertEqual(self.worker.failure, failure)
            self.successResultOf(self.worker.stop(0))

    def test_end(self) -> None:
        """
        What has ended a process is logged, before it is started again; an end in
        good order is not.
        """
        self.start()
        with capturedLogs() as events:
            for status, by in [
                (0, signal.SIGKILL),
                (0, signal.SIGRTMIN + 1),
                (3, None),
                (0, None),
            ]:
                self.processes[-1].end(status, by)
                self.clock.advance(MOST_DELAY)
        self.assertEqual(
            self.logOf(*events),
            [
                "worker 1 was ended by SIGKILL",
                "Starting worker 1",
                "worker 1 was ended by signal 35",
                "Starting worker 1",
                "worker 1 was ended with status 3",
                "Starting worker 1",
                "Starting worker 1",
            ],
        )

    def test_silent(self) -> None:
        """
        A process that is silent for too long is killed, once, with a line in the
        log, and then replaced.
        """
        process = self.start()
        process.serve()
        self.heartbeats(SILENT_HEARTBEATS - 1)
        process.serve()
        self.heartbeats(SILENT_HEARTBEATS - 1)
        self.assertEqual(process.signals, [])
        with capturedLogs() as events:
            self.heartbeats(2)
        self.assertEqual(process.signals, ["KILL"])
        [text] = self.logOf(*events)
        self.assertEqual(text, "worker 1 has been silent for 10 s: killing it")
        process.die()
        self.clock.advance(0)
        self.assertEqual(len(self.processes), 2)
        self.heartbeats(1)
        self.assertEqual(self.processes[1].signals, [])

    def test_parentWasStopped(self) -> None:
        """
        However long the parent itself stood still, it kills nobody for that: what has
        come meanwhile is still to be read.
        """
        process = self.start()
        process.serve()
        for _ in range(SILENT_HEARTBEATS - 1):
            self.clock.advance(3600)
            self.worker.watch()
        self.assertEqual(process.signals, [])

    def test_slowStart(self) -> None:
        """
        A process may take longer to begin to serve, and not for ever.
        """
        process = self.start()
        self.heartbeats(START_HEARTBEATS - 1)
        self.assertEqual(process.signals, [])
        self.heartbeats(1)
        self.assertEqual(process.signals, ["KILL"])
        process.die()
        self.assertEqual(
            self.worker.failure,
            "has not begun to serve within 30 s (ended by SIGKILL)",
        )
        self.worker.watch()

    def test_stop(self) -> None:
        """
        It is stopped by SIGTERM, has stopped when its process has ended, and nothing
        of it is left.
        """
        process = self.start()
        process.serve()
        stopped, again = self.worker.stop(10), self.worker.stop(10)
        self.assertNoResult(stopped)
        process.end()
        self.successResultOf(stopped)
        self.successResultOf(again)
        self.assertEqual(set(process.signals), {"TERM"})
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.processes), 1)

    def test_kill(self) -> None:
        """
        A process that has not ended in time is killed, with a line in the log.
        """
        process = self.start()
        stopped = self.worker.stop(12.5)
        self.clock.advance(12.4)
        self.assertEqual(process.signals, ["TERM"])
        with capturedLogs() as events:
            self.clock.advance(0.1)
        self.assertEqual(process.signals, ["TERM", "KILL"])
        [text] = self.logOf(*events)
        self.assertEqual(text, "worker 1 has not ended within 12.5 s: killing it")
        process.die()
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopBetween(self) -> None:
        """
        Where it has ended and waits to be started again, or has never been started,
        there is nothing to wait for.
        """
        self.successResultOf(self.worker.stop(10))
        self.start().die()
        self.successResultOf(self.worker.stop(10))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.worker.terminate()

    def test_zombie(self) -> None:
        """
        A signal to a process that has just ended is no error.
        """
        self.start().exit()
        self.worker.terminate()

    def say(self, *chunks: bytes, error: bool = False) -> list[LogEvent]:
        """
        Start a process, and let it say something.

        @return: what is logged.
        """
        process = self.start()
        with capturedLogs() as events:
            for chunk in chunks:
                process.say(chunk, error)
                self.clock.advance(READ_INTERVAL)
        return list(events)

    def test_lines(self) -> None:
        """
        Each line of what it says, on whichever stream, is an event of its own.
        """
        events = self.say(b"a\nb\nc", b"\n\xff\n")
        self.assertEqual(
            self.logOf(*events),
            [f"[worker 1] {each}" for each in ["a", "b", "c", "\\xff"]],
        )
        self.assertEqual({each["tag"] for each in events}, {"worker 1"})
        self.assertEqual([each["line"] for each in events], ["a", "b", "c", "\\xff"])

    def test_long(self) -> None:
        """
        No line is too long.
        """
        [event] = self.say(*[b"a" * READ_SIZE] * 10, b"\n", error=True)
        self.assertEqual(event["line"], "a" * 10 * READ_SIZE)

    def test_unfinished(self) -> None:
        """
        A line that it has died within is logged; and it does not go on with what its
        successor says.
        """
        self.say(b"a\nb")
        with capturedLogs() as events:
            self.processes[0].die()
            self.clock.advance(LEAST_DELAY)
            self.processes[1].say(b"c\n")
        self.assertEqual(
            self.logOf(*events),
            [
                "[worker 1] b",
                "worker 1 was ended by SIGKILL",
                "Starting worker 1",
                "[worker 1] c",
            ],
        )

    def test_together(self) -> None:
        """
        What follows closely waits to be read together, but not where as much has
        come as is read at a time.
        """
        process = self.start()
        process.say(b"a" * (READ_SIZE - 1) + b"\n")
        self.assertFalse(process.paused)
        process.say(b"a\n")
        self.assertTrue(process.paused)
        self.clock.advance(READ_INTERVAL)
        self.assertFalse(process.paused)
        self.assertEqual(self.clock.getDelayedCalls(), [])
