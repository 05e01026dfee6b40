"""
C{docs/examples/yours}: the plugin to copy, copied as C{docs/plugin.rst} says.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import (
    EXAMPLES,
    TIME_LIMIT,
    Server,
    receiveAll,
    sendInBackground,
)
from tests.functional.test_packaging import OFFLINE, TWISTD, Environment

YOURS = EXAMPLES / "yours"

# What tests and installs leave in it.
LEFTOVERS = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "dropin.cache")


def commands() -> list[str]:
    """
    Find the lines of the page that a reader types.
    """
    page = (EXAMPLES.parent / "plugin.rst").read_text(encoding="utf-8")
    [block] = re.findall(r"\.\. code-block:: sh\n\n((?:   .*\n|\n)+)", page)
    return [line.partition("  #")[0].strip() for line in block.splitlines() if line]


class Copy(Server):
    """
    The server of the copy, as C{twistd} of its environment starts it.
    """

    def __init__(self, environment: Environment) -> None:
        """
        @param environment: where it is installed.
        """
        python = str(environment.folder / "venv/bin/python")
        twistd = [python, "-c", TWISTD, "--nodaemon", "--pidfile="]
        self._arguments = [*twistd, "mine", "--port", "0"]


class PluginTests(SynchronousTestCase):
    """
    The way of a copy, from the first command to the last.
    """

    def test_size(self) -> None:
        """
        The folder has 150 lines at most, and needs nothing of ours.
        """
        with tempfile.TemporaryDirectory() as folder:
            copy = shutil.copytree(YOURS, Path(folder, "yours"), ignore=LEFTOVERS)
            texts = [path.read_text() for path in copy.rglob("*") if path.is_file()]
        self.assertLessEqual(sum(text.count("\n") for text in texts), 150)
        self.assertNotIn("upper", "".join(texts).lower())

    def test_copy(self) -> None:
        """
        The copy gets its name by one command. It is installed, passes its tests and
        answers. When it is uninstalled, Twisted is as it was.
        """
        copying, enter, renaming, *rest = commands()
        self.assertEqual(
            (copying, enter), ("cp -r docs/examples/yours mine", "cd mine")
        )
        with tempfile.TemporaryDirectory() as temporary:
            here = Environment(Path(temporary))
            source = shutil.copytree(YOURS, here.folder / "mine", ignore=LEFTOVERS)
            subprocess.run(
                renaming, shell=True, check=True, cwd=source, timeout=TIME_LIMIT
            )
            names = [path.name for path in source.rglob("*")]
            texts = [path.read_text() for path in source.rglob("*") if path.is_file()]
            self.assertNotIn("yours", " ".join(names + texts))
            self.assertNotIn("mine", here.python(TWISTD, "--help"))
            before = here.files()
            for how in [["--editable"], []]:
                here.pip("install", *OFFLINE, *how, str(source))
                self.checkInstalled(here)
                here.pip("uninstall", "--yes", "mine")
                self.assertNotIn("mine", here.python(TWISTD, "--help"))
                self.assertEqual(here.files(), before)
                for cache in here.sitePackages.rglob("dropin.cache"):
                    self.assertNotIn(b"mine", cache.read_bytes())
        self.assertEqual(
            [command for command in rest if not command.startswith("python3 -m venv")],
            [
                "venv/bin/pip install -e .",
                "venv/bin/trial mine",
                "venv/bin/twistd -n mine",
            ],
        )

    def checkInstalled(self, here: Environment) -> None:
        """
        The tests of the copy pass, and its server answers.
        """
        trial = "from twisted.scripts.trial import run; run()"
        self.assertIn("successes=4", here.python(trial, "mine"))
        self.assertIn("reversed", here.python(TWISTD, "--help"))
        self.assertIn("--max-length", here.python(TWISTD, "mine", "--help"))
        with Copy(here) as server:
            self.assertEqual(server.ask(b"abc\n\xc3\xa9\n"), b"cba\n\xa9\xc3\n")
            # Several times what sockets hold: nothing of it is lost.
            lines = [b"%07d" % number for number in range(200000)]
            with server.connect() as connection:
                sending = sendInBackground(connection, b"\n".join([*lines, b""]))
                answers = receiveAll(connection).splitlines()
                sending.join(TIME_LIMIT)
            self.assertEqual(answers, [line[::-1] for line in lines])
            self.assertNotIn("Traceback", server.stop())
