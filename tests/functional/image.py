"""
An image of C{deploy/Containerfile}, built by C{buildah} without a network: its base is
the Python that runs the tests, and its packages are those of their environment.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from tests.functional.processes import TIME_LIMIT

ROOT = Path(__file__).parents[2]

# Names without a registry.
BASE, IMAGE = "localhost/python:test", "localhost/upperproto:test"

# What the image needs, for TLS as well, and what builds it.
PACKAGES = ("twisted", "pyopenssl", "service-identity", "idna", "setuptools", "wheel")

# Of the standard library, a service needs no tests and no windows.
UNNEEDED = ("test", "tests", "idlelib", "tkinter", "turtledemo", "site-packages")
UNNEEDED_FILES = ("dist-packages", "__pycache__", "*.a", "config-*")


def packWheel(found: Distribution, folder: Path) -> list[Path]:
    """
    Make a wheel again of a distribution that is installed.

    @param folder: where to write it.
    @return: its modules in C, as they are installed.
    """
    files = {
        str(each): Path(str(found.locate_file(each)))
        for each in found.files or ()
        # Its commands, outside of site-packages, are made by whoever installs it.
        if ".." not in each.parts and "__pycache__" not in each.parts
    }
    folders = {each.split("/")[0] for each in files}
    [information] = [each for each in folders if each.endswith(".dist-info")]
    described = files[f"{information}/WHEEL"].read_text(encoding="utf-8")
    tag = re.findall(r"^Tag: (?!py2-)(.*)$", described, re.MULTILINE)[0]
    stem = information.removesuffix(".dist-info")
    generated = {
        f"{information}/{each}"
        for each in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
    }
    with zipfile.ZipFile(folder / f"{stem}-{tag}.whl", "w") as wheel:
        for name, path in files.items():
            if name not in generated:
                wheel.write(path, name)
        record = "".join(f"{name},,\n" for name in [*wheel.namelist()])
        wheel.writestr(f"{information}/RECORD", f"{record}{information}/RECORD,,\n")
    return [path for path in files.values() if path.suffix == ".so"]


def packWheels(folder: Path) -> list[Path]:
    """
    Make wheels of all that the image needs.

    @return: their modules in C, as they are installed.
    """
    folder.mkdir()
    waiting, done = [*PACKAGES], set()
    modules = []
    while waiting:
        try:
            found = distribution(waiting.pop())
        except PackageNotFoundError:
            continue  # It is needed elsewhere only: on another Python or system.
        if found.name not in done:
            done.add(found.name)
            modules += packWheel(found, folder)
            waiting += [
                re.split(r"[^\w.-]", each)[0]
                for each in found.requires or ()
                if "extra ==" not in each
            ]
    return modules


def libraries(file: Path) -> set[Path]:
    """
    Find the shared libraries that a program or a library needs.
    """
    listed = subprocess.run(
        ["ldd", str(file)], capture_output=True, encoding="utf-8", check=False
    ).stdout
    return {Path(each) for each in re.findall(r"(/\S+) \(0x", listed)}


def copyPython(root: Path, modules: list[Path]) -> None:
    """
    Copy a shell, and the Python that runs this, to where they are here.

    @param root: the root of another file system.
    @param modules: those of packages, in C, for which there has to be all they need.
    """
    python = Path(sys.base_prefix, "bin", f"python{sysconfig.get_python_version()}")
    library = Path(sys.base_prefix, "lib", f"python{sysconfig.get_python_version()}")
    needed = {Path("/bin/sh"), python, *libraries(Path("/bin/sh")), *libraries(python)}
    for module in [*library.glob("lib-dynload/*.so"), *modules]:
        needed |= libraries(module)
    for each in needed:
        target = root / each.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(each, target)
    # Debian keeps the pip of its Python in the second of these.
    for folder in (library, Path("/usr/share/python-wheels")):
        if folder.exists():
            shutil.copytree(
                folder,
                root / folder.relative_to("/"),
                ignore=shutil.ignore_patterns(*UNNEEDED, *UNNEEDED_FILES),
            )
    (root / python.relative_to("/")).with_name("python3").symlink_to(python.name)
    for name in ("dev", "proc", "tmp"):
        (root / name).mkdir()
    (root / "tmp").chmod(0o1777)


class Image:
    """
    The image, in a store of its own.

    @ivar configuration: how its service is started, as Docker has it.
    """

    def __init__(self, folder: Path) -> None:
        """
        Build it.

        @param folder: where everything is.
        """
        self._folder = folder
        policy = folder / "policy.json"
        policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        modules = packWheels(folder / "wheels")
        base = self.buildah("from", "scratch")
        copyPython(Path(self.buildah("mount", base)), modules)
        path = f"PATH={sys.base_prefix}/bin:/usr/bin:/bin"
        self.buildah("config", "--env", path, base)
        self.buildah("commit", "--rm", f"--signature-policy={policy}", base, BASE)
        arguments = {
            "BASE": BASE,
            "EXTRAS": "tls",
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": "/wheels",
        }
        self.buildah(
            *("build", "--isolation=chroot", "--format=docker", "--pull-never"),
            *(f"--signature-policy={policy}", f"--volume={folder}/wheels:/wheels:ro"),
            *(f"--build-arg={name}={value}" for name, value in arguments.items()),
            *("-f", str(ROOT / "deploy/Containerfile"), "-t", IMAGE, str(ROOT)),
        )
        inspected = json.loads(self.buildah("inspect", "--type=image", IMAGE))
        self.configuration: dict[str, Any] = inspected["Docker"]["config"]
        self._container = self.buildah(
            "from", "--pull-never", f"--signature-policy={policy}", IMAGE
        )
        self.root = Path(self.buildah("mount", self._container))

    def command(self, *words: str) -> list[str]:
        """
        Put together a command of C{buildah}.
        """
        # The driver that needs nothing of the system.
        store = [f"--root={self._folder}/store", f"--runroot={self._folder}/run"]
        return ["buildah", *store, "--storage-driver=vfs", *words]

    def buildah(self, *words: str) -> str:
        """
        Run a command of C{buildah}.

        @return: what it prints.
        """
        ended = subprocess.run(
            self.command(*words),
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=10 * TIME_LIMIT,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout.strip()

    def inside(self, *words: str, **variables: str) -> list[str]:
        """
        Put together a command that runs words in the container: as its user, with its
        variables, on a root file system that nothing can be written to.

        @param variables: they are added to those of the image.
        """
        user = self.configuration["User"]
        environment = [
            *self.configuration["Env"],
            *(f"{name}={value}" for name, value in variables.items()),
        ]
        readOnly = (
            'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"'
            ' && mount --bind /dev "$1/dev" && mount --bind /proc "$1/proc"'
            ' && shift && exec "$@"'
        )
        return [
            *("unshare", "--mount", "sh", "-c", readOnly, "sh", str(self.root)),
            *("env", "-i", *environment),
            *(shutil.which("chroot") or "", f"--userspec={user}", str(self.root)),
            *words,
        ]

    def remove(self) -> None:
        """
        Remove all that was made.
        """
        self.buildah("rm", "--all")
        self.buildah("rmi", "--all", "--force")
        shutil.rmtree(self._folder)
