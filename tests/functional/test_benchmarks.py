"""
The benchmarks still run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.functional.processes import PATIENCE, Server

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


class BenchmarkTests(SynchronousTestCase):
    """
    Short runs; how fast anything is does not matter here.
    """

    def setUp(self) -> None:
        """
        Make a folder for the results.
        """
        if shutil.which("cc") is None:
            raise SkipTest("the load is compiled, and there is no C compiler (cc)")
        if not {0, 1} <= os.sched_getaffinity(0):
            raise SkipTest("server and load need a core each")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.results = Path(folder.name, "results.json")

    def runScript(self, script: str, *arguments: str) -> str:
        """
        Run one of the scripts.

        @return: what it prints.
        """
        done = subprocess.run(
            [sys.executable, str(BENCHMARKS / script), *arguments],
            capture_output=True,
            text=True,
            timeout=4 * PATIENCE,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_quick(self) -> None:
        """
        Every scene that the C server can serve has a figure for it and for this
        server, and a ratio; the table shows the targets; the picture is drawn.
        """
        output = self.runScript(
            "run.py", "--quick", "--peers", "limit", "--json", str(self.results)
        )
        self.assertIn("round trips, 100 connections", output)
        self.assertIn("reached", output)
        scenes = json.loads(self.results.read_text(encoding="utf-8"))["scenes"]
        del scenes["filter"]
        for key, scene in scenes.items():
            self.assertGreater(scene["figures"]["ours"]["figure"], 0, key)
            if "limit" not in scene["without"]:
                self.assertGreater(scene["figures"]["limit"]["figure"], 0, key)
                self.assertGreater(scene["ratios"]["limit"], 0, key)
        picture = self.results.with_suffix(".svg")
        self.runScript("draw.py", str(self.results), str(picture))
        self.assertIn("</svg>", picture.read_text(encoding="utf-8"))

    def test_wrongAnswer(self) -> None:
        """
        The load ends with an error at the first byte that is wrong.
        """
        folder = self.results.parent
        load = folder / "load"
        subprocess.run(["cc", "-o", load, BENCHMARKS / "load.c"], check=True)
        request, answer = folder / "request", folder / "answer"
        request.write_bytes(b"hello\n")
        answer.write_bytes(b"HELLo\n")
        with Server() as server:
            for scene in "stream", "connect", "idle":
                done = subprocess.run(
                    [load, scene, str(server.port), "2", "1", request, answer],
                    capture_output=True,
                    text=True,
                    timeout=2 * PATIENCE,
                )
                self.assertEqual(done.returncode, 1, scene)
                self.assertIn("a wrong answer at byte 4", done.stderr)
