"""
The access log of real servers.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import (
    TIME_LIMIT,
    Server,
    eventually,
    failToStart,
    receiveAll,
    script,
)
from tests.functional.ways import ProxyTLSWay, ProxyWay, TLSClient, TLSWay, UNIXWay

# A connection of Twisted's log.
TWISTED = "Connection from"


def awaitEnd(connection: socket.socket) -> None:
    """
    Wait for the end of a connection, in good order or not.
    """
    with contextlib.suppress(ConnectionError):
        receiveAll(connection)


class AccessLogTestCase(SynchronousTestCase):
    """
    What the tests share: a folder for the file.
    """

    def setUp(self) -> None:
        """
        Make it.
        """
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        self.path = Path(folder, "access.log")
        self.options = ("--access-log", str(self.path), "--access-log-format", "json")

    def lines(self, number: int, path: Path | None = None) -> list[dict[str, Any]]:
        """
        Wait until there are so many lines, and parse them.
        """
        path = path or self.path

        def read() -> list[bytes]:
            data = path.read_bytes() if path.exists() else b""
            self.assertTrue(not data or data.endswith(b"\n"), "a line is not whole")
            return data.splitlines()

        eventually(lambda: len(read()) >= number, f"{number} lines")
        lines = read()
        self.assertEqual(len(lines), number, lines)
        return [json.loads(line) for line in lines]


class LineTests(AccessLogTestCase):
    """
    What is written of whom.
    """

    def test_text(self) -> None:
        """
        By default a conversation is a line of text, and Twisted's log has none of it.
        """
        with Server("--access-log", str(self.path)) as server:
            self.assertEqual(server.ask(b"hello\n\xff\n")[:6], b"HELLO\n")
            eventually(lambda: self.path.stat().st_size, "the line")
            log = server.stop()
        self.assertNotIn(TWISTED, log)
        self.assertRegex(
            self.path.read_text(),
            r"^20\S+Z 127\.0\.0\.1:\d+ id=[0-9a-f]{8}-1 opened=20\S+Z"
            r" duration=\d\.\d{6} transport=tcp proxy=- tls=- subject=- received=8"
            r" sent=37 undelivered=0 invalid=1 refused=no reason=closed by the client"
            r"\n$",
        )

    def test_json(self) -> None:
        """
        It is an object, if that is wanted. Its name stands before the lines that were
        said, and its times are those of the clock.
        """
        before = time.time()
        with Server(*self.options, "--log", "lines") as server:
            with server.connect() as connection:
                port = connection.getsockname()[1]
                connection.sendall(b"hello\n")
                self.assertEqual(connection.recv(10), b"HELLO\n")
            [line] = self.lines(1)
            log = server.stop()
        name = line["upper.connection_id"]
        self.assertIn(f"] [{name}] from connected user: hello\n", log)
        self.assertIn(f"] [{name}] sending: HELLO\n", log)
        self.assertNotIn(TWISTED, log)
        self.assertEqual(
            (line["client.address"], line["client.port"]), ("127.0.0.1", port)
        )
        opened, closed = (
            subprocess.run(
                ["date", "+%s.%N", "--date", line[key]], capture_output=True, check=True
            )
            for key in ("upper.opened", "upper.closed")
        )
        self.assertLessEqual(before, float(opened.stdout) + 0.001)
        self.assertLessEqual(float(closed.stdout), time.time() + 0.001)
        self.assertAlmostEqual(
            float(closed.stdout) - float(opened.stdout), line["upper.duration"], 4
        )

    def test_clientCertificate(self) -> None:
        """
        Over TLS, the version and the client's subject are there, and no byte of TLS is
        counted.
        """
        way = TLSWay()
        self.addCleanup(shutil.rmtree, way.folder)
        options = (*way.options(), "--tls-client-ca", way.authority.certificate)
        context = way.context()
        context.load_cert_chain(*way.authority.issue("alice in\nwonderland"))
        with Server(*self.options, *options) as server:
            client = TLSClient(server.connect(), context)
            client.end(b"hello\n")
            self.assertEqual(client.receiveAll(), b"HELLO\n")
            client.close()
            # Who has no certificate is refused.
            with server.connect() as connection:
                connection.sendall(b"hello\n")
                awaitEnd(connection)
            served, refused = self.lines(2)
        self.assertEqual(served["tls.protocol.version"], "1.3")
        self.assertEqual(served["tls.client.subject"], "CN=alice in\nwonderland")
        self.assertEqual(served["upper.received_bytes"], 6)
        self.assertEqual(served["upper.sent_bytes"], 6)
        self.assertEqual(
            refused["upper.reason"], "TLS handshake failed: wrong version number"
        )
        self.assertIs(refused["upper.refused"], True)
        self.assertNotIn("tls.protocol.version", refused)

    def test_proxy(self) -> None:
        """
        Behind a proxy, the client is whom the header names, and the proxy is the peer;
        with TLS and without, and for who is refused under TLS, too.
        """
        for way in (ProxyWay(), ProxyTLSWay()):
            self.addCleanup(shutil.rmtree, way.folder)
            path = Path(f"{self.path}.{type(way).__name__}")
            options = ("--access-log", str(path), "--access-log-format", "json")
            with Server(*options, *way.options()) as server:
                client = way.connect(server)
                port = client.socket.getsockname()[1]
                client.end(b"hello\n")
                self.assertEqual(client.receiveAll(), b"HELLO\n")
                client.close()
                lines = self.lines(1, path)
                if isinstance(way, TLSWay):
                    with way.socket(server) as connection:
                        port = connection.getsockname()[1]
                        connection.sendall(b"hello\n")
                        awaitEnd(connection)
                    lines = self.lines(2, path)[1:]
            [line] = lines
            host = line["client.address"]
            self.assertIn(host, way.peer)
            self.assertEqual(line["client.port"], 40000)
            self.assertEqual(line["network.peer.address"], "127.0.0.1")
            self.assertEqual(line["network.peer.port"], port)

    def test_unix(self) -> None:
        """
        A client on a UNIX socket has no address, but for one that it gives itself,
        which can break no line.
        """
        way = UNIXWay()
        self.addCleanup(shutil.rmtree, way.folder)
        name = b'/a b\n{"c":\xff'
        with Server("--access-log", str(self.path), *way.options()) as server:
            way.socket(server).close()
            eventually(lambda: self.path.stat().st_size, "the line")
            with socket.socket(socket.AF_UNIX) as connection:
                connection.bind(os.fsencode(way.folder) + name)
                connection.connect(f"{way.folder}/socket")
            eventually(lambda: self.path.read_bytes().count(b"\n") == 2, "another one")
            server.stop()
        first, second = self.path.read_text().splitlines()
        self.assertEqual(first.split(" ", 14)[1], "unix")
        self.assertEqual(
            second.split(" ", 14)[1], f'unix:{way.folder}/a\\x20b\\n{{"c":\\xff'
        )
        for line in (first, second):
            self.assertIn(" transport=unix proxy=- ", line)

    def test_refused(self) -> None:
        """
        Each client that is refused has its line: for want of a place, and of a header.
        """
        with Server(*self.options, "--max-connections", "1") as server:
            with server.connect() as first:
                first.sendall(b"a\n")
                first.recv(10)
                with server.connect() as second:
                    self.assertEqual(
                        receiveAll(second), b"error: too many connections\n"
                    )
                [refused] = self.lines(1)
            _, served = self.lines(2)
        self.assertEqual(refused["upper.reason"], "too many connections")
        self.assertEqual(refused["upper.sent_bytes"], 28)
        self.assertEqual(
            [line["upper.refused"] for line in (refused, served)], [True, False]
        )
        path = Path(f"{self.path}.2")
        options = ("--access-log", str(path), "--access-log-format", "json")
        with Server(*options, "--proxy-protocol") as server:
            with server.connect() as connection:
                connection.sendall(b"hello\n")
                awaitEnd(connection)
            server.connect().close()
            lines = self.lines(2, path)
            log = server.stop()
        self.assertEqual(
            [line["upper.reason"] for line in lines],
            ["no PROXY header", "closed before a PROXY header"],
        )
        self.assertNotIn(TWISTED, log)

    def test_stop(self) -> None:
        """
        Those that the end of the service closes have their line, too.
        """
        with Server(*self.options) as server, server.connect() as connection:
            connection.sendall(b"a\n")
            connection.recv(10)
            server.stop()
        [line] = self.lines(1)
        self.assertEqual(line["upper.reason"], "the service is shutting down")


class FileTests(AccessLogTestCase):
    """
    The file, and what becomes of it.
    """

    def test_cannotBeOpened(self) -> None:
        """
        A file that cannot be opened ends the start with one message, with workers, too;
        so does a format that there is not.
        """
        for options, message in [
            (("--access-log", "/none/log"), "No such file or directory: '/none/log'"),
            (("--access-log", "/"), "Is a directory: '/'"),
            (("--access-log", ""), "--access-log takes a value, not an empty one"),
            (("--access-log-format", "xml"), "takes text or json, not 'xml'"),
            (("--access-log-format", "json"), "--access-log-format needs --access-log"),
        ]:
            said = failToStart("--port", "0", *options)
            self.assertTrue(said.startswith("upper: ") or "] upper: " in said, said)
            self.assertIn(message, said)
        said = failToStart("--port", "0", "--workers", "2", "--access-log", "/none/log")
        self.assertIn("the access log cannot be opened: ", said)

    def test_relative(self) -> None:
        """
        A relative path is that of where the service was started.
        """
        with Server("--access-log", "access.log") as server:
            server.ask(b"a\n")
            path = Path(f"/proc/{server.process.pid}/cwd/access.log")
            eventually(lambda: path.read_text().count("\n"), "the line")

    def test_signal(self) -> None:
        """
        At SIGUSR1 a file that was moved away is made anew; the service goes on, also
        where nothing was moved.
        """
        with Server(*self.options) as server:
            server.ask(b"a\n")
            self.lines(1)
            for number in (1, 2):
                moved = self.path.rename(f"{self.path}.{number}")
                os.kill(server.process.pid, signal.SIGUSR1)
                eventually(self.path.exists, "the new file")
                server.ask(b"a\n")
                self.lines(1)
                self.lines(1, moved)
            os.kill(server.process.pid, signal.SIGUSR1)
            server.ask(b"a\n")
            self.lines(2)

    def test_rotated(self) -> None:
        """
        Without a signal, the file that was moved away is found out.
        """
        with Server(*self.options) as server:
            server.ask(b"a\n")
            self.lines(1)
            moved = self.path.rename(f"{self.path}.1")

            def isMadeAnew() -> bool:
                server.ask(b"a\n")
                return self.path.exists()

            eventually(isMadeAnew, "the new file")
            server.waitFor("was opened anew")
            server.stop()
        text = moved.read_text() + self.path.read_text()
        for line in text.splitlines():
            json.loads(line)

    def test_cannotBeReopened(self) -> None:
        """
        Where it cannot be made anew, the log says so, and the old file is written to.
        """
        with Server(*self.options) as server:
            moved = self.path.rename(f"{self.path}.1")
            self.path.mkdir()
            os.kill(server.process.pid, signal.SIGUSR1)
            server.waitFor("cannot be opened anew: Is a directory; going on with")
            server.ask(b"a\n")
            self.lines(1, moved)

    def test_twistdLog(self) -> None:
        """
        A C{twistd} that logs to a file of its own still rotates that one at SIGUSR1.
        """
        log = Path(f"{self.path}.twistd")
        socketPath = f"{self.path.parent}/s"
        with subprocess.Popen(
            [
                *(script("twistd"), "--nodaemon", "--pidfile=", f"--logfile={log}"),
                *("upper", *self.options, "--listen", f"unix:{socketPath}"),
            ],
            stdin=subprocess.DEVNULL,
        ) as process:
            try:
                eventually(lambda: Path(socketPath).exists(), "the socket")
                eventually(self.path.exists, "the access log")
                self.path.rename(f"{self.path}.1")
                eventually(lambda: _catches(process.pid, signal.SIGTERM), "its start")
                process.send_signal(signal.SIGUSR1)
                eventually(self.path.exists, "the new access log")
                eventually(Path(f"{log}.1").exists, "the old log")
                process.terminate()
                process.wait(TIME_LIMIT)
            finally:
                process.kill()

    def test_withoutAccessLog(self) -> None:
        """
        Without an access log, the signal means what it has always meant.
        """
        with Server() as server:
            self.assertFalse(_catches(server.process.pid, signal.SIGUSR1))


class WorkerTests(AccessLogTestCase):
    """
    Several processes that write to one file.
    """

    def converse(self, server: Server, number: int) -> None:
        """
        Have conversations.
        """
        for _ in range(number):
            self.assertEqual(server.ask(b"a\n"), b"A\n")

    def test_oneFile(self) -> None:
        """
        All write whole lines to the same file. SIGUSR1 to the first process has all of
        them open it anew.
        """
        with Server(*self.options, "--workers", "2") as server:
            self.converse(server, 100)
            lines = self.lines(100)
            moved = self.path.rename(f"{self.path}.1")
            os.kill(server.process.pid, signal.SIGUSR1)
            server.waitFor(r"(was opened anew[\s\S]*){2}")
            self.converse(server, 100)
            more = self.lines(100)
            self.lines(100, moved)
            log = server.stop()
        names = [line["upper.connection_id"] for line in lines + more]
        self.assertEqual(len({*names}), 200)
        self.assertEqual(len({name.partition("-")[0] for name in names}), 2)
        self.assertNotIn(TWISTED, log)

    def test_rotatedUnderLoad(self) -> None:
        """
        However often the file is moved away while they write, no line is lost or cut.
        """
        with Server(*self.options, "--workers", "2") as server:
            moved = []
            for number in range(20):
                self.converse(server, 5)
                if self.path.exists():
                    moved.append(self.path.rename(f"{self.path}.{number}"))
                os.kill(server.process.pid, signal.SIGUSR1)
                self.converse(server, 5)
            server.stop()
        self.assertGreater(len(moved), 1)
        names = [
            json.loads(line)["upper.connection_id"]
            for path in [*moved, self.path]
            if path.exists()
            for line in path.read_text().splitlines()
        ]
        self.assertEqual(len(names), 200)
        self.assertEqual(len({*names}), 200)

    def test_standardOutput(self) -> None:
        """
        All write to the standard output of the first process, between the lines of its
        log.
        """
        options = ("--access-log", "-", "--access-log-format", "json")
        with Server(*options, "--workers", "2") as server:
            self.converse(server, 100)

            def written() -> list[str]:
                return re.findall(r"^{.*}$", server.log(), re.MULTILINE)

            eventually(lambda: len(written()) == 100, "the lines")
            server.stop()
            for line in written():
                json.loads(line)


class StandardOutputTests(AccessLogTestCase):
    """
    C{--access-log -}.
    """

    def serve(
        self, talk: Callable[[Callable[[int], None], int], None], *options: str
    ) -> str:
        """
        Start a server whose standard output is a pipe, and call something with what
        talks to it and with the end to read from.

        @return: Twisted's log.
        """
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        path, log = f"{self.path.parent}/s", f"{self.path.parent}/log"

        def ask(number: int) -> None:
            for _ in range(number):
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.settimeout(TIME_LIMIT)
                    connection.connect(path)
                    connection.sendall(b"a\n")
                    self.assertEqual(connection.recv(10), b"A\n")

        with subprocess.Popen(
            [
                *(script("twistd"), "--nodaemon", "--pidfile=", f"--logfile={log}"),
                *("upper", "--access-log", "-", *options),
                *("--listen", f"unix:{path}"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=writer,
        ) as process:
            os.close(writer)
            try:
                eventually(lambda: Path(path).exists(), "the socket")
                eventually(lambda: _catches(process.pid, signal.SIGTERM), "its start")
                if "--workers" in options:
                    eventually(
                        lambda: "All workers serve" in Path(log).read_text(), "workers"
                    )
                talk(ask, reader)
                process.terminate()
                self.assertEqual(process.wait(TIME_LIMIT), -signal.SIGTERM)
            finally:
                process.kill()
        return Path(log).read_text()

    def test_read(self) -> None:
        """
        Whoever reads has a line for each connection, at once.
        """

        def talk(ask: Callable[[int], None], reader: int) -> None:
            for _ in range(3):
                ask(1)
                [line] = os.read(reader, 4096).splitlines(keepends=True)
                self.assertTrue(line.endswith(b"reason=closed by the client\n"))

        self.serve(talk)

    def test_notRead(self) -> None:
        """
        When nobody reads, it serves on, and ends when it is told to. Lines that are
        lost are counted in the log; those that are not are whole, also where several
        workers write.
        """
        for options in ((), ("--workers", "2")):
            # A line has about 250 bytes, and a megabyte of them may wait, per process.
            number = 6000 if not options else 11000
            data = b""

            def talk(
                ask: Callable[[int], None], reader: int, number: int = number
            ) -> None:
                nonlocal data
                ask(number)
                # What waits is written as soon as somebody reads, in whole lines.
                while len(data) < 1 << 20:
                    data += os.read(reader, 1 << 16)

            log = self.serve(talk, *options)
            lost = re.findall(r"lines of the access log are lost.*\((\d+) alt", log)
            self.assertTrue(lost, log[-1000:])
            self.assertLess(int(lost[-1]), number)
            for line in data[: data.rindex(b"\n")].decode().splitlines():
                self.assertRegex(
                    line, r"^20\S+Z unix id=.* reason=closed by the client$"
                )


def _catches(pid: int, number: int) -> bool:
    """
    Whether a process has a handler for a signal.
    """
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(re.findall(r"SigCgt:\s*(\w+)", status)[0], 16)
    return bool(caught >> (number - 1) & 1)
