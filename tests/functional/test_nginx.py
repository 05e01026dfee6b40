"""
Behind a real nginx, with the configuration of C{docs/examples}.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import (
    TIME_LIMIT,
    Server,
    eventually,
    fillIn,
    serveDuring,
)
from tests.functional.ways import Client, TLSWay, Way

# Where Debian has it, and its modules: not in everybody's path.
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
MODULES = "/usr/lib/nginx/modules"


class NginxTests(SynchronousTestCase):
    """
    Two servers, and nginx in front of them.
    """

    makeWay: Callable[[], Way] = Way

    def setUp(self) -> None:
        """
        Start all three.
        """
        if not (
            os.path.exists(NGINX) and os.path.exists(f"{MODULES}/ngx_stream_module.so")
        ):
            raise SkipTest("needs nginx with its stream module")
        self.way = type(self).makeWay()
        self.folder = self.way.folder
        self.addCleanup(shutil.rmtree, self.folder)
        self.servers = [self.serve(), self.serve()]
        # nginx cannot be told to let the system choose a port; but it takes a
        # socket that it has inherited for the port that its configuration names.
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.addCleanup(listener.close)
        self.address = listener.getsockname()
        self.proxy = subprocess.Popen(
            [
                *(NGINX, "-p", self.folder, "-c", self.configure(), "-e", "stderr"),
                *("-g", f"daemon off; pid {self.folder}/pid;"),
            ],
            env={**os.environ, "NGINX": f"{listener.fileno()};"},
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
        )
        self.addCleanup(self.proxy.wait, TIME_LIMIT)
        self.addCleanup(self.proxy.terminate)
        eventually(self.listens, "nginx to listen")

    def serve(self) -> Server:
        """
        Start a server.
        """
        return serveDuring(self, Server(*self.way.options(), "--proxy-protocol"))

    def configure(self) -> str:
        """
        Write the example with the addresses of this test.
        """
        one, two = self.servers
        return fillIn(
            "nginx.conf",
            self.folder,
            {
                "modules/ngx": f"{MODULES}/ngx",
                "listen 5000": f"listen 127.0.0.1:{self.address[1]}",
                "192.0.2.11:5000": f"127.0.0.1:{one.port}",
                "192.0.2.12:5000": f"127.0.0.1:{two.port}",
            },
        )

    def listens(self) -> bool:
        """
        Whether nginx accepts connections.
        """
        self.assertIsNone(self.proxy.poll(), "nginx has ended")
        with socket.socket() as connection:
            return connection.connect_ex(self.address) == 0

    def connect(self) -> Client:
        """
        Connect through it.
        """
        client = self.way.greet(socket.create_connection(self.address, TIME_LIMIT))
        self.addCleanup(client.close)
        return client

    def test_halfClose(self) -> None:
        """
        A client that ends its side with its last line is answered in full, and
        more than fits into nginx on the way.
        """
        said = b"0123456789abcde\n" * 20_000 + b"the last line"
        for _ in range(10):
            client = self.connect()
            client.end(said)
            answer = client.receiveAll()
            self.assertTrue(answer == said.upper(), len(answer))

    def test_addresses(self) -> None:
        """
        The server's log has the client's address, not nginx's.
        """
        client = self.connect()
        port = client.socket.getsockname()[1]
        client.send(b"hello\n")
        self.assertEqual(client.receive(), b"HELLO\n")
        eventually(
            lambda: any(
                f"Connection from 127.0.0.1:{port}\n" in server.log()
                for server in self.servers
            ),
            "the client's address in a log",
        )

    def test_oneServerLess(self) -> None:
        """
        When a server does not listen any more, the other one is asked.
        """
        self.servers[0].stop()
        for _ in range(10):
            client = self.connect()
            client.end(b"hello\n")
            self.assertEqual(client.receiveAll(), b"HELLO\n")


class NginxTLSTests(NginxTests):
    """
    The same, with TLS through nginx.
    """

    makeWay = TLSWay
