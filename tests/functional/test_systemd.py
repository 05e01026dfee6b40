"""
Under systemd, as far as that can be tried without it: its socket activation, what
it is told, and its opinion of the units in C{docs/examples}.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import (
    EXAMPLES,
    TIME_LIMIT,
    Server,
    eventually,
    receiveAll,
    script,
)

# The least exposure that an administrator has to accept, in tenths.
EXPOSURE = 15


def freePort(family: int = socket.AF_INET) -> int:
    """
    Let the system choose a port, for a program that cannot ask for that.
    """
    with socket.socket(family) as unused:
        unused.bind(("", 0))
        port: int = unused.getsockname()[1]
        return port


def ask(family: int, address: Any) -> bytes:
    """
    Say a line and the beginning of another, and read the answers.
    """
    with socket.socket(family) as connection:
        connection.settimeout(TIME_LIMIT)

        def connected() -> bool:
            return connection.connect_ex(address) == 0

        eventually(connected, f"a connection to {address}")
        connection.sendall(b"hello\nthe last line")
        connection.shutdown(socket.SHUT_WR)
        return receiveAll(connection)


@skipUnless(
    shutil.which("systemd-socket-activate"), "needs systemd-socket-activate of systemd"
)
class ActivationTests(SynchronousTestCase):
    """
    Sockets that are handed over at the start.
    """

    def setUp(self) -> None:
        """
        Make a folder whose path is short enough for a socket.
        """
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def activate(self, *arguments: str) -> subprocess.Popen[bytes]:
        """
        Let systemd's program listen, and start a server at the first connection.

        @param arguments: its own, and then those of C{twistd}.
        """
        log = Path(self.folder, "log").open("wb")  # noqa: SIM115 # closed below
        with log:
            process = subprocess.Popen(
                ["systemd-socket-activate", *arguments],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.addCleanup(process.wait, TIME_LIMIT)
        self.addCleanup(process.kill)
        return process

    def log(self) -> str:
        """
        What it has logged.
        """
        return Path(self.folder, "log").read_text()

    def end(self, process: subprocess.Popen[bytes]) -> str:
        """
        End the server in order.

        @return: its log.
        """
        process.send_signal(signal.SIGTERM)
        process.wait(TIME_LIMIT)
        log = self.log()
        self.assertNotIn("Traceback", log)
        return log

    def test_unnamed(self) -> None:
        """
        Sockets that were handed over without names are served, TCP and UNIX
        side by side, by one process and by several. No half-close is lost.
        """
        path = f"{self.folder}/socket"
        for workers in ("1", "2"):
            port = freePort()
            process = self.activate(
                *("-l", f"127.0.0.1:{port}", "-l", path),
                *(script("twistd"), "--nodaemon", "--pidfile="),
                *("upper", "--workers", workers),
                *("--listen", "systemd:domain=INET:index=0"),
                *("--listen", "systemd:domain=UNIX:index=1"),
            )
            eventually(lambda: os.path.exists(path), "the UNIX socket")
            mode = os.stat(path).st_mode
            for _ in range(5):
                for family, address in [
                    (socket.AF_INET, ("127.0.0.1", port)),
                    (socket.AF_UNIX, path),
                ]:
                    self.assertEqual(ask(family, address), b"HELLO\nTHE LAST LINE")
            # It is systemd's, with its mode and its path.
            self.assertEqual(os.stat(path).st_mode, mode)
            self.end(process)
            os.remove(path)

    def test_named(self) -> None:
        """
        Sockets with names are found by them.
        """
        port = freePort()
        process = self.activate(
            *("-l", f"127.0.0.1:{port}", "--fdname=door"),
            *(script("twistd"), "--nodaemon", "--pidfile="),
            *("upper", "--listen", "systemd:domain=INET:name=door"),
        )
        address = ("127.0.0.1", port)
        self.assertEqual(ask(socket.AF_INET, address), b"HELLO\nTHE LAST LINE")
        self.end(process)

    def test_unit(self) -> None:
        """
        The command of the example unit serves both stacks on one socket.
        """
        unit = (EXAMPLES / "upper.service").read_text()
        found = re.search("^ExecStart=/opt/upperproto/bin/twistd (.*)$", unit, re.M)
        assert found is not None
        port = freePort(socket.AF_INET6)
        process = self.activate(
            *("-l", f"[::]:{port}", script("twistd"), *found.group(1).split())
        )
        for family, host in [(socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1")]:
            self.assertEqual(ask(family, (host, port)), b"HELLO\nTHE LAST LINE")
        self.end(process)

    def test_eachConnection(self) -> None:
        """
        With C{Accept=yes}, systemd hands over connections, and no socket to accept
        them from: the server says so, once, and ends.
        """
        port = freePort()
        process = self.activate(
            *("--accept", "-l", f"127.0.0.1:{port}"),
            *(script("twistd"), "--nodaemon", "--pidfile=", "upper"),
            *("--listen", "systemd:domain=INET:index=0"),
        )
        with self.assertRaises(ConnectionError):
            ask(socket.AF_INET, ("127.0.0.1", port))
        message = (
            "upper: not an endpoint: systemd:domain=INET:index=0: the socket does not"
            " listen (with Accept=yes, systemd hands over connections)\n"
        )
        eventually(lambda: message in self.log(), "the message")
        process.terminate()
        process.wait(TIME_LIMIT)
        self.assertEqual(self.log().count("upper: "), 1)
        self.assertNotIn("Traceback", self.log())


# Hands sockets over as systemd does, and becomes the program that is to have them.
HAND_OVER = """
import os, sys

