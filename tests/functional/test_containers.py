"""
What C{deploy/} puts beside the service: its health check, and HAProxy in front of it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import (
    TIME_LIMIT,
    Server,
    eventually,
    fillIn,
    receiveAll,
    serveDuring,
)

DEPLOY = Path(__file__).parents[2] / "deploy"

# How many clients have to come until each server that is used has had one.
CLIENTS = 4


class Status(ThreadingHTTPServer):
    """
    A C{/readyz} that says what the test wants.

    @ivar code: the status that it answers.
    @ivar asked: the paths that it was asked for.
    """

    def __init__(self, test: SynchronousTestCase, host: str = "127.0.0.1") -> None:
        """
        Serve until the test ends.

        @param host: the address to listen on.
        """
        self.code = 200
        self.asked: list[str] = []
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, 0), Answer)
        self.port = self.server_address[1]
        thread = threading.Thread(target=self.serve_forever, daemon=True)
        thread.start()
        test.addCleanup(thread.join)
        test.addCleanup(self.server_close)
        test.addCleanup(self.shutdown)


class Answer(BaseHTTPRequestHandler):
    """
    An answer of L{Status}.
    """

    server: Status

    def do_GET(self) -> None:
        """
        Answer.
        """
        self.server.asked.append(self.path)
        self.send_response(self.server.code)
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 # Its name.
        """
        Say nothing.
        """


class HealthCheckTests(SynchronousTestCase):
    """
    C{deploy/healthcheck.py}.
    """

    def check(
        self, endpoint: str | None, *flags: str
    ) -> subprocess.CompletedProcess[str]:
        """
        Run it.

        @param endpoint: where the status is, for the environment.
        @param flags: of Python.
        """
        variables = {} if endpoint is None else {"UPPER_STATUS": endpoint}
        return subprocess.run(
            [sys.executable, "-I", "-S", *flags, str(DEPLOY / "healthcheck.py")],
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=TIME_LIMIT,
            check=False,
        )

    def test_ready(self) -> None:
        """
        It is content with a 200 of C{/readyz}, and with nothing else; then a line says
        what was answered.
        """
        status = Status(self)
        self.assertEqual(self.check(str(status.port)).returncode, 0)
        for code in (503, 404, 204):
            status.code = code
            ended = self.check(str(status.port))
            self.assertEqual((ended.returncode, ended.stdout), (1, ""))
            self.assertRegex(
                ended.stderr, rf"^{status.port}: not ready: .* {code} .*\n$"
            )
        self.assertEqual(status.asked, ["/readyz"] * 4)

    def test_endpoints(self) -> None:
        """
        It asks where the status listens, also where that is every address.
        """
        for host, endpoint in (
            ("127.0.0.1", "tcp:{}"),
            ("0.0.0.0", "tcp:port={}:interface=0.0.0.0"),
            ("127.0.0.2", "tcp:{}:interface=127.0.0.2"),
            ("::1", r"tcp:{}:interface=\:\:1"),
            ("::", r"tcp:{}:interface=\:\:"),
        ):
            status = Status(self, host)
            ended = self.check(endpoint.format(status.port))
            self.assertEqual((ended.returncode, ended.stderr), (0, ""))
            self.assertEqual(status.asked, ["/readyz"])

    def test_unix(self) -> None:
        """
        It asks over a UNIX socket as well.
        """
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{folder}/s")
            listener.listen()
            listener.settimeout(TIME_LIMIT)

            def answer() -> None:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")

            thread = threading.Thread(target=answer)
            thread.start()
            ended = self.check(f"unix:{folder}/s:mode=600")
            thread.join()
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))

    def test_nobody(self) -> None:
        """
        Where nobody listens, or what is said is no HTTP, or the variable is of no use,
        a line says so.
        """
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]

            def close() -> None:
                connection, _ = listener.accept()
                connection.close()

            thread = threading.Thread(target=close)
            thread.start()
            silent = self.check(str(port))
            thread.join()
        for ended in (
            silent,
            self.check(str(port)),
            self.check("tcp:"),
            self.check("x"),
        ):
            self.assertEqual((ended.returncode, ended.stdout), (1, ""))
            self.assertEqual(ended.stderr.count("\n"), 1, ended.stderr)

    def test_cheap(self) -> None:
        """
        It is no client: Twisted, whose import takes ten times as long as all of this,
        is not there, nor anything else that is not Python's own.
        """
        imported = self.check("1", "-Ximporttime").stderr
        self.assertIn("socket", imported)
        for name in ("twisted", "upperproto", "ssl", "http", "site"):
            self.assertNotRegex(imported, rf"\| +{name}\b")


@skipUnless(shutil.which("haproxy"), "needs the program haproxy")
class HAProxyTests(SynchronousTestCase):
    """
    C{deploy/haproxy.cfg}.
    """

    def test_valid(self) -> None:
        """
        HAProxy accepts it, and warns of nothing.
        """
        ended = subprocess.run(
            ["haproxy", "-c", "-dW", "-f", str(DEPLOY / "haproxy.cfg")],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=TIME_LIMIT,
            check=False,
        )
        self.assertEqual(ended.returncode, 0, ended.stdout)
        self.assertNotIn("WARNING", ended.stdout)

    def start(self) -> None:
        """
        Start two servers, each with a status of its own, and HAProxy in front of them.
        """
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        self.servers = [serveDuring(self, Server("--proxy-protocol")) for _ in range(2)]
        self.statuses = [Status(self) for _ in range(2)]
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.addCleanup(self.listener.close)
        # There is no name server here that knows of containers.
        servers = "".join(
            f"    server {each.port} 127.0.0.1:{each.port} check port {status.port}\n"
            for each, status in zip(self.servers, self.statuses, strict=True)
        )
        path = fillIn(
            "haproxy.cfg",
            folder,
            {
                "bind :5000": f"bind fd@{self.listener.fileno()}",
                " check port 8080 ": " ",
                "    server-template upper- 10 upper:5000 resolvers containers"
                " init-addr none\n": servers,
                "log stdout format raw local0": f"log {folder}/no-log local0",
            },
            DEPLOY,
        )
        self.proxy = subprocess.Popen(
            ["haproxy", "-q", "-f", path],
            pass_fds=[self.listener.fileno()],
            stdin=subprocess.DEVNULL,
        )
        self.addCleanup(self.proxy.wait, TIME_LIMIT)
        self.addCleanup(self.proxy.terminate)
        eventually(lambda: all(each.asked for each in self.statuses), "a check of each")

    def connect(self) -> socket.socket:
        """
        Connect to HAProxy, and hold a conversation that goes on.
        """
        connection = socket.create_connection(self.listener.getsockname(), TIME_LIMIT)
        self.addCleanup(connection.close)
        connection.sendall(b"hello\n")
        self.assertEqual(connection.recv(100), b"HELLO\n")
        return connection

    def counts(self) -> list[int]:
        """
        How many connections each server has taken.
        """
        return [each.log().count("closed by the client") for each in self.servers]

    def used(self, number: int) -> bool:
        """
        Let some clients come one after the other.

        @return: whether this server has had one of them.
        """
        before = self.counts()
        for _ in range(CLIENTS):
            connection = self.connect()
            connection.shutdown(socket.SHUT_WR)
            self.assertEqual(receiveAll(connection), b"")
            connection.close()
        eventually(
            lambda: sum(self.counts()) == sum(before) + CLIENTS, "the ends of all"
        )
        return self.counts()[number] > before[number]

    def unused(self, number: int) -> bool:
        """
        Let some clients come, too.

        @return: whether this server has had none of them.
        """
        return not self.used(number)

    def logged(self, said: str) -> bool:
        """
        Whether one of the servers has logged something.
        """
        return any(said in each.log() for each in self.servers)

    def test_readiness(self) -> None:
        """
        A server that says that it is not ready gets no new connection. Those that it
        has go on, and the clients' addresses stand in its log. When it is ready again,
        it is used again.
        """
        self.start()
        first, second = self.connect(), self.connect()
        for connection in (first, second):
            said = f"Connection from 127.0.0.1:{connection.getsockname()[1]}\n"
            eventually(partial(self.logged, said), "its address")
        for number, status in enumerate(self.statuses):
            status.code = 503
            eventually(partial(self.unused, number), "HAProxy to see that it ends")
            for connection in (first, second):
                connection.sendall(b"still here\n")
                self.assertEqual(connection.recv(100), b"STILL HERE\n")
            status.code = 200
            eventually(partial(self.used, number), "HAProxy to use it again")
        self.assertEqual(set(self.statuses[0].asked), {"/readyz"})
