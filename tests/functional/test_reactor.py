"""
The reactor on real sockets: for this service, and for other applications of Twisted.
"""

from __future__ import annotations

import http.client
import os
import random
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from tests.authority import Authority
from tests.functional.processes import (
    TIME_LIMIT,
    Server,
    receiveAll,
    script,
    serveDuring,
)
from upperproto.reactor.epoll import UpperReactor


class ListedTests(SynchronousTestCase):
    """
    The reactor, as twistd knows it.
    """

    def test_helpReactors(self) -> None:
        """
        C{twistd --help-reactors} lists it, as one that works here.
        """
        listed = subprocess.run(
            [script("twistd"), "--help-reactors"],
            stdout=subprocess.PIPE,
            text=True,
            timeout=TIME_LIMIT,
            check=True,
        ).stdout
        self.assertRegex(listed, r"(?m)^ *upper\s+epoll\(7\) ")


class Web(Server):
    """
    A C{twistd web} on the reactor, which serves files.
    """

    def __init__(self, folder: str) -> None:
        """
        @param folder: where the files are.
        """
        super().__init__()
        self._arguments = [
            *(script("twistd"), "--nodaemon", "--pidfile=", "--reactor=upper"),
            *("web", "--path", folder, "--listen", "tcp:0:interface=127.0.0.1"),
        ]


class WebTests(SynchronousTestCase):
    """
    C{twistd --reactor=upper web}.
    """

    def setUp(self) -> None:
        """
        Write files.
        """
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.large = random.Random(0).randbytes(5_000_000)
        Path(self.folder, "large.bin").write_bytes(self.large)
        Path(self.folder, "small.txt").write_bytes(b"small\n")

    def checkFiles(self, connection: http.client.HTTPConnection) -> None:
        """
        Get files by many requests on one connection, in several ways.
        """

        def request(method: str, path: str, **headers: str) -> tuple[int, int, bytes]:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            length = int(response.headers["Content-Length"])
            return response.status, length, response.read()

        size = len(self.large)
        for _ in range(100):
            self.assertEqual(request("GET", "/small.txt"), (200, 6, b"small\n"))
            self.assertEqual(request("HEAD", "/small.txt"), (200, 6, b""))
            self.assertEqual(request("GET", "/none")[0], 404)
        for _ in range(3):
            self.assertEqual(request("GET", "/large.bin"), (200, size, self.large))
            part = request("GET", "/large.bin", Range="bytes=70000-169999")
            self.assertEqual(part, (206, 100000, self.large[70000:170000]))
            self.assertEqual(request("HEAD", "/large.bin"), (200, size, b""))
        connection.close()

    def test_requests(self) -> None:
        """
        It answers many clients at a time, on connections that are kept, and on those
        that are not.
        """
        server = serveDuring(self, Web(self.folder))
        failed: list[object] = []

        def client() -> None:
            try:
                self.checkFiles(
                    http.client.HTTPConnection(
                        "127.0.0.1", server.port, timeout=TIME_LIMIT
                    )
                )
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=client) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIME_LIMIT)
        self.assertEqual(failed, [])
        for _ in range(20):
            with server.connect() as connection:
                connection.sendall(b"GET /small.txt HTTP/1.0\r\n\r\n")
                self.assertEqual(receiveAll(connection)[-6:], b"small\n")
        # A client that stops reading keeps nobody waiting.
        with server.connect() as connection:
            connection.sendall(b"GET /large.bin HTTP/1.0\r\n\r\n")
            connection.recv(1000)
            client()
            self.assertEqual(failed, [])
        log = server.stop()
        self.assertIn("Server Shut Down.", log)
        self.assertNotIn("Traceback", log)


# Services on the reactor: ours, with a subclass that sends by itself, and one that logs
# by twisted.python.log, over TCP and over TLS. The latter also writes from a timer and
# from a thread.
SERVICES = r"""
import sys

from upperproto.reactor import epoll

epoll.install()

from twisted.internet import reactor, threads
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver
from twisted.python import log

from upperproto import UpperFactory, UpperProtocol

log.startLogging(sys.stdout)


class Signed(UpperProtocol):
    def blockReceived(self, block):
        self.transport.write(b"before\n")
        super().blockReceived(block)
        self.sendLine(b"after")


class Chatty(LineReceiver):
    delimiter = b"\n"

    def lineReceived(self, line):
        log.msg("heard " + line.decode())
        self.sendLine(b"at once")
        reactor.callLater(0, self.sendLine, b"by a timer")
        threads.deferToThread(
            lambda: reactor.callFromThread(self.sendLine, b"by a thread")
        )


upper = UpperFactory(clock=reactor)
upper.protocol = Signed
ports = []
for description, factory in [
    ("tcp:0:interface=127.0.0.1", upper),
    ("tcp:0:interface=127.0.0.1", Factory.forProtocol(Chatty)),
    (sys.argv[1], Factory.forProtocol(Chatty)),
]:
    serverFromString(reactor, description).listen(factory).addCallback(ports.append)
log.msg("ports %s." % " ".join(str(port.getHost().port) for port in ports))
reactor.run()
"""


