"""
Real processes for the functional tests: C{twistd -n upper} and what talks to it.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any
from unittest import SkipTest
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from tests.functional import forkserver
from tests.functional.forkserver import Forked, fork

# Nothing here takes a tenth of this; a test that waits so long has failed.
TIME_LIMIT = 60.0

# What the documentation shows.
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def script(name: str) -> str:
    """
    Find a command of the environment that the tests run in.
    """
    return str(Path(sysconfig.get_path("scripts")) / name)


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """
    Wait until a condition holds.

    @param condition: gives something true when it does.
    @param what: what is waited for, for whoever reads the failure.
    @return: what C{condition} gave.
    @raise AssertionError: when it does not hold within L{TIME_LIMIT} seconds.
    """
    deadline = time.monotonic() + TIME_LIMIT
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {TIME_LIMIT} s for {what}")
        time.sleep(0.01)


def receiveAll(connection: socket.socket) -> bytes:
    """
    Read until the peer's end of stream.
    """
    chunks = []
    while chunk := connection.recv(1 << 20):
        chunks.append(chunk)
    return b"".join(chunks)


def sendInBackground(connection: socket.socket, data: bytes) -> threading.Thread:
    """
    Send and end our side, in a thread, while the caller reads.

    @return: the thread, for the caller to join.
    """

    def send() -> None:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


def reset(connection: socket.socket) -> None:
    """
    Close with a reset in place of an end of stream.
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def allowDescriptors(needed: int) -> None:
    """
    Let this process have as many descriptors as a test needs.

    @raise SkipTest: where the system refuses.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise SkipTest(f"needs {needed} descriptors, and the system allows {hard}")
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def restoreSignals() -> None:
    """
    In a new process, let the signals that users send do what they do by default:
    a shell ignores SIGINT in what it runs in the background, nohup(1) SIGHUP.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def failToStart(*options: str) -> str:
    """
    Start a server that cannot start.

    @param options: of C{upper}.
    @return: the last line that it printed.
    @raise AssertionError: if it did start, or ended with the wrong status.
    """
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as output:
        command = [script("twistd"), "--nodaemon", "--pidfile=", "upper", *options]
        process = _start(command, folder, output.fileno())
        try:
            status = process.wait(TIME_LIMIT)
        finally:
            process.kill()
        output.seek(0)
        said = output.read().decode()
    assert status == 1, said
    assert "Traceback" not in said, said
    return said.splitlines()[-1]


def _start(
    command: list[str],
    folder: str,
    output: int,
    descriptors: tuple[int, int] | None = None,
) -> subprocess.Popen[bytes] | Forked:
    """
    Start a server. A fork server forks it, if it can (L{fork}).

    @param folder: its working directory.
    @param output: a descriptor of its standard output and standard error.
    @param descriptors: the limits of its descriptors, if not ours.
    """
    with open(os.devnull, "rb") as null:
        forked = fork(command, folder, [null.fileno(), output, output], descriptors)
    if forked is not None:
        return forked
    if _MEASURING in os.environ:
        at = next(i for i, word in enumerate(command) if word in _SCRIPTS)
        command = [
            *command[:at],
            sys.executable,
            "-c",
            _MEASURED,
            forkserver.__file__,
            *command[at:],
        ]
    limits = descriptors or resource.getrlimit(resource.RLIMIT_NOFILE)

    def prepare() -> None:
        restoreSignals()
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    return subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        preexec_fn=prepare,
    )


# Set where the servers are to run on another reactor than the one that they choose.
_REACTOR = "TEST_REACTOR"

# Twisted's line for each port, but not that of the status.
_STARTING = "(?<!StatusSite) starting on "

# Set where the coverage of the processes that we start is measured.
_MEASURING = "COVERAGE_PROCESS_START"

# The commands that run a service.
_SCRIPTS = {script(name) for name in ("twistd", "twist", "upper")}

