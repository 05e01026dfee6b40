"""
System calls that fail under the server: strace makes them.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import time

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.functional.processes import (
    Server,
    eventually,
    receiveAll,
    sendInBackground,
)


def tracing(*faults: str) -> tuple[str, ...]:
    """
    Make the command that injects faults.

    @param faults: such as C{recvfrom:error=EAGAIN:when=3+5}, in the words of
        strace(1).
    @return: what the server is started under. It is a child of ours all the
        same (C{-D}), so that signals reach it.
    """
    return (
        *("strace", "-D", "-f", "-qq", "-o", "trace"),
        *("-e", "trace=" + ",".join(fault.partition(":")[0] for fault in faults)),
        *(word for fault in faults for word in ("-e", f"inject={fault}")),
    )


class TortureTests(SynchronousTestCase):
    """
    A server whose system calls fail.
    """

    def setUp(self) -> None:
        """
        Try whether they can be made to.
        """
        if shutil.which("strace") is None:
            raise SkipTest("strace is not installed")
        command = [
            "strace",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "inject=getpid:error=EPERM",
        ]
        tried = subprocess.run([*command, "true"], capture_output=True, check=False)
        if tried.returncode != 0:
            raise SkipTest(f"strace may not trace: {tried.stderr.decode()}")

    def assertServes(self, server: Server, count: int = 20) -> None:
        """
        Assert that each of some clients has its answer, byte by byte.
        """
        text = (b"a" * 79 + b"\n") * 5000
        for _ in range(count):
            with server.connect() as connection:
                thread = sendInBackground(connection, text)
                self.assertTrue(receiveAll(connection) == text.upper(), "not all")
                thread.join()

    def assertSurvived(self, server: Server, descriptors: int) -> None:
        """
        Assert that descriptors are as they were, that it neither spins nor has
        logged a traceback.
        """
        eventually(lambda: server.descriptors() <= descriptors, "its descriptors")
        busy, began = server.processorTime(), time.monotonic()
        with server.connect() as connection:
            connection.settimeout(1)
            # It may be hit, too.
            with contextlib.suppress(OSError):
                connection.recv(1)
        waited = time.monotonic() - began
        self.assertLess(server.processorTime() - busy, 0.5 * max(waited, 1))
        self.assertFalse("Traceback" in server.log(), server.log()[-2000:])
        self.assertLess(len(server.log()), 100_000)

    def assertInjected(self, server: Server) -> None:
        """
        Assert that there was something to survive.
        """
        self.assertIn("INJECTED", server.trace())

    def test_tryAgain(self) -> None:
        """
        Reading and writing that would block, though the socket was ready, is
        tried again: every answer is exact.
        """
        faults = [
            f"{call}:error=EAGAIN:when=2+3"
            for call in ("recvfrom", "sendto", "accept4")
        ]
        with Server(command=tracing(*faults)) as server:
            descriptors = server.descriptorsAtRest()
            self.assertServes(server)
            self.assertSurvived(server, descriptors)
            self.assertInjected(server)

    def test_interrupted(self) -> None:
        """
        It is the same with calls that a signal interrupts.
        """
        faults = [
            f"{call}:error=EINTR:when=2+3"
            for call in ("recvfrom", "sendto", "accept4", "epoll_wait")
        ]
        with Server(command=tracing(*faults)) as server:
            descriptors = server.descriptorsAtRest()
            self.assertServes(server)
            self.assertSurvived(server, descriptors)
            self.assertInjected(server)

    def test_cannotAccept(self) -> None:
        """
        Where the system cannot take another connection, or has lost it, it waits
        in the queue: every answer is exact.
        """
        for error in ("ENFILE", "ENOBUFS", "ENOMEM", "ECONNABORTED", "EMFILE", "EPERM"):
            fault = f"accept4:error={error}:when=2+3"
            with Server(command=tracing(fault)) as server:
                descriptors = server.descriptorsAtRest()
                if error != "EMFILE":
                    self.assertServes(server, 4)
                self.assertSurvived(server, descriptors)
                self.assertInjected(server)

    def test_cannotAcceptForLong(self) -> None:
        """
        While it never can, the process sleeps and the log stays small; when it
        can again, whoever waited is answered.
        """
        fault = "accept4:error=ENFILE:when=1..20"
        with Server(command=tracing(fault)) as server, server.connect() as connection:
            connection.sendall(b"hello\n")
            self.assertEqual(connection.recv(100), b"HELLO\n")
            tries = server.trace().count("INJECTED")
            self.assertEqual(tries, 20)
            self.assertLess(server.processorTime(), 5)
            self.assertLessEqual(server.log().count("ENFILE"), 20)

    def test_lostConnections(self) -> None:
        """
        A connection that is lost while it is read or written ends, alone. What
        a client has received until then is the beginning of its answer.
        """
        text = (b"a" * 79 + b"\n") * 5000
        # Writing may be tried twice, at once and by the reactor.
        for call, when in {"recvfrom": "5+7", "sendto": "5..20"}.items():
            for error in ("ECONNRESET", "EPIPE", "ETIMEDOUT"):
                fault = f"{call}:error={error}:when={when}"
                with Server(command=tracing(fault)) as server:
                    descriptors = server.descriptorsAtRest()
                    lost = 0
                    for _ in range(10):
                        answer = self.receiveWhatComes(server, text)
                        self.assertTrue(text.upper().startswith(answer), "not exact")
                        lost += answer != text.upper()
                    self.assertGreater(lost, 0)
                    self.assertSurvived(server, descriptors)
                    told = re.findall(
                        r"closed after .*(?:cut off;|[1-9]\d* undelivered)",
                        server.log(),
                    )
                    self.assertGreaterEqual(len(told), lost)

    def receiveWhatComes(self, server: Server, text: bytes) -> bytes:
        """
        Say something, and read until the connection ends or fails.
        """
        answer = bytearray()
        with server.connect() as connection:
            with contextlib.suppress(OSError):
                connection.sendall(text[:400])
                connection.sendall(text[400:])
                connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                while chunk := connection.recv(1 << 20):
                    answer += chunk
        return bytes(answer)

    def test_shutdown(self) -> None:
        """
        Where our side cannot be ended in good order, because the peer is gone,
        the connection ends all the same.
        """
        fault = "shutdown:error=ENOTCONN:when=1+2"
        with Server("--idle-timeout", "0.2", command=tracing(fault)) as server:
            descriptors = server.descriptorsAtRest()
            connections = [server.connect() for _ in range(10)]
            server.waitFor("idle for 0.2 s")
            for connection in connections:
                connection.close()
            self.assertSurvived(server, descriptors)
            self.assertInjected(server)
            self.assertEqual(server.ask(b"a\n"), b"A\n")