class ServicesTests(SynchronousTestCase):
    """
    Several services in one process.
    """

    def setUp(self) -> None:
        """
        Start them.
        """
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        authority = Authority(folder.name)
        certificate, key = authority.issue("server")
        self.context = ssl.create_default_context(cafile=authority.certificate)
        endpoint = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVICES, endpoint],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(self.process.communicate, timeout=TIME_LIMIT)
        self.addCleanup(self.process.kill)
        found = re.search(r"ports (.*)\.", self.logged("ports"))
        assert found is not None
        self.ports = [int(port) for port in found.group(1).split()]

    def logged(self, word: str) -> str:
        """
        Wait for a line of the log.

        @param word: what is in it.
        """
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if word in line:
                return line
        raise AssertionError("the process has ended")

    def connect(self, number: int, tls: bool = False) -> Any:
        """
        Connect to one of them.
        """
        connection = socket.create_connection(
            ("127.0.0.1", self.ports[number]), timeout=TIME_LIMIT
        )
        if tls:
            connection = self.context.wrap_socket(
                connection, server_hostname="127.0.0.1"
            )
        self.addCleanup(connection.close)
        stream = connection.makefile("rwb", buffering=0)
        self.addCleanup(stream.close)
        return stream

    def test_order(self) -> None:
        """
        What a subclass of our protocol sends leaves in the order in which it was sent,
        among the answers.
        """
        stream = self.connect(0)
        for _ in range(20):
            stream.write(b"hello\n")
            lines = [stream.readline() for _ in range(3)]
            self.assertEqual(lines, [b"before\n", b"HELLO\n", b"after\n"])

    def test_other(self) -> None:
        """
        The other service's log names its connections, and what it writes outside of any
        event of the network arrives; over TLS, too.
        """
        for tls in (False, True):
            stream = self.connect(1 + tls, tls)
            for number in range(20):
                stream.write(b"line %d\n" % number)
                lines = {stream.readline() for _ in range(3)}
                self.assertEqual(
                    lines, {b"at once\n", b"by a timer\n", b"by a thread\n"}
                )
                line = self.logged(f"heard line {number}")
                self.assertRegex(line, r"\[Chatty( \(.*\))?,0,127\.0\.0\.1\] heard")


class AcceptedTests(SynchronousTestCase):
    """
    A connection in the iteration that accepts it, with the kernel's own sockets.
    """

    def test_answered(self) -> None:
        """
        A client that has spoken by then has its answer at the end of that iteration.
        """

        class Echo(Protocol):
            def dataReceived(self, data: bytes) -> None:
                assert self.transport is not None
                self.transport.write(data)

        reactor = UpperReactor()
        self.addCleanup(reactor._poller.close)
        self.addCleanup(reactor.waker.connectionLost, None)
        factory = Factory.forProtocol(Echo)
        factory.noisy = False
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "s")
            tcp = reactor.listenTCP(0, factory, interface="127.0.0.1")
            unix = reactor.listenUNIX(path, factory)
            address: Any
            for family, address in [
                (socket.AF_INET, ("127.0.0.1", tcp.getHost().port)),
                (socket.AF_UNIX, path),
            ]:
                with socket.socket(family) as client:
                    client.connect(address)
                    client.sendall(b"abc")
                    reactor.doIteration(TIME_LIMIT)
                    client.setblocking(False)
                    self.assertEqual(client.recv(10), b"abc")
            stopped = [port.stopListening() for port in (tcp, unix)]
            deadline = time.monotonic() + TIME_LIMIT
            while reactor.getDelayedCalls() or len(reactor.getReaders()) > 1:
                self.assertLess(time.monotonic(), deadline)
                reactor.iterate(0.01)
            for each in stopped:
                self.successResultOf(each)


class TwistedTests(SynchronousTestCase):
    """
    Twisted's own tests of reactors.
    """

    def test_pass(self) -> None:
        """
        Its tests of TCP, UNIX sockets, TLS, datagrams, processes, threads and timers
        pass on this reactor.
        """
        root = Path(__file__).parents[2]
        with tempfile.TemporaryDirectory() as folder:
            trial = subprocess.run(
                [
                    *(sys.executable, "-m", "twisted.trial"),
                    f"--temp-directory={folder}/trial",
                    "tests.functional.builders",
                ],
                cwd=root,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=3 * TIME_LIMIT,
                check=False,
            )
        self.assertEqual(trial.returncode, 0, trial.stdout)
        ran = re.search(r"Ran (\d+) tests", trial.stdout)
        assert ran is not None
        self.assertGreater(int(ran.group(1)), 250)
