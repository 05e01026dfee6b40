"""
Several processes that serve together.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import upperproto
from tests.authority import Authority
from tests.functional.processes import (
    TIME_LIMIT,
    Server,
    chooseReactor,
    eventually,
    failToStart,
    receiveAll,
    script,
    serveDuring,
)
from tests.functional.ways import STALL

# An application that starts and stops two workers.
AGAIN = """
import os, signal
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher
from upperproto.tap import Options, makeService

def state():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    handlers = [signal.getsignal(each) for each in numbers]
    with open(f"/proc/self/task/{os.getpid()}/children") as children:
        return sorted(os.listdir("/proc/self/fd")), handlers, children.read()

async def main(reactor):
    options = Options()
    options.parseOptions(["--workers", "2", "--port", "0", "--access-log", "-"])
    service = makeService(options, reactor)
    before = None
    for _ in range(3):
        serving = Deferred()

        def observe(event):
            if event["log_format"] == "All workers serve":
                serving.callback(None)

        globalLogPublisher.addObserver(observe)
        service.startService()
        await serving
        globalLogPublisher.removeObserver(observe)
        await service.stopService()
        after = state()
        if before is not None:
            assert after == before, (before, after)
            assert not reactor.getDelayedCalls(), reactor.getDelayedCalls()
        before = after

