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

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.functional.processes import PATIENCE


class FuzzTests(SynchronousTestCase):
    """
    L{tests.fuzz}, bounded.
    """

    def test_fuzz(self) -> None:
        """
        Twenty thousand inputs raise no exception, and each is answered in
        pieces as in one.
        """
        if importlib.util.find_spec("atheris") is None:
            raise SkipTest("atheris is not installed")
        # What fails is printed; its file is not kept.
        options = ["-runs=20000", "-max_len=400"]
        with tempfile.TemporaryDirectory() as folder:
            fuzzer = subprocess.run(
                [sys.executable, "-m", "tests.fuzz", *options],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
                capture_output=True,
                timeout=PATIENCE * 2,
                check=False,
            )
        log = fuzzer.stderr.decode(errors="replace")
        self.assertEqual(fuzzer.returncode, 0, log[-4000:])
        self.assertIn("Done 20000 runs", log)
