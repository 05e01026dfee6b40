"""
Whoever looks for something finds it where C{CONTRIBUTING.rst} says.
"""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "upperproto"


class LayoutTests(SynchronousTestCase):
    """
    The modules and the packages of C{upperproto}.
    """

    def test_places(self) -> None:
        """
        The page has one line for each of them, and for nothing else.
        """
        page = (ROOT / "CONTRIBUTING.rst").read_text(encoding="utf-8")
        named = re.findall(r"^- ``(\w+)(?:\.py|/)``:", page, re.MULTILINE)
        modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
        packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
        self.assertEqual(sorted(named), sorted(modules | packages))

    def test_sizes(self) -> None:
        """
        A module has 300 lines at most, and a package eight modules; a dozen of them
        stand at the top.
        """
        for path in PACKAGE.rglob("*.py"):
            lines = path.read_text(encoding="utf-8").count("\n")
            self.assertLessEqual(lines, 300, path)
        for folder in [PACKAGE, *PACKAGE.glob("**/")]:
            modules = [path for path in folder.glob("*.py") if path.stem != "__init__"]
            self.assertLessEqual(len(modules), 12 if folder == PACKAGE else 8, folder)
