"""
Several processes that serve together.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import stat
import tempfile
import threading
from functools import partial
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import (
    PATIENCE,
    Server,
    eventually,
    receiveAll,
    serveDuring,
)


def children(server: Server) -> list[int]:
    """
    The process ids of a server's workers.
    """
    pid = server.process.pid
    return [
        int(each)
        for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    ]


def hasEnded(pid: int) -> bool:
    """
    Whether a process that is not our child has ended.
    """
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


class WorkersTests(SynchronousTestCase):
    """
    C{twistd -n upper --workers 2}.
    """

    def serve(self, *options: str) -> Server:
        """
        Start two workers, and wait for both.
        """
        server = serveDuring(self, Server("--workers", "2", *options))
        for number in [1, 2]:
            server.waitFor(rf"\[worker {number}\] UpperFactory starting on")
        return server

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

    def test_drain(self) -> None:
        """
        SIGTERM drains each worker: a conversation that goes on is served, an
        idle one ends, and so does the service.
        """
        server = self.serve()
        with server.connect() as busy, server.connect() as idle:
            idle.sendall(b"hello\n")
            self.assertEqual(idle.recv(100), b"HELLO\n")
            busy.sendall(b"x")
            # What still waits to be accepted is reset.
            eventually(lambda: server.log().count("Connection from") == 2, "both")
            os.kill(server.process.pid, signal.SIGTERM)
            server.waitFor("Received SIGTERM")
            busy.sendall(b"y\n")
            self.assertEqual(receiveAll(idle), b"")
            self.assertEqual(receiveAll(busy), b"XY\n")
        server.process.wait(PATIENCE)
        self.assertNotIn("Traceback", server.log())

    def test_secondSignal(self) -> None:
        """
        A second signal ends all of them now.
        """
        server = self.serve("--drain", "1000")
        with server.connect() as connection:

            def sendMuch() -> None:
                # More than what the kernel and the server hold for a client
                # that does not read.
                with contextlib.suppress(ConnectionError):
                    connection.sendall(bytes(100_000_000))

            sending = threading.Thread(target=sendMuch)
            sending.start()
            # What still waits to be accepted is reset.
            server.waitFor("Connection from")
            os.kill(server.process.pid, signal.SIGINT)
            server.waitFor(r"Draining: 1 still open, [1-9]\d* bytes unsent")
            os.kill(server.process.pid, signal.SIGINT)
            server.process.wait(PATIENCE)
            sending.join(PATIENCE)
        self.assertNotIn("Traceback", server.log())
        self.assertIn("a second signal", server.log())

    def test_parentDies(self) -> None:
        """
        The workers end when their parent has ended, whatever ended it.
        """
        server = self.serve()
        workers = children(server)
        server.process.kill()
        server.process.wait(PATIENCE)
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
        # The kernel has 108 bytes for the path; a test's own folder needs more.
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        short = os.path.join(folder, "socket")
        server = self.serve("--listen", f"unix:{short}:mode=600")
        os.kill(children(server)[0], signal.SIGKILL)
        eventually(lambda: server.log().count("Starting worker") == 3, "a new worker")
        for _ in range(10):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(PATIENCE)
                connection.connect(short)
                connection.sendall(b"hello\n")
                connection.shutdown(socket.SHUT_WR)
                self.assertEqual(receiveAll(connection), b"HELLO\n")
        self.assertEqual(stat.S_IMODE(os.stat(short).st_mode), 0o600)
        server.stop()
        self.assertFalse(os.path.exists(short))

    def test_notShared(self) -> None:
        """
        An endpoint that cannot be shared is one message and a status of 1.
        """
        other = Server("--workers", "2", "--listen", "stdio:")
        with self.assertRaises(AssertionError) as caught:
            other.__enter__()
        self.assertIn("upper: workers cannot share stdio:", str(caught.exception))
        self.assertNotIn("Traceback", str(caught.exception))
        self.assertEqual(other.process.returncode, 1)