# What runs a script whose coverage is measured, behind the path of the fork server.
_MEASURED = """
import runpy, sys

_, forkserver, *sys.argv = sys.argv
runpy.run_path(forkserver)["saveBeforeKill"]()
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Server:
    """
    A C{twistd -n upper} of its own, on a port that the system hands out.

    Use it in a C{with} statement, which ends it, too.

    @ivar process: its process.
    @ivar port: where it listens, if that is a TCP port.
    @ivar path: where it listens otherwise: a UNIX socket.
    """

    port = 0
    path = ""
    _descriptors: tuple[int, int] | None = None

    def __init__(
        self,
        *options: str,
        command: tuple[str, ...] = (),
        runner: tuple[str, ...] = ("twistd", "--nodaemon", "--pidfile="),
        descriptors: tuple[int, int] | None = None,
    ) -> None:
        """
        @param options: of C{upper}; without a C{--listen} or C{--port} among
            them, it listens on a port of 127.0.0.1 that is free.
        @param command: what to start it under, such as C{strace}; or C{env}, with a
            port or an endpoint among its variables.
        @param runner: the command that runs it, with its own options: Twisted's, or
            C{upper} itself.
        @param descriptors: the soft and the hard limit of its descriptors; by
            default those of this process.
        """
        given = {"--listen", "-l", "--port", "-p"}.intersection(options)
        if not given and not re.search(r"UPPER_(PORT|LISTEN)=", " ".join(command)):
            options = ("--port", "0", *options)
        program, *itsOptions = runner
        named = any("--reactor" in each for each in runner)
        if _REACTOR in os.environ and program != "upper" and not named:
            itsOptions.insert(0, f"--reactor={os.environ[_REACTOR]}")
        twisted = [script(program), *itsOptions]
        service = [] if program == "upper" else ["upper"]
        self._arguments = [*command, *twisted, *service, *options]
        self._descriptors = descriptors

    def __enter__(self) -> Server:
        """
        Start, and wait until it listens.
        """
        self._folder = tempfile.TemporaryDirectory()
        self._logPath = Path(self._folder.name, "log")
        with self._logPath.open("wb") as log:
            self.process = _start(
                self._arguments, self._folder.name, log.fileno(), self._descriptors
            )
        try:
            self.waitFor(_STARTING + "(.*)")
            eventually(self._handlesSignals, "the handlers of its signals")
            several = r"(--workers |UPPER_WORKERS=)([2-9]|\d\d)"
            if re.search(several, " ".join(self._arguments)):
                self.waitFor("All workers serve")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        found = re.search(_STARTING + r"(\d+)", self.log())
        if found:
            self.port = int(found.group(1))
        else:
            name = re.search(_STARTING + r"[b\"']*([^\"'\n]*)", self.log())
            assert name is not None
            self.path = str(Path(self._folder.name, name.group(1)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """
        End the process, whatever it is doing.
        """
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(TIME_LIMIT)
        self._folder.cleanup()

    def _handlesSignals(self) -> bool:
        """
        Whether its reactor runs, which is some time after it listens: until then
        SIGTERM is the end, without more.
        """
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        caught = int(re.findall(r"SigCgt:\s*(\w+)", status)[0], 16)
        return bool(caught >> (signal.SIGTERM - 1) & 1)

    def log(self) -> str:
        """
        Read what it has logged so far.
        """
        return self.logBytes().decode()

    def logBytes(self) -> bytes:
        """
        Read it as it is, with line ends that are no LF.
        """
        return self._logPath.read_bytes()

    def trace(self) -> str:
        """
        Read what strace has written to a file C{trace}.
        """
        return Path(self._folder.name, "trace").read_text()

    def waitFor(self, pattern: str) -> re.Match[str]:
        """
        Wait for a log line.

        @param pattern: a regular expression.
        @return: its first match in the log.
        """

        def logged() -> re.Match[str] | None:
            found = re.search(pattern, self.log())
            if found is None and self.process.poll() is not None:
                raise AssertionError(f"the server has ended:\n{self.log()}")
            return found

        found: re.Match[str] = eventually(logged, f"{pattern!r} in the log")
        return found

    def connect(self, **options: Any) -> socket.socket:
        """
        Connect, over TCP or to the UNIX socket.

        @param options: of L{socket.create_connection}, for TCP.
        @return: a blocking socket, with L{TIME_LIMIT} as its time limit.
        """
        if not self.port:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(TIME_LIMIT)
            connection.connect(self.path)
            return connection
        return socket.create_connection(
            ("127.0.0.1", self.port), timeout=TIME_LIMIT, **options
        )

    def ask(self, data: bytes) -> bytes:
        """
        Say something, end our side, and read all that comes.
        """
        with self.connect() as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return receiveAll(connection)

    def stop(self, number: int = signal.SIGTERM) -> str:
        """
        Send a signal, wait for the end, and give the whole log.
        """
        os.kill(self.process.pid, number)
        self.process.wait(TIME_LIMIT)
        return self.log()

    def pause(self) -> None:
        """
        Stop the process (C{SIGSTOP}) and wait until it stands still.
        """
        os.kill(self.process.pid, signal.SIGSTOP)
        eventually(lambda: self._status()[0] == "T", "the server to stop")

    def resume(self) -> None:
        """
        Let it go on (C{SIGCONT}).
        """
        os.kill(self.process.pid, signal.SIGCONT)

    def memory(self) -> int:
        """
        How much memory it uses now: its resident set, in bytes.
        """
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGESIZE")

    def descriptors(self) -> int:
        """
        How many file descriptors it has open.
        """
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def descriptorsAtRest(self) -> int:
        """
        Have one conversation, and count them when its connection has closed,
        so that all that is made once is there. Nobody else may be connected,
        and connections must be logged.
        """
        closed = self.log().count("closed after")
        self.ask(b"warm up\n")
        eventually(lambda: self.log().count("closed after") > closed, "its end")
        return self.descriptors()

    def processorTime(self) -> float:
        """
        How much processor time it has used, in seconds.
        """
        ticks = sum(map(int, self._status()[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def _status(self) -> list[str]:
        """
        The fields of C{/proc/PID/stat} from the state of the process on.
        """
        text = Path(f"/proc/{self.process.pid}/stat").read_text()
        return text.rpartition(")")[2].split()


def chooseReactor(test: SynchronousTestCase) -> None:
    """
    Let the servers of a test choose their reactor, whatever others are to run on.
    """
    patched = patch.dict(os.environ)
    patched.start()
    test.addCleanup(patched.stop)
    os.environ.pop(_REACTOR, None)


def serveDuring(test: SynchronousTestCase, server: Server) -> Server:
    """
    Start a server that ends with a test. (C{enterContext} is of Python 3.11.)

    @param test: the test.
    @param server: a server that has not been started.
    @return: the server.
    """
    server.__enter__()
    test.addCleanup(server.__exit__, None, None, None)
    return server


def fillIn(
    name: str, folder: Path, places: Mapping[str, str], source: Path = EXAMPLES
) -> str:
    """
    Write an example of the documentation with the addresses of a test.

    @param name: the example's.
    @param source: the folder that it is in.
    @param folder: where to write it.
    @param places: for what stands in the example, once, what is to stand there.
    @return: the path of what was written.
    """
    text = (source / name).read_text(encoding="utf-8")
    for example, ours in places.items():
        assert text.count(example) == 1, example
        text = text.replace(example, ours)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)
