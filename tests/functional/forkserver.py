"""
A fork server: a C{twistd} that has been imported and has not begun. Each server of a
test is a process that it forks, which then does what the command does. To import
Twisted anew would take longer than most tests.
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
import threading
import time
from functools import cache
from typing import Any, NoReturn

# What a request and its answers take at most, in bytes.
_MESSAGE = 1 << 16

# The descriptors that a process may get from the server, besides the standard ones.
_INHERITED = range(3, 1024)


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

    def poll(self) -> int | None:
        """
        Look whether it has ended.
        """
        self._server.collect(0)
        return self.returncode

    def wait(self, timeout: float = 60.0) -> int:
        """
        Wait for its end.

        @param timeout: for so many seconds at most.
        """
        deadline = time.monotonic() + timeout
        while self.returncode is None:
            left = deadline - time.monotonic()
            if left < 0:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            self._server.collect(left)
        return self.returncode

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

    def __init__(self, scripts: str) -> None:
        """
        Start it.

        @param scripts: the folder that has C{twistd}.
        """
        self._lock = threading.RLock()
        self._children: dict[int, Forked] = {}
        self.environment = environment()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, scripts],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
            )
        atexit.register(self._end)

    def _end(self) -> None:
        """
        Have it end.
        """
        self._socket.close()
        self._process.wait()

    def start(
        self, arguments: list[str], folder: str, output: int, descriptors: Any
    ) -> Forked:
        """
        Start C{twistd}.

        @param arguments: the command and its arguments.
        @param folder: its working directory.
        @param output: a descriptor of its standard output and standard error.
        @param descriptors: the soft and the hard limit of its descriptors.
        """
        request = json.dumps([arguments, folder, descriptors]).encode()
        with self._lock:
            socket.send_fds(self._socket, [request], [output])
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
                else:
                    self._children.pop(pid).returncode = code


def environment() -> dict[str, str]:
    """
    Give the environment of a process that is started now, but for what pytest notes.
    """
    return {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}


@cache
def forkServer(scripts: str) -> ForkServer:
    """
    Start the server of all tests, when the first one asks for it.
    """
    return ForkServer(scripts)


def _become(request: bytes, output: int) -> None:
    """
    Be the process that was asked for, from here on.
    """
    arguments, folder, descriptors = json.loads(request)
    null = os.open(os.devnull, os.O_RDONLY)
    for ours, standard in (null, 0), (output, 1), (output, 2):
        os.dup2(ours, standard)
    os.closerange(_INHERITED.start, _INHERITED.stop)
    # What users send does what it does by default, whatever a shell has ignored.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    resource.setrlimit(resource.RLIMIT_NOFILE, descriptors)
    os.chdir(folder)
    sys.argv[:] = arguments


def _serve(requests: socket.socket) -> None:
    """
    Fork on request, and tell how each child has ended. Return in a child, which is to
    be what was asked for.
    """
    children: dict[int, int] = {}
    while True:
        for ready in select.select([requests.fileno(), *children], [], [])[0]:
            if ready in children:
                pid = children.pop(ready)
                os.close(ready)
                code: int | None = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            else:
                request, [*received], _, _ = socket.recv_fds(requests, _MESSAGE, 1)
                if not request:
                    sys.exit()
                pid = os.fork()
                if not pid:
                    requests.detach()
                    return _become(request, *received)
                os.close(*received)
                children[os.pidfd_open(pid)] = pid
                code = None
            requests.send(json.dumps([pid, code]).encode())


def _main() -> NoReturn:
    """
    Import what a server needs, and serve.
    """
    # As if its script ran.
    sys.path[0] = sys.argv[1]
    from twisted.scripts.twistd import run

    import upperproto.reactor.epoll
    import upperproto.tap  # noqa: F401

    _serve(socket.socket(fileno=0))
    sys.exit(run())


if __name__ == "__main__":
    _main()
