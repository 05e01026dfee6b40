"""
A worker as its parent sees it: a process that is started, watched, started again
and stopped.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from upperproto.monitoring.counters import Counts, addUp

# Where a worker says that it serves, once it does, and then that it lives: a line each
# time, empty or a snapshot in JSON, as IObserved has it. And where it finds its
# sockets.
STDOUT, STDERR, CONTROL, FIRST_SOCKET = 1, 2, 3, 4

# How often it says so, in seconds. One that does not for so many times hangs, and after
# more it is killed; one that has not begun to serve may be as slow as a machine that
# has much else to do.
HEARTBEAT = 1.0
HANGING_HEARTBEATS = 5
SILENT_HEARTBEATS = 10
START_HEARTBEATS = 30

# A worker that dies within so many seconds of its start, or before it serves, is
# started again after a time that doubles between these bounds; any other, at once.
SHORT_LIFE = 1.0
LEAST_DELAY = 0.1
MOST_DELAY = 5.0

# After what a worker has said, what it says in so many seconds is read together:
# waking up for a line takes as long as a short connection does. Twisted reads so many
# bytes of a process at a time; when there are as many, there is more.
READ_INTERVAL = 0.01
READ_SIZE = 8192


def workerCommand(reactor: object, options: Mapping[str, Any]) -> list[bytes]:
    """
    Put together the command that starts a worker. It runs the code that this process
    runs, in the same order of places and with the same meaning of file names, and
    takes nothing from the working directory or from the environment of Python.

    @param reactor: the worker gets one of its kind.
    @param options: those of the worker.
    """
    path = [os.path.abspath(each) for each in sys.path]
    program = (
        f"import sys; sys.path[:] = {path!a};"
        " from upperproto.processes.worker import run; run()"
    )
    modules = [each.__module__ for each in type(reactor).__mro__]
    modules = [each for each in modules if hasattr(sys.modules.get(each), "install")]
    words = [
        *(sys.executable, "-I", f"-Xutf8={sys.flags.utf8_mode}"),
        *["-O"] * sys.flags.optimize,
        *("-c", program, [*modules, "twisted.internet.default"][0]),
        json.dumps(options),
    ]
    return [os.fsencode(each) for each in words]


class Worker(ProcessProtocol):
    """
    A process that serves, or the one that replaces it when it has ended.

    @ivar serving: whether it has said that it serves.
    @ivar failure: why the process has ended before it served; empty if it has not.
    @ivar snapshot: what it has said of itself at last; empty if it has said nothing.
    @ivar past: the counts of the processes that have ended before it.
    """

    _log = Logger()

    def __init__(
        self,
        name: str,
        spawn: Callable[[Worker], object],
        clock: IReactorTime,
        served: Callable[[], None],
    ) -> None:
        """
        @param name: for the log.
        @param spawn: starts a process, with this protocol.
        @param clock: what tells the time.
        @param served: called whenever a process has said that it serves.
        """
        self.name = name
        self.serving = False
        self.failure = ""
        self.snapshot: dict[str, Any] = {}
        self.past: Counts = {}
        self._spawn = spawn
        self._clock = clock
        self._served = served
        self._process: Any = None
        self._delay = 0.0
        self._startCall: IDelayedCall | None = None
        self._killCall: IDelayedCall | None = None
        self._stopping: list[Deferred[None]] = []

    def start(self) -> None:
        """
        Start a process; and whenever it has ended, another one, until L{stop}.
        """
        self._log.info("Starting {name}", name=self.name)
        self._startCall = None
        self.failure = ""
        self._started = self._clock.seconds()
        self._silent = 0
        self._error = ""
        self._unfinished = {STDOUT: b"", STDERR: b"", CONTROL: b""}
        try:
            self._spawn(self)
        except Exception as error:
            self._log.error(
                "{name} cannot be started: {error}", name=self.name, error=error
            )
            self._ended(str(error))

    def stop(self, seconds: float) -> Deferred[None]:
        """
        End the process (SIGTERM), and start no more.

        @param seconds: when to kill it, if it has not ended.
        @return: fires when it has ended.
        """
        if self._startCall is not None:
            self._startCall.cancel()
            self._startCall = None
        if self._process is None:
            return succeed(None)
        self.terminate()
        if self._killCall is None:
            why = f"has not ended within {seconds:g} s"
            self._killCall = self._clock.callLater(seconds, self._kill, why)
        stopped = Deferred[None]()
        self._stopping.append(stopped)
        return stopped

    @property
    def state(self) -> str:
        """
        What the process does, for people.
        """
        if self._process is None:
            return f"ended: {self.failure}" if self.failure else "ended"
        what = "serves" if self.serving else "starts"
        if self.serving and self.hangs:
            what = f"hangs: silent for {self._silent * HEARTBEAT:g} s"
        return f"{what}, process {self._process.pid}"

    @property
    def hangs(self) -> bool:
        """
        Whether it has been silent for so long that it seems not to serve any more.
        """
        return self._silent >= HANGING_HEARTBEATS

    def terminate(self) -> None:
        """
        Send the process a SIGTERM.
        """
        self._signal("TERM")

    def reopenLogs(self) -> None:
        """
        Have the process open its logs anew (SIGUSR1). One that does not serve yet will
        find them where they are.
        """
        if self.serving:
            self._signal(signal.SIGUSR1)

    def watch(self) -> None:
        """
        Kill the process if it has been silent for too long. To be called each
        L{HEARTBEAT} seconds, by the reactor.

        What counts are the calls between which nothing has come, not the time: if
        this process was stopped, or had much to do, it has not read what has come.
        """
        if self._process is None:
            return
        self._silent += 1
        if self.serving and self._silent == SILENT_HEARTBEATS:
            self._kill(f"has been silent for {self._silent * HEARTBEAT:g} s")
        elif not self.serving and self._silent == START_HEARTBEATS:
            self._error = (
                f"has not begun to serve within {self._silent * HEARTBEAT:g} s"
            )
            self._kill(self._error)

    def connectionMade(self) -> None:
        """
        The process has started.
        """
        self._process = self.transport

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """
        Note that it lives, or log what it says, line by line.
        """
        *lines, rest = (self._unfinished[childFD] + data).split(b"\n")
        self._unfinished[childFD] = rest
        if childFD == CONTROL:
            self._silent = 0
            if lines and lines[-1]:
                self.snapshot = json.loads(lines[-1])
            if not self.serving:
                self.serving = True
                self._served()
            return
        for line in lines:
            self._logLine(childFD, line)
        if len(data) < READ_SIZE:
            self._process.pauseProducing()
            self._clock.callLater(READ_INTERVAL, self._process.resumeProducing)

    def processEnded(self, reason: Failure) -> None:
        """
        It has ended, and all that it has said was read. Log a line that it has died
        within, and what has ended it if that was not in order.
        """
        self._process = None
        for childFD in (STDOUT, STDERR):
            if self._unfinished[childFD]:
                self._logLine(childFD, self._unfinished[childFD])
        how = _describe(reason.value)
        if not isinstance(reason.value, ProcessDone):
            self._log.warn("{name} was {how}", name=self.name, how=how)
        self._ended(f"{self._error} ({how})" if self._error else how)

    def _ended(self, why: str) -> None:
        lived = self._clock.seconds() - self._started
        if self.serving and lived >= SHORT_LIFE:
            self._delay = 0.0
        else:
            self._delay = min(max(LEAST_DELAY, 2 * self._delay), MOST_DELAY)
        if not self.serving:
            self.failure = why
        self.serving = False
        self.past = addUp([self.past, self.snapshot.pop("counts", {})])
        self.snapshot = {}
        if self._killCall is not None and self._killCall.active():
            self._killCall.cancel()
        self._killCall = None
        stopping, self._stopping = self._stopping, []
        if not stopping:
            self._startCall = self._clock.callLater(self._delay, self.start)
        for each in stopping:
            each.callback(None)

    def _logLine(self, childFD: int, line: bytes) -> None:
        text = line.decode("utf-8", "backslashreplace")
        if childFD == STDERR and text:
            # The last one of a traceback tells most.
            self._error = text.removeprefix("upper: ")
        self._log.info("[{tag}] {line}", tag=self.name, line=text)

    def _kill(self, why: str) -> None:
        self._log.warn("{name} {why}: killing it", name=self.name, why=why)
        self._signal("KILL")

    def _signal(self, name: str | int) -> None:
        if self._process is not None:
            with suppress(ProcessExitedAlready):
                self._process.signalProcess(name)


def _describe(end: Any) -> str:
    """
    Say how a process has ended.
    """
    if end.signal is None:
        return f"ended with status {end.exitCode}"
    # Of the real-time signals only two have a name.
    names = {each.value: each.name for each in signal.Signals}
    return f"ended by {names.get(end.signal, f'signal {end.signal}')}"
