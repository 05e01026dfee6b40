"""
A fork server: a command that has been imported and has not begun. Each server or client
of a test is a process that it forks, which then does what the command does. To import
Twisted anew, and what measures coverage, would take longer than most tests.
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from functools import cache
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import NoReturn

# What a request and its answers take at most, in bytes.
_MESSAGE = 1 << 16

# The descriptors that a process may get from the server, besides the standard ones.
_INHERITED = range(3, 1024)

# The commands, and where each begins, as its script has it.
_COMMANDS = {
    "twistd": ("twisted.scripts.twistd", "run"),
    "twist": ("twisted.application.twist._twist", "Twist.main"),
    "upper": ("upperproto.launcher.upper", "run"),
    "upper-client": ("upperproto.command.main", "run"),
}

# What is imported before the first request: for the commands that serve, and for the
# client. The client hides OpenSSL from Twisted where it needs no TLS.
_SERVING = ("twisted.scripts.twistd", "upperproto.reactor.epoll", "upperproto.tap")
_PLAIN = (
    "twisted.internet.epollreactor",
    "upperproto.command.check.runner",
    "upperproto.command.datagrams.ping",
    "upperproto.command.datagrams.checksteps",
    "upperproto.command.formats.choice",
    "upperproto.command.main",
    "upperproto.command.probe.ask",
    "upperproto.command.probe.ping",
    "upperproto.command.talk.pipe",
)
_SECURED = ("OpenSSL.SSL", "twisted.internet.ssl", *_PLAIN)

# What a process is told apart from the server by, in its environment: options of the
# service, and whether it is to measure its coverage. Python reads no other of them when
# it starts, and pytest's note and our own choice nobody does.
_OPTION, _MEASURING = "UPPER_", "COVERAGE_PROCESS_"
_MEASURED = "COVERAGE_PROCESS_START"
_NOTES = {"PYTEST_CURRENT_TEST", "TEST_REACTOR"}


class Forked:
    """
    A process that a fork server has forked, with what tests use of
    L{subprocess.Popen}.

    @ivar pid: its number.
    @ivar returncode: how it has ended, as C{Popen} has it; L{None} if it has not.
    """

    def __init__(self, server: ForkServer, pid: int) -> None:
        """
        @param server: whose child it is.
        """
        self._server = server
        self.pid = pid
        self.returncode: int | None = None
        # What the server has told of its end.
        self.ended: int | None = None

    def poll(self) -> int | None:
        """
        Look whether it has ended. Until somebody has looked, it is there, as a child of
        C{Popen} is.
        """
        self._server.collect(0)
        if self.returncode is None and self.ended is not None:
            self._server.reap(self.pid)
            self.returncode = self.ended
        return self.returncode

    def wait(self, timeout: float = 60.0) -> int:
        """
        Wait for its end.

        @param timeout: for so many seconds at most.
        """
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            left = deadline - time.monotonic()
            if left < 0:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            self._server.collect(left)
        return code

    def send_signal(self, number: int) -> None:
        """
        Send a signal, if it has not ended.
        """
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """
        Send SIGTERM.
        """
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """
        Send SIGKILL.
        """
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """
    The server, which ends with this process.
    """

    def __init__(self, scripts: str, modules: tuple[str, ...], measuring: str) -> None:
        """
        Start it.

        @param scripts: the folder that has its commands.
        @param modules: what it imports before it forks.
        @param measuring: how coverage is measured, if it is: a path.
        """
        self._lock = threading.RLock()
        self._children: dict[int, Forked] = {}
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, scripts, measuring, *modules],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=_ENVIRONMENT,
            )
        atexit.register(self._end)

    def _end(self) -> None:
        """
        Have it end.
        """
        self._socket.close()
        self._process.wait()

    def start(
        self,
        arguments: list[str],
        folder: str,
        standard: list[int],
        variables: dict[str, str],
        descriptors: tuple[int, int],
    ) -> Forked:
        """
        Start a command.

        @param arguments: the command and its arguments.
        @param folder: its working directory.
        @param standard: its standard input, output and error.
        @param variables: what is in its environment, besides that of the server.
        @param descriptors: the soft and the hard limit of its descriptors.
        """
        request = json.dumps([arguments, folder, variables, descriptors]).encode()
        with self._lock:
            socket.send_fds(self._socket, [request], standard)
            self._started: Forked | None = None
            while self._started is None:
                self.collect(None)
            return self._started

    def collect(self, seconds: float | None) -> None:
        """
        Learn what has happened.

        @param seconds: for how long to wait until something does.
        """
        with self._lock:
            if select.select([self._socket], [], [], seconds)[0]:
                pid, code = json.loads(self._socket.recv(_MESSAGE))
                if code is None:
                    self._started = self._children[pid] = Forked(self, pid)
                elif pid in self._children:
                    self._children.pop(pid).ended = code
                else:
                    self._reaped = pid

    def reap(self, pid: int) -> None:
        """
        Let a process that has ended be gone.
        """
        with self._lock:
            self._reaped = 0
            self._socket.send(json.dumps(pid).encode())
            while self._reaped != pid:
                self.collect(None)


def environment() -> tuple[dict[str, str], dict[str, str]]:
    """
    Give the environment of a process that is started now, in two parts: what its server
    has to have had from its own start, and what it can be told when it is forked.
    """
    fixed, told = {}, {}
    for name, value in os.environ.items():
        if name.startswith((_OPTION, _MEASURING)):
            told[name] = value
        elif name not in _NOTES:
            fixed[name] = value
    return fixed, told


# That of the servers, whatever a test changes.
_ENVIRONMENT, _ = environment()


@cache
def _forkServer(scripts: str, modules: tuple[str, ...], measuring: str) -> ForkServer:
    """
    Start a server of all tests, when the first one asks for it.
    """
    return ForkServer(scripts, modules, measuring)


def fork(
    command: list[str],
    folder: str,
    standard: list[int],
    descriptors: tuple[int, int] | None = None,
    secured: bool = False,
) -> Forked | None:
    """
    Fork a command, if it is one that a server has, in the environment that this has.

    @param command: the command and its arguments, C{env} and options of the service
        in front of it.
    @param folder: its working directory.
    @param standard: its standard input, output and error.
    @param descriptors: the limits of its descriptors, if not ours.
    @param secured: whether a client needs TLS.
    @return: the process, or L{None}: it has to be started as any other one.
    """
    fixed, variables = environment()
    if command[0] == "env":
        _, *command = command
        while command[0].startswith(_OPTION):
            name, _, variables[name] = command.pop(0).partition("=")
    path = Path(command[0])
    ours = str(path.parent) == sysconfig.get_path("scripts")
    if not (ours and path.name in _COMMANDS and fixed == _ENVIRONMENT):
        return None
    modules: tuple[str, ...] = _SERVING
    if path.name == "upper-client":
        modules = _SECURED if secured else _PLAIN
    server = _forkServer(str(path.parent), modules, variables.get(_MEASURED, ""))
    limits = descriptors or resource.getrlimit(resource.RLIMIT_NOFILE)
    return server.start(command, folder, standard, variables, limits)


def _become(request: bytes, standard: list[int]) -> None:
    """
    Be the process that was asked for, from here on.
    """
    arguments, folder, variables, descriptors = json.loads(request)
    # None of them has the number of a standard one: those are open.
    for number, ours in enumerate(standard):
        os.dup2(ours, number)
    os.closerange(_INHERITED.start, _INHERITED.stop)
    # What users send does what it does by default, whatever a shell has ignored.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    resource.setrlimit(resource.RLIMIT_NOFILE, descriptors)
    os.chdir(folder)
    os.environ.update(variables)
    sys.argv[:] = arguments
    if _MEASURED in variables:
        import_module("coverage").process_startup(force=True)
        saveBeforeKill()


def saveBeforeKill() -> None:
    """
    Write the coverage of this process before it ends itself by a signal. A C{twistd}
    that a signal has ended does that, and so never comes to where coverage is written.
    """
    coverage = import_module("coverage")
    kill = os.kill

    def killMeasured(pid: int, number: int) -> None:
        if pid == os.getpid():
            coverage.Coverage.current().save()
        kill(pid, number)

    os.kill = killMeasured


def _serve(requests: socket.socket) -> None:
    """
    Fork on request, tell how each child has ended, and let it be gone on request.
    Return in a child, which is to be what was asked for.
    """
    children: dict[int, int] = {}
    while True:
        for ready in select.select([requests.fileno(), *children], [], [])[0]:
            if ready in children:
                pid = children.pop(ready)
                os.close(ready)
                ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
                assert ended is not None
                code: int | None = ended.si_status
                if ended.si_code != os.CLD_EXITED:
                    code = -ended.si_status
            else:
                request, received, _, _ = socket.recv_fds(requests, _MESSAGE, 3)
                if not request:
                    sys.exit()
                if not received:
                    pid = json.loads(request)
                    _, code = os.waitpid(pid, 0)
                    requests.send(json.dumps([pid, code]).encode())
                    continue
                pid = os.fork()
                if not pid:
                    requests.detach()
                    return _become(request, received)
                for each in received:
                    os.close(each)
                children[os.pidfd_open(pid)] = pid
                code = None
            requests.send(json.dumps([pid, code]).encode())


def _load(modules: list[str]) -> None:
    """
    Import what is needed before the first request, as the client does it: with OpenSSL
    hidden from Twisted, if it is not among that.
    """
    hidden = set(modules) == set(_PLAIN)
    if hidden:
        sys.modules["OpenSSL"] = None  # type: ignore[assignment] # As Python does it.
    for name in modules:
        import_module(name)
    if hidden:
        del sys.modules["OpenSSL"]


def _loadMeasured(modules: list[str], measuring: str) -> None:
    """
    Do so, and measure the coverage of that alone: each process measures its own.

    @param measuring: how that is measured: a path.
    """
    coverage = import_module("coverage").Coverage(
        config_file=measuring, data_suffix=True
    )
    # What it does at the end of a process.
    coverage.set_option("run:patch", [])
    coverage.start()
    _load(modules)
    coverage.stop()
    coverage.save()


def _main() -> NoReturn:
    """
    Import what a command needs, and serve.
    """
    # As if its script ran.
    _, sys.path[0], measuring, *modules = sys.argv
    if measuring:
        _loadMeasured(modules, measuring)
    else:
        _load(modules)
    _serve(socket.socket(fileno=0))
    module, begin = _COMMANDS[Path(sys.argv[0]).name]
    sys.exit(attrgetter(begin)(import_module(module))())


if __name__ == "__main__":
    _main()
