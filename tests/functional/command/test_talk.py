"""
The options of C{upper-client talk}.
"""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.command import faulty
from tests.functional.command.client import run, serveAll
from tests.functional.processes import Server


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
        said = b"upper-client: no answer within 0.3 s, and nothing came; if "
        self.assertEqual(result.stderr[: len(said)], said)

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
