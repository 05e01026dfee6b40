"""
C{upper-client} over UDP, through a path that treats datagrams badly.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.command.client import run
from tests.functional.processes import TIME_LIMIT, Server, serveDuring

Relay = Callable[[int, bytes], list[bytes]]


class DatagramTests(SynchronousTestCase):
    """
    C{upper-client ping udp:HOST:PORT} and C{check}.
    """

    def run_(self, *words: str) -> tuple[int, str, str]:
        """
        Run it.

        @return: its status, what it printed, and its complaints.
        """
        ended = run(*words)
        return ended.returncode, ended.stdout.decode(), ended.stderr.decode()

    def path(self, answers: Relay) -> str:
        """
        Answer datagrams in a thread.

        @param answers: gives the answers to the text of such a number, from 1.
        @return: the target.
        """
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        bound.bind(("127.0.0.1", 0))

        def serve() -> None:
            number = 0
            while True:
                text, peer = bound.recvfrom(1 << 16)
                if text == b"end":
                    bound.close()
                    return
                number += 1
                for answer in answers(number, text):
                    bound.sendto(answer, peer)

        port = bound.getsockname()[1]
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()

        def end() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"end", ("127.0.0.1", port))
            thread.join(TIME_LIMIT)

        self.addCleanup(end)
        return f"udp:127.0.0.1:{port}"

    def summary(self, target: str, *options: str) -> dict[str, Any]:
        """
        Ping, and give the summary.
        """
        _, said, _ = self.run_(
            *("ping", "-c", "6", "-i", "0.02", "--timeout", "0.5", "--format", "json"),
            *options,
            target,
        )
        found: dict[str, Any] = json.loads(said.splitlines()[-1])
        return found

    def test_ping(self) -> None:
        """
        All is answered by our server, of any size that passes as a whole.
        """
        server = serveDuring(self, Server("--udp", "--port", "0", "-i", "::"))
        for options in (
            [f"udp:127.0.0.1:{server.port}"],
            ["--udp", f"[::1]:{server.port}"],
            ["--size", "17", f"udp:[::1]:{server.port}"],
            ["--size", "65000", f"udp:127.0.0.1:{server.port}"],
        ):
            status, said, _ = self.run_("ping", "-c", "3", "-i", "0.01", *options)
            self.assertEqual(status, 0)
            counts = "3 sent, 3 answered, 0 wrong, 0 lost, 0 duplicates, 0 reordered"
            self.assertIn(counts, said)
        self.assertIn("Datagrams: 12 answered", server.stop())

    def test_loss(self) -> None:
        """
        What does not come back is lost.
        """
        target = self.path(lambda n, text: [] if n % 3 == 0 else [upper(text)])
        found = self.summary(target)
        self.assertEqual((found["answered"], found["lost"]), (4, 2))
        self.assertEqual((found["duplicates"], found["reordered"]), (0, 0))

    def test_duplicates(self) -> None:
        """
        What comes twice is counted.
        """
        target = self.path(lambda n, text: [upper(text)] * (1 + n % 2))
        found = self.summary(target)
        self.assertEqual((found["answered"], found["duplicates"]), (6, 3))

    def test_reordered(self) -> None:
        """
        What comes after a later one is counted.
        """
        waiting: list[bytes] = []

        def swap(number: int, text: bytes) -> list[bytes]:
            waiting.insert(0, upper(text))
            if number % 2:
                return []
            answers = [*waiting]
            waiting.clear()
            return answers

        found = self.summary(self.path(swap))
        self.assertEqual((found["answered"], found["reordered"]), (6, 3))

    def test_wrong(self) -> None:
        """
        What is changed is wrong, and so is an echo.
        """
        for answer in (lambda _, text: [text], lambda _, text: [text[:9] + b"!"]):
            found = self.summary(self.path(answer))
            self.assertEqual((found["answered"], found["wrong"]), (0, 6))

    def test_tooLong(self) -> None:
        """
        What does not pass as a whole is not sent, and the length that does is told.
        """
        status, said, _ = self.run_(
            "ping", "-c", "1", "--size", "65508", self.nowhere()
        )
        self.assertEqual(status, 1)
        self.assertRegex(
            said, r"65508 bytes do not pass: the path takes packets of \d+"
        )

    def test_refused(self) -> None:
        """
        Where nobody listens, each ping is refused, and ping goes on.
        """
        status, said, _ = self.run_("ping", "-c", "3", "-i", "0.1", self.nowhere())
        self.assertEqual((status, said.count(" LOST: Connection refused")), (1, 1))
        self.assertEqual(said.count(" LOST: as before"), 2)

    def nowhere(self) -> str:
        """
        Name a port that nobody listens on.
        """
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            return f"udp:127.0.0.1:{free.getsockname()[1]}"

    def check(self, target: str, *options: str) -> dict[str, str]:
        """
        Examine a path.

        @return: the status of each step.
        """
        _, said, _ = self.run_("check", "--timeout", "0.5", *options, target)
        return dict(re.findall(r"^([a-z]+) +(ok|FAIL|skip)", said, re.M))

    def test_check(self) -> None:
        """
        All steps that apply are made, and are ok.
        """
        server = serveDuring(self, Server("--udp"))
        steps = self.check(f"udp:127.0.0.1:{server.port}", "--idle", "0.1")
        made = ["resolve", "answer", "order", "longline", "idle", "reconnect"]
        self.assertEqual([name for name in steps if steps[name] != "skip"], made)
        self.assertEqual([name for name in steps if steps[name] == "ok"], made)

    def test_checkFaults(self) -> None:
        """
        Each step finds what it is for.
        """

        def ok(text: bytes) -> list[bytes]:
            return [upper(text)]

        paths: list[tuple[str, Relay]] = [
            ("answer", lambda n, text: [text]),
            ("order", lambda n, text: [] if n % 10 == 7 else ok(text)),
            ("order", lambda n, text: ok(text) * (1 + (n % 10 == 7))),
            ("longline", lambda n, text: [] if len(text) > 1000 else ok(text)),
            ("idle", lambda n, text: ok(text) if n == 1 else []),
            ("reconnect", lambda n, text: ok(text) if n < 15 else []),
        ]
        for step, path in paths:
            found = self.check(self.path(path), "--only", step, "--idle", "0.1")
            self.assertEqual(found, {step: "FAIL"})

    def test_usage(self) -> None:
        """
        What datagrams cannot do is refused.
        """
        for words, why in [
            (["ask", "x", "udp:a:1"], "udp: is for ping and check, not for ask"),
            (["udp:a:1"], "udp: is for ping and check, not for talk"),
            (
                ["ping", "--new", "udp:a:1"],
                "with datagrams there is no TLS, endpoint, PROXY",
            ),
            (["ping", "udp:a:"], "no port after the colon in a:"),
            (
                ["check", "udp:a:b"],
                "udp: takes HOST, HOST:PORT or [IPv6]:PORT, not 'a:b'",
            ),
        ]:
            status, _, said = self.run_(*words)
            self.assertEqual(status, 2)
            self.assertIn(why, said)


def upper(text: bytes) -> bytes:
    """
    Answer rightly.
    """
    return text.decode().upper().encode()
