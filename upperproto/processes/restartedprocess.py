"""
A worker process, in the parent: start it, read its output, start it again when it has
ended, perhaps after a delay, and stop it.
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
from upperproto.processes.watchdog import Watchdog

# The descriptors of a worker. It writes heartbeats to CONTROL, and sends the first one
# when it begins to serve. A heartbeat is a line, which is empty or has a snapshot in
# JSON (see IObserved). The listening sockets begin at FIRST_SOCKET.
STDOUT, STDERR, CONTROL, FIRST_SOCKET = 1, 2, 3, 4

# A worker is started again at once when it ends. But if it ends before it serves, or
# lives less than SHORT_LIFE seconds, there is a delay. The delay doubles each time,
# from LEAST_DELAY to MOST_DELAY seconds.
SHORT_LIFE = 1.0
LEAST_DELAY = 0.1
MOST_DELAY = 5.0

# After a read from a worker, the parent waits READ_INTERVAL seconds before the next,
# because to read each line alone takes as long as a short connection. Twisted reads at
# most READ_SIZE bytes of a process at a time. After a read of so many bytes there may
# be more, and the parent does not wait.
READ_INTERVAL = 0.01
READ_SIZE = 8192


def workerCommand(reactor: object, options: Mapping[str, Any]) -> list[bytes]:
    """
    Make the command that starts a worker. The worker has the same C{sys.path} and the
    same encoding of file names as this process. Neither the working directory nor the
    environment variables of Python change it.

    @param reactor: the worker gets a reactor of the same kind.
    @param options: the options of the worker.
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
    Run a process that serves, and start another one when it has ended.

    @ivar serving: whether the process serves.
    @ivar failure: why the process has ended before it served; empty if it has not.
    @ivar snapshot: the last snapshot that the process has sent; empty without one.
    @ivar past: the counts of the earlier processes, added up.
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
        @param clock: tells the time.
        @param served: called each time a process begins to serve.
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
        self._watchdog = Watchdog()
        self._delay = 0.0
        self._startCall: IDelayedCall | None = None
        self._killCall: IDelayedCall | None = None
        self._stopping: list[Deferred[None]] = []

    def start(self) -> None:
        """
        Start a process. When it has ended, start another one, until L{stop}.
        """
        self._log.info("Starting {name}", name=self.name)
        self._startCall = None
        self.failure = ""
        self._started = self._clock.seconds()
        self._watchdog = Watchdog()
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
        End the process (SIGTERM), and start no other one.

        @param seconds: after how many seconds to kill it, if it has not ended.
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
        The state of the process, in words for people.
        """
        if self._process is None:
            return f"ended: {self.failure}" if self.failure else "ended"
        what = "serves" if self.serving else "starts"
        if self.serving and self.hangs:
            what = f"hangs: silent for {self._watchdog.silence:g} s"
        return f"{what}, process {self._process.pid}"

    @property
    def hangs(self) -> bool:
        """
        Whether a process that serves seems to hang.
        """
        return self._watchdog.hangs

    def terminate(self) -> None:
        """
        Send the process a SIGTERM.
        """
        self._signal("TERM")

    def reopenLogs(self) -> None:
        """
        Make the process open its log files again (SIGUSR1). A process that does not
        serve yet has no handler for the signal, and will open the new files anyway.
        """
        if self.serving:
            self._signal(signal.SIGUSR1)

    def watch(self) -> None:
        """
        Kill the process if the watchdog says so. This has to be called as often as
        L{Watchdog.check}.
        """
        if self._process is not None and (why := self._watchdog.check(self.serving)):
            self._error = why
            self._kill(why)

    def connectionMade(self) -> None:
        """
        The process has started.
        """
        self._process = self.transport

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """
        Read heartbeats, or log what the process writes, line by line.
        """
        *lines, rest = (self._unfinished[childFD] + data).split(b"\n")
        self._unfinished[childFD] = rest
        if childFD == CONTROL:
            self._watchdog.heard()
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
        Log the last, unfinished line of the process. If the process has failed, log how
        it has ended.
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
            # The last line of a traceback says most.
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
    Describe how a process has ended.
    """
    if end.signal is None:
        return f"ended with status {end.exitCode}"
    # Most real-time signals have no name.
    names = {each.value: each.name for each in signal.Signals}
    return f"ended by {names.get(end.signal, f'signal {end.signal}')}"
