"""
C{upper-client ask}, and what all commands have in common.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.command import faulty
from tests.functional.command.client import folder, run, serveAll
from tests.functional.processes import TIME_LIMIT, Server


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
                timeout=TIME_LIMIT,
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
                timeout=TIME_LIMIT,
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

    def test_helpImports(self) -> None:
        """
        Whoever asks for help does not wait for Twisted.
        """
        result = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "upperproto.command", "--help"],
            capture_output=True,
            timeout=TIME_LIMIT,
        )
        self.assertEqual(result.stdout[:6], b"Usage:")
        self.assertNotIn(b"twisted", result.stderr)
