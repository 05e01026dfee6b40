"""
C{--name}: the server says first who it is, and what it sees of whom it serves.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any
from unittest import skipUnless
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.command.client import ClientTestCase, run
from tests.functional.command.person import Person
from tests.functional.processes import (
    TIME_LIMIT,
    Server,
    eventually,
    failToStart,
    fillIn,
    receiveAll,
    serveDuring,
)
from tests.functional.ways import (
    IPv6Way,
    Proxy2Way,
    ProxyTLSWay,
    ProxyUNIXWay,
    ProxyWay,
    TLS12Way,
    TLSWay,
    UNIXWay,
    Way,
)


class WayTests(SynchronousTestCase):
    """
    What is seen of clients that come by each way.
    """

    def told(self, way: Way, *options: str) -> bytes:
        """
        Ask a server by a way.

        @return: what comes, with C{PORT} for the client's own.
        """
        self.addCleanup(shutil.rmtree, way.folder)
        with Server(*way.options(), "--name", "pod-7", *options) as server:
            connection = way.socket(server)
            port = b""
            if connection.family != socket.AF_UNIX:
                port = b":%d" % connection.getsockname()[1]
            client = way.greet(connection)
            client.end("straße\nabc".encode())
            received = client.receiveAll()
            client.close()
            closed = server.waitFor(r"closed by the client; (\d+) bytes in, (\d+) .*")
        # The log counts what has come, to the byte.
        self.assertEqual((closed[1], closed[2]), ("11", str(len(received))))
        self.assertIn("bytes out, 0 undelivered", closed[0])
        return received.replace(port, b":PORT") if port else received

    def test_ways(self) -> None:
        """
        The address is the client's, also where a PROXY header has told it; over TLS
        the version stands behind it.
        """
        for way, said in [
            (Way(), b"peer=127.0.0.1:PORT"),
            (IPv6Way(), b"peer=[::1]:PORT"),
            (UNIXWay(), b"peer=unix"),
            (TLSWay(), b"peer=127.0.0.1:PORT tls=1.3"),
            (TLS12Way(), b"peer=127.0.0.1:PORT tls=1.2"),
            (ProxyWay(), b"peer=192.0.2.1:40000"),
            (Proxy2Way(), b"peer=[2001:db8::1]:40000"),
            (ProxyTLSWay(), b"peer=[2001:db8::1]:40000 tls=1.3"),
            (ProxyUNIXWay(), b"peer=[2001:db8::1]:40000"),
        ]:
            with self.subTest(type(way).__name__):
                self.assertEqual(
                    self.told(way), b"server: name=pod-7 %s\nSTRASSE\nABC" % said
                )

    def test_reactors(self) -> None:
        """
        So it is on a reactor of Twisted.
        """
        runner = ("twistd", "--reactor=epoll", "--nodaemon", "--pidfile=")
        way = TLSWay()
        self.addCleanup(shutil.rmtree, way.folder)
        for options in [(), way.options()]:
            with Server("--name", "a", *options, runner=runner) as server:
                client = (way if options else Way()).connect(server)
                client.end(b"a")
                received = client.receiveAll()
                client.close()
            self.assertRegex(
                received, rb"^server: name=a peer=127\.0\.0\.1:\d+( tls=1\.3)?\nA$"
            )

    def test_withoutName(self) -> None:
        """
        Without the option, nothing is said.
        """
        with Server() as server:
            self.assertEqual(server.ask(b"a\n"), b"A\n")

    def test_refused(self) -> None:
        """
        Who has no place is told by whom, too.
        """
        server = serveDuring(self, Server("--name", "a", "--max-connections", "1"))
        with server.connect() as held:
            self.assertTrue(held.recv(1000).startswith(b"server: name=a "))
            with server.connect() as another:
                port = another.getsockname()[1]
                self.assertEqual(
                    receiveAll(another),
                    b"server: name=a peer=127.0.0.1:%d\n"
                    b"error: too many connections\n" % port,
                )

    def test_workers(self) -> None:
        """
        All workers have the same name, which the first process has found out.
        """
        with patch.dict(os.environ, {"POD_NAME": "pod-7"}):
            server = serveDuring(self, Server("--workers", "2", "--name"))
        answers = {server.ask(b"a\n").split(b" peer=")[0] for _ in range(40)}
        self.assertEqual(answers, {b"server: name=pod-7"})
        eventually(
            lambda: all(
                f"[worker {each}] Connection from" in server.log() for each in (1, 2)
            ),
            "a connection of each worker",
        )

    def test_automatic(self) -> None:
        """
        Without a value, it is the host's name.
        """
        environment = {k: v for k, v in os.environ.items() if k != "POD_NAME"}
        with patch.dict(os.environ, environment, clear=True):
            for words in (["--name"], ["--name", "auto"], ["--name", "--udp"]):
                with Server(*words) as server:
                    name = socket.gethostname().encode()
                    told = b"server: name=%s peer=" % name
                    self.assertTrue(server.ask(b"").startswith(told))

    def test_bad(self) -> None:
        """
        A name that would break the line ends the start, with one message.
        """
        rule = "upper: --name takes 1 to 255 visible ASCII characters without '='"
        for name in ("a b", "a\nb", "\x1b[2J", "a=b", "b\xfcro", "", "a" * 256):
            self.assertEqual(
                failToStart(f"--name={name}"),
                f"{rule}, not {name!r} (see --help)",
            )
        with patch.dict(os.environ, {"POD_NAME": "a b"}):
            self.assertEqual(
                failToStart("--name"),
                f"{rule}, not 'a b', which is POD_NAME (see --help)",
            )


class ClientTests(ClientTestCase):
    """
    C{upper-client} and a server with a name.
    """

    def test_pipe(self) -> None:
        """
        The notice is no part of what comes out of a pipe, however it was cut.
        """
        text = ("straße\n" * 5000).encode()
        cut = "fault:slice=1:tcp:0:interface=127.0.0.1"
        for options, data in [((), text), (("--listen", cut), b"a\nb\n" * 20)]:
            with Server("--name", "a", *options) as server:
                port = f"--port={server.port}"
                result = run(port, "--verify", data=data)
                self.assertEnded(result, 0, data.decode().upper().encode())
                self.assertEnded(run(port, data=b""), 0, b"")
                self.assertEnded(run("ask", "a", f"127.0.0.1:{server.port}"), 0, b"A\n")

    def test_talk(self) -> None:
        """
        On a terminal, it is no answer.
        """
        server = serveDuring(self, Server("--name", "a"))
        with Person("--port", str(server.port), "--verify") as person:
            person.shows("\nNotice from server: server: name=a peer=127.0.0.1:")
            person.shows("\n -> ")
            person.type("hello\n")
            person.sees("hello\nReceived from server: HELLO\n -> ")
            person.type("q\n")
            person.sees("q\n")
            self.assertEqual(person.leaves(), 0)

    def test_check(self) -> None:
        """
        C{check} finds no fault, and says who has answered.
        """
        name = "n" * 255
        with Server("--name", name) as server:
            words = ("--slow", "0.2", "--skip", "bulk", "--format", "json")
            result = run("check", f"127.0.0.1:{server.port}", *words)
            [report] = map(json.loads, result.stdout.splitlines())
            self.assertTrue(report["ok"], report)
            steps = {each["step"]: each for each in report["steps"]}
            self.assertIn(f", served by {name}", steps["answer"]["detail"])
            self.assertEqual(steps["reconnect"]["measured"]["instances"], {name: 20})


@skipUnless(shutil.which("haproxy"), "needs the program haproxy")
class HAProxyTests(SynchronousTestCase):
    """
    Two servers with names, and HAProxy in front of them, which takes turns.
    """

    def setUp(self) -> None:
        """
        Start all three.
        """
        way = TLSWay()
        self.folder = way.folder
        self.addCleanup(shutil.rmtree, self.folder)
        self.authority = way.authority.certificate
        one, two = (
            serveDuring(self, Server("--proxy-protocol", "--name", name))
            for name in ("pod-1", "pod-2")
        )
        pem = self.folder / "upper.pem"
        pem.write_text(Path(way.certificate).read_text() + Path(way.key).read_text())
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.addCleanup(listener.close)
        self.port = listener.getsockname()[1]
        configuration = fillIn(
            "haproxy.cfg",
            self.folder,
            {
                "/etc/haproxy/upper.pem": str(pem),
                "/run/haproxy/admin.sock": f"{self.folder}/admin.sock",
                "bind :5000": f"bind fd@{listener.fileno()}",
                "balance leastconn": "balance roundrobin",
                "192.0.2.11:5000": f"127.0.0.1:{one.port}",
                "192.0.2.12:5000": f"127.0.0.1:{two.port}",
            },
        )
        proxy = subprocess.Popen(
            ["haproxy", "-q", "-f", configuration],
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
        )
        self.addCleanup(proxy.wait, TIME_LIMIT)
        self.addCleanup(proxy.terminate)
        for server in (one, two):
            # Its check knows the answer behind the notice: the conversation went well.
            server.waitFor(r"closed by the client; 8 bytes in, \d\d bytes out, 0 ")
        eventually(lambda: len(self.ping("2")[-1]["instances"]) == 2, "both servers")

    def ping(self, count: str, *options: str) -> list[dict[str, Any]]:
        """
        Ping the pool.
        """
        result = self.client("ping", "-c", count, "--new", "--format", "json", *options)
        return [json.loads(line) for line in result.splitlines()]

    def client(self, *words: str) -> str:
        """
        Run the client.
        """
        where = (f"localhost:{self.port}", "-4", "--tls-ca", self.authority)
        quick = ("-i", "0.001") if words[0] == "ping" else ()
        return run(*words, *where, *quick).stdout.decode()

    def test_spread(self) -> None:
        """
        C{ping --new} and C{check} say who has answered how often.
        """
        records = self.ping("20")
        self.assertEqual(records[-1]["answered"], 20)
        self.assertEqual(records[-1]["instances"], {"pod-1": 10, "pod-2": 10})
        self.assertEqual(
            {each["instance"] for each in records[:-1]}, {"pod-1", "pod-2"}
        )
        output = self.client("ping", "-c", "4", "--new")
        self.assertIn("\nanswered by pod-1: 2, pod-2: 2\n", output)
        self.assertRegex(output, r"\nseq=2 time=.* by pod-[12]\n")
        output = self.client("ping", "-c", "4", "--new", "--format", "prometheus")
        for name in ("pod-1", "pod-2"):
            self.assertIn(
                f'\nupper_ping_instance_answers{{instance="{name}"}} 2\n', output
            )
        # One connection stays with one server.
        self.assertRegex(self.client("ping", "-c", "4"), r"\nanswered by pod-[12]: 4\n")
        output = self.client("check", "--only", "answer,reconnect")
        self.assertRegex(output, r"answer +ok +in .* ms, served by pod-[12]\n")
        self.assertIn("2 instances (pod-1: 10, pod-2: 10)", " ".join(output.split()))
