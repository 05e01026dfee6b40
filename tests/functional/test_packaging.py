"""
What is installed works, and leaves no trace when it is uninstalled.

Everything happens in a fresh virtual environment, with copies of the Twisted and
the setuptools of the one in which the tests run, so that nothing is downloaded.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pip
from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import TIME_LIMIT

ROOT = Path(__file__).parents[2]

TWISTD = "from twisted.scripts.twistd import run; run()"

# Options of "pip install" with which nothing is downloaded.
OFFLINE = ["--no-index", "--no-deps", "--no-build-isolation"]

# What tools, tests and earlier builds leave in a checkout.
LEFTOVERS = shutil.ignore_patterns(
    ".*",
    "venv*",
    "build",
    "dist",
    "_build",
    "api",
    "*.egg-info",
    "__pycache__",
    "_trial_temp*",
)


def copyDistribution(name: str, folder: Path, done: set[str]) -> None:
    """
    Copy an installed distribution, and all that it depends on.

    @param folder: the C{site-packages} to copy to.
    @param done: what has been copied already.
    """
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return  # It is needed elsewhere only: on another Python or system.
    if found.name in done:
        return
    done.add(found.name)
    for file in found.files or ():
        # Not what is outside of site-packages (../../../bin/twistd).
        if ".." not in file.parts and "__pycache__" not in file.parts:
            target = folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(str(found.locate_file(file)), target)
    for requirement in found.requires or ():
        if "extra ==" not in requirement:
            copyDistribution(re.split(r"[^\w.-]", requirement)[0], folder, done)


class Environment:
    """
    A virtual environment that has Twisted, and nothing of ours.

    @ivar folder: where everything is.
    @ivar sitePackages: where the environment's packages are.
    """

    def __init__(self, folder: Path) -> None:
        """
        Make the environment.
        """
        self.folder = folder
        venv.create(folder / "venv", symlinks=True)
        [self.sitePackages] = folder.glob("venv/lib/python*/site-packages")
        done: set[str] = set()
        for name in ["twisted", "setuptools", "wheel"]:
            copyDistribution(name, self.sitePackages, done)

    def execute(self, *command: str) -> str:
        """
        Run a command in a folder of no importance.

        @return: what it prints.
        """
        process = subprocess.run(
            command,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=10 * TIME_LIMIT,
        )
        if process.returncode:
            raise AssertionError(f"{command} failed:\n{process.stdout}")
        return process.stdout

    def python(self, program: str, *arguments: str) -> str:
        """
        Run a program in the environment.

        @return: what it prints.
        """
        python = str(self.folder / "venv/bin/python")
        return self.execute(python, "-c", program, *arguments).strip()

    def pip(self, *arguments: str) -> None:
        """
        Run C{pip} for the environment.
        """
        python = str(self.folder / "venv/bin/python")
        # What "pip --python" executes, without pip once more in front of it.
        runner = Path(pip.__file__).with_name("__pip-runner__.py")
        self.execute(python, str(runner), *arguments)

    def files(self) -> dict[str, bytes]:
        """
        What is in C{site-packages}, but for caches.
        """
        return {
            str(path.relative_to(self.sitePackages)): path.read_bytes()
            for path in self.sitePackages.rglob("*")
            if path.is_file()
            and path.name != "dropin.cache"
            and path.parent.name != "__pycache__"
        }


class Built(Environment):
    """
    A source tree, what is built from it, and an environment to install it in.

    @ivar source: the source tree, without what tests and builds have left in it.
    """

    def __init__(self, folder: Path) -> None:
        """
        Copy the source tree, build both archives, and make the environment.
        """
        super().__init__(folder)
        self.source = folder / "source"
        shutil.copytree(ROOT, self.source, ignore=LEFTOVERS)
        # Without further options, the wheel is built from the source archive.
        self.execute(
            *[sys.executable, "-m", "build", "--no-isolation"],
            *["--outdir", str(folder / "dist"), str(self.source)],
        )


@cache
def environment() -> Built:
    """
    Make the environment of all tests, when the first one asks for it.
    """
    folder = tempfile.mkdtemp()
    # Not setUpClass, which trial does not call.
    atexit.register(shutil.rmtree, folder)
    return Built(Path(folder))


class PackagingTests(SynchronousTestCase):
    """
    Each way to install, as C{pip} does it.
    """

    def setUp(self) -> None:
        """
        Find the environment.
        """
        self.environment = environment()

    def checkInstalled(self, *what: str) -> Path:
        """
        Install, see that all works, uninstall, and see that nothing is left.

        @param what: what C{pip install} is told.
        @return: where the package was imported from.
        """
        here = self.environment
        before = here.files()
        here.pip("install", *OFFLINE, *what)
        self.assertIn("Answer text in upper case.", here.python(TWISTD, "--help"))
        self.assertIn("--flush-after", here.python(TWISTD, "upper", "--help"))
        client = here.folder / "venv/bin/upper-client"
        self.assertIn("--port", here.execute(str(client), "--help"))
        command = here.folder / "venv/bin/upper"
        self.assertIn("UPPER_PORT", here.execute(str(command), "--help"))
        self.assertRegex(here.execute(str(command), "--version"), r"^upper \d")
        home = here.python("import upperproto; print(upperproto.__file__)")
        here.pip("uninstall", "--yes", "upperproto")
        self.assertFalse(client.exists() or command.exists())
        self.assertEqual(here.files(), before)
        self.assertNotIn("upper case", here.python(TWISTD, "--help"))
        return Path(home).parent

    def test_wheel(self) -> None:
        """
        The wheel, built from the source archive, holds the package, and of
        C{twisted/} the plugins alone; besides, what completes its commands in a
        shell. It can be installed.
        """
        [wheel] = self.environment.folder.glob("dist/*.whl")
        modules = {
            str(path.relative_to(self.environment.source))
            for path in self.environment.source.glob("upperproto/**/*")
            if path.suffix in {".py", ".typed"}
        }
        with zipfile.ZipFile(wheel) as archive:
            names = {each for each in archive.namelist() if ".dist-info/" not in each}
        plugins = {f"twisted/plugins/upper_{name}.py" for name in ("faults", "plugin")}
        data = {name.partition(".data/data/")[2] for name in names} - {""}
        names = {name for name in names if ".data/" not in name}
        self.assertEqual(names, modules | plugins)
        self.assertEqual(
            {Path(name).name for name in data},
            {path.name for path in (ROOT / "completions").iterdir()},
        )
        home = self.checkInstalled(str(wheel))
        self.assertEqual(home, self.environment.sitePackages / "upperproto")

    def test_sourceArchive(self) -> None:
        """
        The source archive has all that is in the tree.
        """
        [sdist] = self.environment.folder.glob("dist/*.tar.gz")
        with tarfile.open(sdist) as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
        tree = {
            str(path.relative_to(self.environment.source))
            for folder in [
                *["benchmarks", "completions", "deploy", "docs", "tests", "twisted"],
                "upperproto",
            ]
            for path in (self.environment.source / folder).rglob("*")
            if path.is_file()
            and path.name != "dropin.cache"
            and path.parent.name != "__pycache__"
        }
        self.assertEqual(tree - names, set())

    def test_places(self) -> None:
        """
        Who makes a release says where the project lives, and the package tells it;
        otherwise it names no place.
        """
        program = (
            "import sys; from setuptools.build_meta import"
            " prepare_metadata_for_build_wheel as write; write(sys.argv[1])"
        )
        for home in ("", "https://forge.example/upperproto/"):
            folder = Path(tempfile.mkdtemp())
            self.addCleanup(shutil.rmtree, folder)
            copy, written = folder / "source", folder / "written"
            shutil.copytree(self.environment.source, copy)
            written.mkdir()
            subprocess.run(
                [sys.executable, "-c", program, str(written)],
                cwd=copy,
                env={**os.environ, "PROJECT_URL": home},
                stdout=subprocess.DEVNULL,
                timeout=TIME_LIMIT,
                check=True,
            )
            [metadata] = written.glob("*.dist-info/METADATA")
            found = re.findall(
                r"^Project-URL: (\w+), (.*)$", metadata.read_text(), re.M
            )
            self.assertEqual(len(found), 5 if home else 0)
            for name, place in found:
                self.assertTrue(place.startswith("https://forge.example/upperproto"))
                self.assertNotIn("upperproto//", place, name)

    def test_plain(self) -> None:
        """
        C{pip install .} works.
        """
        home = self.checkInstalled(str(self.environment.source))
        self.assertEqual(home, self.environment.sitePackages / "upperproto")

    def test_editable(self) -> None:
        """
        C{pip install -e .} works, and leaves the code where it is.
        """
        home = self.checkInstalled("--editable", str(self.environment.source))
        self.assertEqual(home, self.environment.source / "upperproto")