task.react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
"""


def children(server: Server) -> list[int]:
    """
    The process ids of a server's workers.
    """
    return childrenOf(server.process.pid)


def childrenOf(pid: int) -> list[int]:
    """
    The process ids of a process's children.
    """
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(each) for each in path.read_text().split()]


def hasEnded(pid: int) -> bool:
    """
    Whether a process that is not our child has ended.
    """
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def stuff(connection: socket.socket, data: bytes) -> int:
    """
    Say as much as the service takes from a client that does not read: then it is busy.

    @return: how many bytes.
    """
    said = 0
    connection.setblocking(False)
    while select.select([], [connection], [], STALL)[1]:
        said += connection.send(data[said : said + (1 << 16)])
    return said


def program(pid: int) -> bytes:
    """
    The command that a process runs.
    """
    return Path(f"/proc/{pid}/cmdline").read_bytes()


class ServingTestCase(SynchronousTestCase):
    """
    C{twistd -n upper --workers 2}.
    """

    def folder(self) -> Path:
        """
        Make a folder. The kernel has 108 bytes for the path of a socket; a test's own
        folder needs more.
        """
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        return folder

    def copyOfPackage(self, code: str) -> str:
        """
        Make a zip file of this package.

        @param code: what the module of a worker does first.
        @return: the path of the file.
        """
        path = self.folder() / "copy.zip"
        package = Path(upperproto.__file__).parent
        with zipfile.ZipFile(path, "w") as copy:
            for file in package.rglob("*.py"):
                text = file.read_text(encoding="utf-8")
                if file.match("processes/worker.py"):
                    text = text.replace("import json\n", f"{code}\nimport json\n", 1)
                copy.writestr(str(file.relative_to(package.parent)), text)
        return str(path)

    def serve(self, *options: str, **settings: Any) -> Server:
        """
        Start two workers.

        @param options: more of them.
        @param settings: more arguments of L{Server}.
        """
        return serveDuring(self, Server("--workers", "2", *options, **settings))


class WorkersTests(ServingTestCase):
    """
    Several processes, while they serve.
    """

    def test_shareConnections(self) -> None:
        """
        The connections are shared out, and the log says which worker speaks.
        """
        server = self.serve()

        def bothHaveServed() -> bool:
            self.assertEqual(server.ask(b"hello\n"), b"HELLO\n")
            served = set(re.findall(r"\[(worker \d)\] Connection from", server.log()))
            return served == {"worker 1", "worker 2"}

        eventually(bothHaveServed, "a connection to each worker")

    def test_dyingWorker(self) -> None:
        """
        When a worker dies it is started again. What has connected meanwhile
        waits, and is served.
        """
        server = self.serve()
        before = children(server)
        os.kill(before[0], signal.SIGKILL)
        for _ in range(20):
            self.assertEqual(server.ask(b"hello\n"), b"HELLO\n")
        after = eventually(
            lambda: len(children(server)) == 2 and children(server), "a new worker"
        )
        self.assertNotIn(before[0], after)
        server.waitFor("worker 1 was ended by SIGKILL")

    def test_hungWorker(self) -> None:
        """
        A worker that hangs is killed and replaced; and whoever has connected to it
        meanwhile is served.
        """
        server = self.serve()
        hung, other = children(server)
        os.kill(hung, signal.SIGSTOP)
        started = time.monotonic()
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(server.connect()) for _ in range(20)]
            for client in clients:
                client.sendall(b"hello\n")
            for client in clients:
                self.assertEqual(client.recv(100), b"HELLO\n")
        self.assertLess(time.monotonic() - started, TIME_LIMIT / 2)
        server.waitFor("worker 1 has been silent for 10 s: killing it")
        after = children(server)
        self.assertNotIn(hung, after)
        self.assertIn(other, after)

    def test_stoppedParent(self) -> None:
        """
        While the parent stands still, and reads nothing of what the workers log, they
        serve.
        """
        server = self.serve("--log", "lines")
        server.pause()
        data = b"hello\n" * 50_000
        self.assertEqual(server.ask(data), data.upper())
        server.resume()
        self.assertEqual(server.ask(b"hello\n"), b"HELLO\n")
        self.assertNotIn("silent", server.stop())

    def test_outOfDescriptors(self) -> None:
        """
        A worker that cannot be started again for want of descriptors is, as soon as
        there are some.
        """
        server = self.serve()
        pid = server.process.pid
        dying, other = children(server)
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (5, limits[1]))
        os.kill(dying, signal.SIGKILL)
        server.waitFor("worker 1 cannot be started: .* Too many open files")
        self.assertEqual(children(server), [other])
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        eventually(lambda: len(children(server)) == 2, "a new worker")
        for _ in range(20):
            self.assertEqual(server.ask(b"hello\n"), b"HELLO\n")
        self.assertNotIn("Traceback", server.stop())

    def test_processGroup(self) -> None:
        """
        Ctrl-C in a terminal, which sends SIGINT to the whole group of processes, drains
        the workers: it is for their parent, and none gets two signals of it.
        """
        server = self.serve("--drain", "1000", command=("setsid",))
        for pid in children(server):
            self.assertEqual(os.getpgid(pid), pid)
        with server.connect() as connection:
            # It does not read, and so is busy.
            stuff(connection, bytes(100_000_000))
            os.killpg(server.process.pid, signal.SIGINT)
            server.waitFor("(?s)(Draining: 1 still open.*){2}")
        self.assertNotIn("a second signal", server.log())

    def test_environment(self) -> None:
        """
        systemd hears of the service from its main process alone.
        """
        command = ("env", "NOTIFY_SOCKET=/none", "OTHER=1")
        server = self.serve(command=command)
        for pid in children(server):
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            self.assertIn(b"OTHER=1", environment)
            self.assertNotIn(b"NOTIFY_SOCKET", environment)

    def test_reactor(self) -> None:
        """
        The workers run on a reactor of the kind that their parent was given, or has
        chosen itself.
        """
        chooseReactor(self)
        for options, module, polls in [
            ((), "upperproto.reactor.epoll", True),
            (("--reactor=asyncio",), "twisted.internet.asyncioreactor", True),
            (("--reactor=select",), "twisted.internet.selectreactor", False),
        ]:
            server = self.serve(runner=("twistd", *options, "--nodaemon", "--pidfile="))
            for pid in children(server):
                opened = {
                    os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()
                }
                self.assertEqual("anon_inode:[eventpoll]" in opened, polls)
                self.assertIn(module.encode(), program(pid))
            self.assertEqual(server.ask(b"hello\n"), b"HELLO\n")

    def test_drain(self) -> None:
        """
        SIGTERM drains each worker: whoever has said something is answered to the last
        byte, an idle conversation ends, and so does the service.
        """
        server = self.serve()
        data = b"hello\n" * 5_000_000
        with server.connect() as busy, server.connect() as idle:
            idle.sendall(b"hello\n")
            self.assertEqual(idle.recv(100), b"HELLO\n")
            said = stuff(busy, data)
            os.kill(server.process.pid, signal.SIGTERM)
            self.assertEqual(receiveAll(idle), b"")
            server.waitFor("Draining: 1 still open")
            busy.settimeout(TIME_LIMIT)
            self.assertEqual(receiveAll(busy), data[:said].upper())
        server.process.wait(TIME_LIMIT)
        self.assertNotIn("Traceback", server.log())

    def test_refusesWhileDraining(self) -> None:
        """
        While the workers drain, new connections are refused at once, and a new
        instance of the service can have the port.
        """
        server = self.serve("--drain", "1000")
        with server.connect() as connection:
            # It does not read, and so is busy.
            stuff(connection, bytes(100_000_000))
            os.kill(server.process.pid, signal.SIGTERM)
            eventually(lambda: len(children(server)) == 1, "the end of the other")
            server.waitFor("Draining: 1 still open")
            for _ in range(20):
                with self.assertRaises(ConnectionRefusedError):
                    server.connect()
            new = self.serve("--port", str(server.port))
            for _ in range(20):
                self.assertEqual(new.ask(b"hello\n"), b"HELLO\n")
            self.assertEqual(len(children(server)), 1)

    def test_secondSignal(self) -> None:
        """
        A second signal ends all of them now.
        """
        server = self.serve("--drain", "1000")
        with server.connect() as connection:
            stuff(connection, bytes(100_000_000))
            os.kill(server.process.pid, signal.SIGINT)
            server.waitFor(r"Draining: 1 still open, [1-9]\d* bytes unsent")
            os.kill(server.process.pid, signal.SIGINT)
            server.process.wait(TIME_LIMIT)
        self.assertNotIn("Traceback", server.log())
        self.assertIn("a second signal", server.log())

    def test_parentDies(self) -> None:
        """
        The workers end when their parent has ended, whatever ended it.
        """
        server = self.serve()
        workers = children(server)
        server.process.kill()
        server.process.wait(TIME_LIMIT)
        for worker in workers:
            eventually(partial(hasEnded, worker), "the end of a worker")

    def test_portTaken(self) -> None:
        """
        A port that is taken is one message and a status of 1, even where the
        other service has it with SO_REUSEPORT.
        """
        server = self.serve()
        other = Server("--workers", "2", "--port", str(server.port))
        with self.assertRaises(AssertionError) as caught:
            other.__enter__()
        [message] = re.findall("upper: .*", str(caught.exception))
        self.assertIn("Address already in use", message)
        self.assertNotIn("Traceback", str(caught.exception))
        self.assertEqual(other.process.returncode, 1)

    def test_unixSocket(self) -> None:
        """
        The workers share a UNIX socket, with the mode it was given; it stays
        when a worker dies, and is gone when the service has ended.
        """
        short = str(self.folder() / "socket")
        server = self.serve("--listen", f"unix:{short}:mode=600")
        os.kill(children(server)[0], signal.SIGKILL)
        eventually(lambda: server.log().count("Starting worker") == 3, "a new worker")
        for _ in range(10):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(TIME_LIMIT)
                connection.connect(short)
                connection.sendall(b"hello\n")
                connection.shutdown(socket.SHUT_WR)
                self.assertEqual(receiveAll(connection), b"HELLO\n")
        self.assertEqual(stat.S_IMODE(os.stat(short).st_mode), 0o600)
        server.stop()
        self.assertFalse(os.path.exists(short))


class StartTests(ServingTestCase):
    """
    Several processes, until all serve.
    """

    def cannotStart(self, *words: str, **settings: Any) -> str:
        """
        Start a service that cannot start, wait for its end, and give its log.
        """
        server = Server("--workers", "2", *words, **settings)
        with self.assertRaises(AssertionError) as caught:
            server.__enter__()
        self.assertEqual(server.process.returncode, 1)
        self.assertNotIn("Traceback", str(caught.exception))
        return str(caught.exception)

    def test_refused(self) -> None:
        """
        What one process refuses, several refuse with the same words.
        """
        one, two = (
            failToStart("--listen", "tcp:70000", "--workers", number) for number in "12"
        )
        self.assertEqual(one.partition("upper: ")[2], two.partition("upper: ")[2])

    def test_cannotServe(self) -> None:
        """
        A service whose workers cannot serve says why, with the words of the worker,
        and ends with status 1: here they cannot read what only the parent can.
        """
        folder = self.folder()
        certificate, key = Authority(folder).issue("server", server="localhost")
        path = "/proc/self/fd/99"
        said = self.cannotStart(
            *("--tls-cert", certificate, "--tls-key", path),
            command=("bash", "-c", f'exec 99<"{key}"; exec "$@"', "bash"),
        )
        self.assertRegex(said, rf"upper: worker \d cannot serve: .*{path}.*status 1")

    def test_cannotServeAsDaemon(self) -> None:
        """
        So it is where the service becomes a daemon: then the command waits until it
        serves, or gives its status, and leaves no PID file.
        """
        folder = self.folder()
        copy = self.copyOfPackage("raise SystemExit('no such luck')")
        ended = subprocess.run(
            [
                *("env", f"PYTHONPATH={copy}", script("twistd")),
                *("upper", "--workers", "2", "--port", "0"),
            ],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIME_LIMIT,
            check=False,
        )
        self.assertEqual(ended.returncode, 1)
        self.assertRegex(
            ended.stdout.decode(), r"upper: worker \d cannot serve: no such luck"
        )
        # The command gives the status that it is told, and the daemon ends after that.
        pidFile = folder / "twistd.pid"
        eventually(lambda: not pidFile.exists(), "the end of the daemon")
        self.assertNotIn("Traceback", (folder / "twistd.log").read_text())

    def test_sameCode(self) -> None:
        """
        A worker runs the code of its parent, be it that of another installation or of
        a zip file that stands first on C{sys.path}.
        """
        copy = self.copyOfPackage("print('This is a copy', flush=True)")
        server = self.serve(command=("env", f"PYTHONPATH={copy}"))
        self.assertIn("[worker 1] This is a copy", server.log())
        self.assertEqual(server.ask(b"hello\n"), b"HELLO\n")

    def test_workingDirectory(self) -> None:
        """
        Nothing is imported from the working directory, not even where the parent was
        started in another one, which it could take for a place of modules.
        """
        folder = self.folder()
        for name in ("json", "upperproto", "sitecustomize", "os"):
            (folder / f"{name}.py").write_text("raise SystemExit('a stranger')")
        server = self.serve(
            command=("env", "PYTHONPATH=."),
            runner=("twistd", "--nodaemon", "--pidfile=", "--rundir", str(folder)),
        )
        self.assertEqual(server.ask(b"hello\n"), b"HELLO\n")
        for pid in children(server):
            self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), str(folder))

    def startSlowly(self, go: Path, *command: str) -> subprocess.Popen[bytes]:
        """
        Start a service whose workers do not serve before a file is there.
        """
        wait = (
            f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.05)"
        )
        copy = self.copyOfPackage(wait)
        process = subprocess.Popen(
            [
                *(
                    "env",
                    f"PYTHONPATH={copy}",
                    *command,
                    script("twistd"),
                    "--nodaemon",
                ),
                *("upper", "--workers", "2", "--listen", "unix:socket"),
            ],
            cwd=go.parent,
            stdin=subprocess.DEVNULL,
            stdout=(go.parent / "log").open("wb"),
            stderr=subprocess.STDOUT,
        )
        self.addCleanup(process.wait, TIME_LIMIT)
        self.addCleanup(process.kill)
        return process

    def test_ready(self) -> None:
        """
        systemd is told that the service is ready when each worker serves, and not
        before.
        """
        folder = self.folder()
        go = folder / "go"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind(str(folder / "notify"))
            systemd.setblocking(False)
            process = self.startSlowly(go, "env", f"NOTIFY_SOCKET={folder}/notify")
            eventually(lambda: len(childrenOf(process.pid)) == 2, "two processes")
            log = folder / "log"
            eventually(lambda: log.read_text().count("Starting worker") == 2, "both")
            with self.assertRaises(BlockingIOError):
                systemd.recv(100)
            go.touch()
            systemd.settimeout(TIME_LIMIT)
            self.assertEqual(systemd.recv(100), b"READY=1\nSTATUS=Serving")
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(TIME_LIMIT)
            client.connect(str(folder / "socket"))
            client.sendall(b"hello\n")
            self.assertEqual(client.recv(100), b"HELLO\n")

    def test_interrupted(self) -> None:
        """
        A signal that comes before all serve ends the start in order: nothing is left
        of it.
        """
        folder = self.folder()
        process = self.startSlowly(folder / "go")
        log = folder / "log"
        eventually(lambda: log.read_text().count("Starting worker") == 2, "both")
        workers = childrenOf(process.pid)
        self.assertTrue((folder / "socket").exists())
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(TIME_LIMIT), 1)
        self.assertIn("upper: SIGTERM came before all workers served", log.read_text())
        self.assertEqual({each.name for each in folder.iterdir()}, {"log"})
        for pid in workers:
            self.assertTrue(hasEnded(pid))

    def test_again(self) -> None:
        """
        Nothing is left behind where a service starts and stops, again and again, in an
        application that goes on.
        """
        ended = subprocess.run(
            [sys.executable, "-c", AGAIN],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIME_LIMIT,
            check=False,
        )
        self.assertEqual(ended.stdout.decode(), "")
        self.assertEqual(ended.returncode, 0)
