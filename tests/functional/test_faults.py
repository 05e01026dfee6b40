"""
Faults on demand, with real servers and C{upper-client check}.
"""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.authority import Authority
from tests.functional.command.client import run
from tests.functional.processes import (
    TIME_LIMIT,
    Server,
    eventually,
    failToStart,
    receiveAll,
    script,
    sendInBackground,
    serveDuring,
)
from upperproto.command.options import STEPS

HEADER = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"

PAGE = Path(__file__).parents[2] / "docs" / "faults.rst"


def listen(words: str, inner: str = "tcp:0:interface=127.0.0.1") -> tuple[str, str]:
    """
    Give the option that listens with faults.
    """
    return "--listen", ":".join(filter(None, ["fault", words, inner]))


class TableTests(SynchronousTestCase):
    """
    The page C{docs/faults.rst}.
    """

    def test_rows(self) -> None:
        """
        For each row, exactly the steps fail that it names.
        """
        table, _ = self.tables()
        rows = re.findall(r"^   \* - ``(\S+)``\n     -(.*)\n     - (.*)$", table, re.M)
        self.assertEqual(len(rows), table.count("   * - ") - 1)
        for words, options, named in rows:
            steps = re.findall(r"``(\w+)``", named)
            with Server(*listen(words)) as server:
                said = self.check(
                    server, *options.strip(" `").split(), "--only", ",".join(steps)
                )
                self.assertNotIn("Traceback", server.log())
            self.assertEqual(re.findall(r"^(\w+) +FAIL", said, re.M), steps, said)

    def test_rowsWithoutFault(self) -> None:
        """
        So it is for each row of what is made without C{fault:}; but here all steps are
        made, except the longest one.
        """
        _, table = self.tables()
        rows = re.findall(
            r"^   \* - (.+)\n     - (.+)\n     - ``(.+)``\n     - ``(\w+)``$",
            table,
            re.M,
        )
        self.assertEqual(len(rows), table.count("   * - ") - 1)
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        authority = Authority(folder)
        pair = authority.issue("localhost")
        pem = folder / "server.pem"
        pem.write_text("".join(Path(each).read_text() for each in pair))
        files = {"server.pem": str(pem), "authority.pem": authority.certificate}
        start = "twistd -n upper --port 5001"
        for _, command, target, step in rows:
            with contextlib.ExitStack() as stack:
                if command == "none":
                    # Nobody else gets this port, and nobody listens on it.
                    held = stack.enter_context(socket.socket())
                    held.bind(("127.0.0.1", 0))
                    port = held.getsockname()[1]
                else:
                    self.assertTrue(command.startswith(f"``{start}"), command)
                    words = command.strip("`").removeprefix(start).split()
                    options = [files.get(each, each) for each in words]
                    port = stack.enter_context(Server(*options)).port
                asked = target.replace("5001", str(port)).split()
                said = self.examine(
                    *[files.get(each, each) for each in asked], "--skip", "bulk"
                )
            self.assertEqual(re.findall(r"^(\w+) +FAIL", said, re.M), [step], said)

    def test_steps(self) -> None:
        """
        Each step fails in one row at least.
        """
        shown = set(re.findall(r"``(\w+)``", "".join(self.tables())))
        self.assertEqual(set(STEPS) - shown, set())

    def test_none(self) -> None:
        """
        With nothing asked, and with what only slows the path or cuts it in pieces, no
        step fails.
        """
        for words in ["", "delay=0.01:slice=1000", "rate=9000000"]:
            with Server(*listen(words)) as server:
                said = self.check(server, "--skip", "bulk,reconnect")
            self.assertNotIn("FAIL", said)

    def tables(self) -> tuple[str, str]:
        """
        Give what the page says of faults that C{fault:} makes, and of others.
        """
        _, tables = PAGE.read_text("utf-8").split("How to see them")
        made, others = tables.split("Faults that need no")
        return made, others

    def check(self, server: Server, *options: str) -> str:
        """
        Run C{upper-client check} with a server.
        """
        return self.examine(f"127.0.0.1:{server.port}", *options)

    def examine(self, *words: str) -> str:
        """
        Run C{upper-client check}.
        """
        return run("check", "--slow", "1", *words).stdout.decode()


