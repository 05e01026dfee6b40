"""
The benchmarks still run.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.functional.processes import TIME_LIMIT, Server

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"


class BenchmarkTests(SynchronousTestCase):
    """
    Short runs; how fast anything is does not matter here.
    """

    def setUp(self) -> None:
        """
        Make a folder for the results.
        """
        if shutil.which("cc") is None or not Path("/usr/include/openssl").exists():
            raise SkipTest("the load needs a C compiler (cc) and OpenSSL (libssl-dev)")
        if len(os.sched_getaffinity(0)) < 2:
            raise SkipTest("server and load need a core each")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def runScript(self, script: str, *arguments: str) -> str:
        """
        Run one of the scripts.

        @return: what it prints.
        """
        done = subprocess.run(
            [sys.executable, str(BENCHMARKS / script), *arguments],
            capture_output=True,
            text=True,
            timeout=8 * TIME_LIMIT,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def measure(self, *arguments: str) -> dict[str, Any]:
        """
        Take each figure once, and quickly.

        @return: what is kept of them.
        """
        quickly = ("--rounds", "1", "--seconds", "0.05", "--keep", str(self.folder))
        output = self.runScript("run.py", *quickly, *arguments)
        self.assertIn("round trips, 1 connection", output)
        [path] = self.folder.glob("*.json")
        results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return results

    def test_scenes(self) -> None:
        """
        This server has a figure in each scene; so has the C server, where it can do
        what is asked; and both come into the tables of a page.
        """
        results = self.measure("--peers", "ours", "limit")
        self.assertEqual(results["without"], {})
        for key, peers in results["scenes"].items():
            for peer, measures in peers.items():
                self.assertGreater(measures["figure"][0], 0, (key, peer))
        self.assertIn("limit", results["scenes"]["connect10"])
        page = self.folder / "page.rst"
        tables = ".. begin {0}\nold\n.. end {0}\n"
        page.write_text(f"{tables.format('tcp')}between\n{tables.format('pythons')}")
        [path] = self.folder.glob("*.json")
        other = self.folder / "other.json"
        results["about"]["Python"] = "3.99"
        other.write_text(json.dumps(results), encoding="utf-8")
        self.runScript("report.py", str(page), str(path), str(other))
        text = page.read_text(encoding="utf-8")
        self.assertRegex(text, r"^\.\. begin tcp\n\n=+  =.*\nscene +upperproto +")
        self.assertRegex(text, r"\n=+  =.*\n\n\.\. end tcp\nbetween\n")
        self.assertNotIn("old", text)
        here = platform.python_version().replace(".", r"\.")
        # One row like another, but for the version.
        self.assertRegex(
            text, rf"\n{here} *(  .*)\n3\.99 *\1\n=.*\n\n\.\. end pythons\n"
        )
        chart = ElementTree.parse(self.folder / "page.svg").getroot()
        words = "".join(chart.itertext())
        self.assertIn("connections, 10 at a time: ", words)
        self.assertIn(" times the limit: C (", words)
        circles = chart.findall("{http://www.w3.org/2000/svg}circle")
        self.assertEqual(len(circles), words.count(" times the limit: "))

    def test_peers(self) -> None:
        """
        Each peer that is installed has a figure, over TCP or TLS, or as a client.
        """
        scenes = ("ask1", "ask1TLS", "datagrams", "datagrams10k", "startClient")
        results = self.measure("--scenes", *scenes)
        missing = {
            f"{peer}, {key}: {why}"
            for key, peers in results["without"].items()
            for peer, why in peers.items()
            if "No module named 'uvloop'" not in why and "No such file" not in why
        }
        self.assertEqual(missing, set())
        self.assertIn("textbook", results["scenes"]["ask1TLS"])
        for peer in "ours", "protocol", "limit":
            self.assertIn(peer, results["scenes"]["datagrams"])
            [share] = results["scenes"]["datagrams10k"][peer]["figure"]
            self.assertLessEqual(share, 100)

    def ask(self, server: Server, *words: str) -> str:
        """
        Run the load with the files C{request} and C{answer}; it has to fail.

        @return: how it says why.
        """
        load = str(self.folder / "load")
        source = str(BENCHMARKS / "load.c")
        subprocess.run(["cc", "-o", load, source, "-lssl", "-lcrypto"], check=True)
        kind, security, connections, seconds, window = words
        files = [str(self.folder / "request"), str(self.folder / "answer")]
        numbers = [str(server.port), connections, seconds, window, "0", "0"]
        done = subprocess.run(
            [load, kind, security, *numbers, *files, os.devnull],
            capture_output=True,
            text=True,
            timeout=2 * TIME_LIMIT,
        )
        self.assertEqual(done.returncode, 1, words)
        return done.stderr

    def test_wrongDatagram(self) -> None:
        """
        The load ends with an error where a byte of a datagram is wrong, and where there
        are no answers.
        """
        (self.folder / "answer").write_bytes(b"HELLo")
        with Server("--udp") as server:
            for text, error in (b"hello", "a wrong answer"), (b"HELLO", "no answer"):
                (self.folder / "request").write_bytes(text)
                said = self.ask(server, "stream", "udp", "2", "0.1", "8")
                self.assertIn(error, said)

    def test_wrongAnswer(self) -> None:
        """
        The load ends with an error where a byte is wrong.
        """
        (self.folder / "request").write_bytes(b"hello\n")
        (self.folder / "answer").write_bytes(b"HELLo\n")
        with Server() as server:
            for scene in "stream", "connect":
                said = self.ask(server, scene, "tcp", "2", "1", "1")
                self.assertIn('a wrong answer after byte 0: "HELLO', said)