descriptors, *command = sys.argv[1:]
# Out of the way, and then to where they belong.
copies = [os.dup2(int(each), 100 + int(each)) for each in descriptors.split()]
for number, each in enumerate(copies, 3):
    os.dup2(each, number)
    os.close(each)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(copies)))
os.execv(command[0], command)
"""


class HandedOverTests(SynchronousTestCase):
    """
    Sockets that are of no use.
    """

    def start(self, listen: str, *sockets: socket.socket, names: str = "") -> str:
        """
        Start a server that is handed sockets, and cannot start.

        @param listen: its endpoint.
        @param names: those of the sockets.
        @return: its message.
        """
        twistd = [script("twistd"), "--nodaemon", "--pidfile=", "upper"]
        messages = set()
        for workers in ("1", "2"):
            descriptors = [each.fileno() for each in sockets]
            numbers = " ".join(map(str, descriptors))
            ended = subprocess.run(
                [
                    *(sys.executable, "-c", HAND_OVER, numbers, *twistd),
                    *("--listen", listen, "--workers", workers),
                ],
                pass_fds=descriptors,
                env={**os.environ, "LISTEN_FDNAMES": names},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=TIME_LIMIT,
                check=False,
            )
            said = ended.stdout.decode()
            self.assertEqual(ended.returncode, 1, said)
            self.assertNotIn("Traceback", said)
            messages.add(said.splitlines()[-1])
        [message] = messages
        prefix = f"upper: not an endpoint: {listen}: "
        self.assertTrue(message.startswith(prefix), message)
        return message.removeprefix(prefix)

    def bind(self, family: int, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """
        Make a socket.
        """
        bound = socket.socket(family, kind)
        self.addCleanup(bound.close)
        if family == socket.AF_INET:
            bound.bind(("127.0.0.1", 0))
        else:
            bound.bind("")
        return bound

    def test_useless(self) -> None:
        """
        A datagram socket, one that does not listen, one of another family, and
        something that is no socket end the start with a message each; so it is with
        several processes.
        """
        datagram = self.bind(socket.AF_INET, socket.SOCK_DGRAM)
        bound, unix = self.bind(socket.AF_INET), self.bind(socket.AF_UNIX)
        unix.listen()
        inet = "systemd:domain=INET:index=0"
        self.assertEqual(self.start(inet, datagram), "the socket is not a stream")
        self.assertIn("the socket does not listen", self.start(inet, bound))
        self.assertEqual(self.start(inet, unix), "the domain of the socket is UNIX")

    def test_which(self) -> None:
        """
        An index or a name that none or several have is told with the number of
        sockets.
        """
        bound, other = self.bind(socket.AF_INET), self.bind(socket.AF_INET)
        for each in (bound, other):
            each.listen()
        self.assertEqual(
            self.start("systemd:domain=INET:index=1", bound),
            "no index from 0 on: 1 socket was inherited",
        )
        self.assertEqual(
            self.start("systemd:domain=INET:name=a", bound, other, names="a:a"),
            "2 sockets have this name: 2 sockets were inherited",
        )


class NotifyTests(SynchronousTestCase):
    """
    What systemd is told.
    """

    def test_notify(self) -> None:
        """
        It is told once that the service is ready, which it then is, and once
        that it is stopping; so it is with several processes.
        """
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        for workers in ("1", "2"):
            path = f"{folder}/notify-{workers}"
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
                systemd.bind(path)
                systemd.settimeout(TIME_LIMIT)
                command = ("env", f"NOTIFY_SOCKET={path}")
                with Server("--workers", workers, command=command) as server:
                    self.assertEqual(systemd.recv(1000), b"READY=1\nSTATUS=Serving")
                    self.assertEqual(server.ask(b"hello\n"), b"HELLO\n")
                    server.process.send_signal(signal.SIGTERM)
                    self.assertEqual(systemd.recv(1000), b"STOPPING=1\nSTATUS=Draining")
                    server.process.wait(TIME_LIMIT)
                systemd.setblocking(False)
                self.assertRaises(BlockingIOError, systemd.recv, 1000)

    def test_full(self) -> None:
        """
        While systemd does not read what it is told, the server serves, and ends in
        order.
        """
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        path = f"{folder}/notify"
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other,
        ):
            systemd.bind(path)
            other.setblocking(False)
            with self.assertRaises(BlockingIOError):
                while True:
                    other.sendto(b"WATCHDOG=1", path)
            for workers in ("1", "2"):
                command = ("env", f"NOTIFY_SOCKET={path}")
                with Server("--workers", workers, command=command) as server:
                    self.assertEqual(server.ask(b"hello\n"), b"HELLO\n")
                    self.assertNotIn("Traceback", server.stop())


@skipUnless(shutil.which("systemd-analyze"), "needs systemd-analyze of systemd")
class UnitTests(SynchronousTestCase):
    """
    The units in C{docs/examples}.
    """

    def setUp(self) -> None:
        """
        Write them to a folder, with a program that is there.
        """
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        for name in ("upper.socket", "upper.service"):
            unit = (EXAMPLES / name).read_text()
            unit = unit.replace("/opt/upperproto/bin/twistd", script("twistd"))
            (self.folder / name).write_text(unit)

    def analyze(self, *arguments: str) -> None:
        """
        Ask systemd's program, which has to be content.
        """
        analysis = subprocess.run(
            ["systemd-analyze", "--no-pager", *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIME_LIMIT,
            check=False,
        )
        self.assertEqual(analysis.returncode, 0, analysis.stdout.decode())

    def test_verify(self) -> None:
        """
        They are valid.
        """
        self.analyze("verify", "./upper.socket", "./upper.service")

    def test_security(self) -> None:
        """
        What the service could do to the machine is little.
        """
        self.analyze(
            "security", "--offline=true", f"--threshold={EXPOSURE}", "./upper.service"
        )