class ListenTests(SynchronousTestCase):
    """
    C{twistd upper} on a C{fault:} endpoint.
    """

    def setUp(self) -> None:
        """
        Make a text in which each line is another one.
        """
        numbers = random.Random(1)
        self.text = b"".join(
            b"line %d %s\n" % (number, b"x" * numbers.randrange(100))
            for number in range(50000)
        )

    def assertExact(self, connection: socket.socket) -> None:
        """
        Assert that a text that is followed by our end is answered to its last byte.
        """
        sending = sendInBackground(connection, self.text)
        self.assertEqual(receiveAll(connection), self.text.upper())
        sending.join()

    def test_exact(self) -> None:
        """
        What was not asked for does not happen: all answers come after our end, whole,
        over each kind of socket.
        """
        for words in ["", "delay=0.05:jitter=0.05", "slice=4000", "slowclose=0.1"]:
            for inner in ["tcp:0:interface=127.0.0.1", "unix:upper"]:
                with (
                    Server(*listen(words, inner)) as server,
                    server.connect() as asking,
                ):
                    self.assertExact(asking)
                    log = server.log()
                found = re.findall("connections of this listener have.*", log)
                said = f"connections of this listener have faults: {words}"
                self.assertEqual(found, [said] if words else [])

    def test_delay(self) -> None:
        """
        A delay is one each way, also with workers, over TLS, and behind PROXY headers.
        """
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        authority = Authority(folder)
        certificate, key = authority.issue("localhost")
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        tls = ("--tls-cert", certificate, "--tls-key", key)
        for options, header in [
            (("--workers", "2"), b""),
            (tls, b""),
            (("--proxy-protocol", *tls), HEADER),
        ]:
            server = serveDuring(self, Server(*options, *listen("delay=0.2")))
            connection = server.connect()
            connection.sendall(header)
            if "--tls-cert" in options:
                connection = context.wrap_socket(connection)
            with connection:
                began = time.monotonic()
                connection.sendall(b"abc\n")
                self.assertEqual(connection.recv(100), b"ABC\n")
                self.assertGreaterEqual(time.monotonic() - began, 0.4)
            server.stop()

    def test_backlog(self) -> None:
        """
        C{--backlog} is that of the socket within.
        """
        server = serveDuring(self, Server("--backlog", "7", *listen("delay=0.1")))
        said = subprocess.run(
            ["ss", "-Hltn", f"sport = :{server.port}"],
            stdout=subprocess.PIPE,
            check=True,
        ).stdout.decode()
        self.assertEqual(said.split()[2], "7")

    def test_refused(self) -> None:
        """
        What cannot be listened on cannot with faults either.
        """
        for words, inner, why in [
            ("delay=1", "stdio:", "is one connection"),
            ("", "haproxy:tcp:0", "would lose answers; use --proxy-protocol"),
            ("delay=x", "tcp:0", "delay takes seconds, not 'x'"),
            ("dealy=1", "tcp:0", "there is no fault dealy"),
        ]:
            for workers in ["1", "2"]:
                said = failToStart(*listen(words, inner), "--workers", workers)
                self.assertIn(why, said)


class OtherServerTests(SynchronousTestCase):
    """
    A server that is not of this package.
    """

    def test_web(self) -> None:
        """
        C{twistd web} serves a file as it is, and late.
        """
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        content = random.Random(2).randbytes(3 << 20)
        (folder / "file").write_bytes(content)
        for words, seconds in [("", 0.0), ("delay=0.1", 0.2), ("rate=9000000", 0.3)]:
            port, process = self.serve(folder, *listen(words))
            began = time.monotonic()
            with socket.create_connection(("127.0.0.1", port), TIME_LIMIT) as asking:
                asking.sendall(b"GET /file HTTP/1.0\r\n\r\n")
                answer = receiveAll(asking)
            took = time.monotonic() - began
            process.terminate()
            process.wait(TIME_LIMIT)
            _, _, body = answer.partition(b"\r\n\r\n")
            self.assertTrue(body == content)
            self.assertGreaterEqual(took, seconds)

    def serve(self, folder: Path, *options: str) -> tuple[int, subprocess.Popen[bytes]]:
        """
        Start C{twistd web}.

        @return: its port and its process.
        """
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    script("twistd"),
                    "-n",
                    "--pidfile=",
                    "web",
                    "--path",
                    folder,
                    *options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
            )
        self.addCleanup(process.wait, TIME_LIMIT)
        self.addCleanup(process.kill)
        found = eventually(
            lambda: re.search(r"starting on (\d+)", log.read_text()), "twistd web"
        )
        return int(found.group(1)), process
