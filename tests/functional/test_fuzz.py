"""
The protocol, under inputs that a fuzzer makes up.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis.strategies import binary
from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import TIME_LIMIT
from tests.pieces import check


class FuzzTests(SynchronousTestCase):
    """
    L{tests.pieces}, bounded.
    """

    def test_fuzz(self) -> None:
        """
        Twenty thousand inputs raise no exception, and each is answered in
        pieces as in one. Where there is no atheris for this Python, Hypothesis
        makes them up, fewer of them.
        """
        if importlib.util.find_spec("atheris") is None:
            given(binary(max_size=400))(check)()
        else:
            self.fuzz(20_000)

    def fuzz(self, runs: int) -> None:
        """
        Run L{tests.fuzz}.
        """
        # What fails is printed; its file is not kept.
        options = [f"-runs={runs}", "-max_len=400"]
        with tempfile.TemporaryDirectory() as folder:
            fuzzer = subprocess.run(
                [sys.executable, "-m", "tests.fuzz", *options],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
                capture_output=True,
                timeout=TIME_LIMIT * 2,
                check=False,
            )
        log = fuzzer.stderr.decode(errors="replace")
        self.assertEqual(fuzzer.returncode, 0, log[-4000:])
        self.assertIn(f"Done {runs} runs", log)
