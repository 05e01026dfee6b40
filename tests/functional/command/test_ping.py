"""
C{upper-client ping}.
"""

from __future__ import annotations

import json
import signal
import socket

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.command import faulty
from tests.functional.command.client import run, serveAll, start
from tests.functional.processes import Server


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
            self.assertIn(b"seq=1 LOST: Connection refused\n  The", result.stdout)
            self.assertIn(b"seq=2 LOST: as before\n", result.stdout)
            self.assertIn(b"\n2 sent, 0 answered, 0 wrong, 2 lost,", result.stdout)
            self.assertEqual(result.returncode, 1)
        for server, said, counts in [
            (faulty.echo, "WRONG: the text itself came back", "0 answered, 2 wrong"),
            (faulty.silent, "LOST: no answer in time", "0 answered, 0 wrong, 2 lost"),
            (
                faulty.twice,
                "WRONG: a line came that is no answer",
                "0 answered, 2 wrong",
            ),
        ]:
            with serveAll(server) as where:
                result = run("ping", *quick, where)
            self.assertIn(f"\nseq=1 {said}", result.stdout.decode())
            self.assertIn(f"\n2 sent, {counts}", result.stdout.decode())
            self.assertEqual(result.returncode, 1)
        with serveAll(faulty.web) as where:
            output = run("ping", *quick, where).stdout.decode()
        self.assertEqual(output.count("the server there is a web server"), 1)
        self.assertIn("\nseq=2 WRONG: as before", output)
        result = run("ping", *quick, "unknown.invalid")
        said, *explanation = result.stderr.decode().splitlines()
        self.assertEqual(said, "upper-client: unknown.invalid:5000: no such host")
        self.assertEqual(explanation[0], "  From here, the name has no address.")
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
