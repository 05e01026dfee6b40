"""
C{upper-client ask} and C{ping}, and what all commands have in common.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.command import faulty
from tests.functional.command.client import folder, run, serveAll, start
from tests.functional.processes import PATIENCE, Server


class AskTests(SynchronousTestCase):
    """
    C{ask}.
    """

    def assertEnded(
        self, result: subprocess.CompletedProcess[bytes], status: int, said: str
    ) -> None:
        """
        Assert an outcome, and what standard output or standard error says.
        """
        output = result.stdout if status == 0 else result.stderr
        self.assertEqual((result.returncode, output.decode()), (status, said))

    def test_answer(self) -> None:
        """
        The answer is printed, wherever the options stand.
        """
        with Server() as server:
            port = str(server.port)
            for words in [
                ["ask", "straße", "127.0.0.1", port],
                ["-p", port, "ask", "straße"],
                ["ask", "straße", "--timeout", "5", f"127.0.0.1:{port}"],
                ["--timeout=5", "ask", "straße", "-c", f"tcp:127.0.0.1:{port}"],
            ]:
                self.assertEnded(run(*words), 0, "STRASSE\n")
            self.assertEnded(run("ask", "", "-p", port), 0, "\n")

    def test_module(self) -> None:
        """
        C{python -m upperproto.command} is the same.
        """
        with Server() as server:
            result = subprocess.run(
                [
                    *(sys.executable, "-m", "upperproto.command"),
                    *("ask", "a", "-p", str(server.port)),
                ],
                cwd=folder(self),
                capture_output=True,
                timeout=PATIENCE,
            )
        self.assertEnded(result, 0, "A\n")

    def test_faults(self) -> None:
        """
        Without the right answer, status and standard error say why.
        """
        for server, said in [
            (faulty.echo, "the text itself came back"),
            (faulty.closing, "the connection was closed without saying anything"),
            (faulty.alert, "a TLS alert came in place of the answer"),
            (faulty.silent, "no answer in time"),
        ]:
            with serveAll(server) as where:
                result = run("ask", "note: hello", where, "--timeout", "0.5")
            self.assertEqual((result.returncode, result.stdout), (1, b""))
            self.assertTrue(
                result.stderr.decode().startswith(f"upper-client: {where}: {said}\n"),
                result.stderr,
            )
        self.assertIn(b"Usual cause: ", result.stderr)

    def test_formats(self) -> None:
        """
        The formats tell programs the same, by the status, too.
        """
        with Server() as server:
            where = f"127.0.0.1:{server.port}"
            found = json.loads(run("ask", "ß", where, "--format", "json").stdout)
            self.assertEqual((found["ok"], found["answer"]), (True, "SS"))
            self.assertGreater(found["rtt_seconds"], 0)
            result = run("ask", "ß", where, "--format=plugin")
            self.assertEnded(result, 0, result.stdout.decode())
            self.assertRegex(
                result.stdout.decode(), r"^OK - .* in .* \| time=0\.\d{6}s;;;0 .*\n$"
            )
            result = run("ask", "ß", where, "--format", "prometheus")
            self.assertIn(b"\nprobe_success 1\n", result.stdout)
        result = run("ask", "ß", where, "--format", "json")
        self.assertEqual(json.loads(result.stdout)["fault"], "refused")
        self.assertEqual(result.returncode, 1)
        result = run("ask", "ß", where, "--format", "plugin")
        self.assertEqual(result.stdout[:11], b"CRITICAL - ")
        self.assertEqual(result.returncode, 2)
        result = run("ask", "ß", where, "--format", "prometheus")
        self.assertIn(b'\nupper_probe_fault_info{fault="refused"} 1\n', result.stdout)
        for wrong in ["--port=x"], ["--tls-ca=/nowhere"]:
            result = run("ask", "ß", *wrong, "--format=plugin")
            self.assertEqual(result.stdout[:10], b"UNKNOWN - ")
            self.assertEqual(result.returncode, 3)

    def test_imports(self) -> None:
        """
        What a command does not need is not imported: it would take most of the time
        until its first word.
        """
        with Server() as server:
            result = subprocess.run(
                [
                    *(sys.executable, "-X", "importtime", "-m", "upperproto.command"),
                    *("ask", "a", f"127.0.0.1:{server.port}"),
                ],
                capture_output=True,
                timeout=PATIENCE,
            )
        self.assertEqual(result.stdout, b"A\n")
        imported = set(re.findall(rb"\| +([\w.]+)\n", result.stderr))
        self.assertIn(b"upperproto.client", imported)
        for name in (
            *(b"cryptography", b"readline", b"tqdm"),
            *(b"upperproto.factory", b"upperproto.protocol", b"upperproto.tls"),
            *(b"upperproto.command.check", b"upperproto.command.talk"),
            *(b"twisted.plugin", b"getpass"),
        ):
            self.assertNotIn(name, imported)


class PingTests(SynchronousTestCase):
    """
    C{ping}.
    """

    def test_count(self) -> None:
        """
        A line for each ping, and the statistics.
        """
        with Server() as server:
            where = f"127.0.0.1:{server.port}"
            result = run("ping", where, "-c", "3", "-i", "0.01", "-s", "16")
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            time = r"\d+(\.\d+)? ms"
            self.assertRegex(
                result.stdout.decode(),
                rf"^PING {where}: 16 characters each\n"
                rf"seq=1 time={time} name={time} connect={time}\n"
                rf"seq=2 time={time}\nseq=3 time={time}\n"
                rf"--- {where} ping statistics ---\n"
                r"3 sent, 3 answered, 0 wrong, 0 lost, time \d+ ms\n"
                r"rtt min/avg/max/mdev = [\d.]+/[\d.]+/[\d.]+/[\d.]+ ms\n"
                r"rtt p50/p90/p99 = [\d.]+/[\d.]+/[\d.]+ ms\n$",
            )
            result = run("ping", where, "-c", "2", "-i", "0.01", "--new")
            self.assertEqual(result.stdout.count(b" connect="), 2)
            self.assertIn(b"\nconnect min/avg/max = ", result.stdout)

    def test_interrupt(self) -> None:
        """
        Ctrl-C ends it with the statistics.
        """
        with Server() as server, start("ping", "-p", str(server.port)) as process:
            assert process.stdout is not None and process.stderr is not None
            process.stdout.readline()
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            output = process.stdout.read()
            self.assertIn(b"\n1 sent, 1 answered, 0 wrong, 0 lost,", output)
            self.assertEqual(process.stderr.read(), b"")
        self.assertEqual(process.returncode, 0)

    def test_faults(self) -> None:
        """
        Wrong and lost answers are told from one another, and by the status.
        """
        quick = ("-c", "2", "-i", "0.01", "--timeout", "0.3")
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            result = run("ping", *quick, f"127.0.0.1:{port}")
            self.assertIn(b"seq=2 LOST: Connection refused\n", result.stdout)
            self.assertIn(b"\n2 sent, 0 answered, 0 wrong, 2 lost,", result.stdout)
            self.assertEqual(result.returncode, 1)
        for server, said, counts in [
            (faulty.echo, "WRONG: the text itself came back", "0 answered, 2 wrong"),
            (faulty.silent, "LOST: no answer in time", "0 answered, 0 wrong, 2 lost"),
            (faulty.twice, "WRONG: a line came that nobody", "0 answered, 2 wrong"),
        ]:
            with serveAll(server) as where:
                result = run("ping", *quick, where)
            self.assertIn(f"\nseq=1 {said}", result.stdout.decode())
            self.assertIn(f"\n2 sent, {counts}", result.stdout.decode())
            self.assertEqual(result.returncode, 1)
        result = run("ping", *quick, "unknown.invalid")
        said = "upper-client: unknown.invalid:5000: no such host\n"
        self.assertEqual(result.stderr.decode(), said)
        self.assertEqual((result.returncode, result.stdout), (2, b""))

    def test_comesBack(self) -> None:
        """
        After a lost ping, the next one makes a new connection.
        """
        state = {"connections": 0}

        def answerOnce(connection: socket.socket) -> None:
            state["connections"] += 1
            connection.sendall(faulty.upper(connection.recv(1000)))

        with serveAll(answerOnce) as where:
            result = run("ping", where, "-c", "4", "-i", "0.1", "--format", "json")
        records = [json.loads(line) for line in result.stdout.splitlines()]
        outcomes = [each.get("outcome") for each in records]
        self.assertEqual(outcomes, ["ok", "lost", "ok", "lost", None])
        self.assertEqual((records[-1]["answered"], records[-1]["lost"]), (2, 2))
        self.assertEqual((result.returncode, state["connections"]), (0, 2))

    def test_instances(self) -> None:
        """
        Answers are counted by who has given them.
        """
        state = {"connections": 0}

        def named(connection: socket.socket) -> None:
            state["connections"] += 1
            name = b"ab"[state["connections"] % 2 :][:1]
            connection.sendall(b"server: name=" + name + b" peer=127.0.0.1:1\n")
            faulty.linesOnly(connection)

        with serveAll(named) as where:
            result = run("ping", where, "-c", "3", "-i", "0.01", "--new")
            self.assertIn(b"\nanswered by a: 1, b: 2\n", result.stdout)
            result = run("check", where, "--only", "reconnect")
            self.assertIn(
                "2 instances (a: 10, b: 10)", " ".join(result.stdout.decode().split())
            )


class TalkTests(SynchronousTestCase):
    """
    Options of C{talk} that need more than memory.
    """

    def test_verify(self) -> None:
        """
        C{--verify} ends at the first wrong byte.
        """
        with Server() as server:
            text = "straße\nΐ\n".encode() * 50_000
            result = run("--verify", "-p", str(server.port), data=text)
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            self.assertEqual(result.stdout, text.decode().upper().encode())
        with serveAll(faulty.echo) as where:
            result = run("talk", "--verify", where, data=b"1: abc\n" * 100_000)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(
            result.stderr.decode(),
            r"^upper-client: wrong answer at byte 4: 'abc\\n1: abc\\n1: ab' came, not"
            r" 'ABC\\n1: ABC\\n1: AB'\n$",
        )

    def test_progress(self) -> None:
        """
        C{--progress} shows how far it is, and changes nothing else.
        """
        with Server() as server:
            result = run("--progress", "-p", str(server.port), data=b"abc\n" * 1000)
        self.assertEqual((result.returncode, result.stdout), (0, b"ABC\n" * 1000))
        self.assertRegex(
            result.stderr.decode(), r"sent: 3\.91kB \[.*B/s, answered 3\.91kB\]"
        )

    def test_timeout(self) -> None:
        """
        C{--timeout} bounds how long an answer may take.
        """
        with serveAll(faulty.late(1)) as where:
            result = run("--timeout", "0.3", where, data=b"abc\n")
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stderr, b"upper-client: no answer within 0.3 s\n")

    def test_alert(self) -> None:
        """
        A server that speaks TLS is recognised.
        """
        with serveAll(faulty.alert) as where:
            result = run(where, data=b"abc\n")
        self.assertEqual((result.returncode, result.stdout), (1, b""))
        self.assertIn(b"the server seems to speak TLS: ask with --tls", result.stderr)

    def test_closedOutput(self) -> None:
        """
        When nobody reads the output any more, that is a quiet end for all commands.
        """
        reader, writer = os.pipe()
        os.close(reader)
        with Server() as server:
            for command in (["ask", "a"], ["ping", "-c1"], ["check", "--only=answer"]):
                result = run(*command, "-p", str(server.port), stdout=writer)
                self.assertEqual((result.returncode, result.stderr), (0, b""))
        os.close(writer)
