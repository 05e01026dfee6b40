"""
How Sphinx builds these pages, and pydoctor the API's.
"""

import builtins
import inspect
import pkgutil
import zlib
from importlib import import_module, metadata
from pathlib import Path

from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.directives.code import CodeBlock

import upperproto

FOLDER = Path(__file__).parent
BUILD = FOLDER / "_build"

project = "upperproto"
author = "The upperproto developers"
copyright = author  # noqa: A001 # Sphinx calls it so.
version = release = metadata.version("upperproto")

extensions = [
    "pydoctor.sphinx_ext.build_apidocs",
    "sphinx.ext.extlinks",
    "sphinx.ext.intersphinx",
]
exclude_patterns = ["_build"]
nitpicky = True
smartquotes = False

html_theme = "furo"
html_title = "upperproto"
html_copy_source = False
html_show_sphinx = False


def inventory(name: str, places: dict[str, str]) -> str:
    """
    Write a Sphinx inventory, so that others' names become links although
    nothing is downloaded.

    @param name: whose names they are.
    @param places: names, each with where it is described.
    @return: the path of the inventory.
    """
    head = (
        "# Sphinx inventory version 2\n"
        f"# Project: {name}\n"
        "# Version: \n"
        "# The remainder of this file is compressed using zlib.\n"
    )
    # Links by :py:obj: look at any kind, so the commonest stands for all.
    lines = "".join(f"{each} py:class 1 {place} -\n" for each, place in places.items())
    BUILD.mkdir(exist_ok=True)
    path = BUILD / f"{name}.inv"
    path.write_bytes(head.encode() + zlib.compress(lines.encode()))
    return str(path)


def pythonPlaces() -> dict[str, str]:
    """
    Where Python describes its built-in names.
    """
    places = {"None": "constants.html#None"}
    for name, value in vars(builtins).items():
        if not isinstance(value, type):
            continue
        page = "exceptions" if issubclass(value, BaseException) else "stdtypes"
        places[name] = f"{page}.html#{name}"
        for member in vars(value):
            places[f"{name}.{member}"] = f"{page}.html#{name}.{member}"
    return places


def twistedPlaces() -> dict[str, str]:
    """
    Where Twisted describes the names that our modules import.
    """
    places = {}
    for module in pkgutil.walk_packages(upperproto.__path__, "upperproto."):
        if module.name.endswith("__main__"):
            # That is a program.
            continue
        for name, value in vars(import_module(module.name)).items():
            home = getattr(value, "__module__", None) or ""
            if home.startswith("twisted.") and hasattr(value, "__name__"):
                place = f"{home}.{value.__name__}"
                page = f"{place}.html"
                if inspect.isfunction(value):
                    page = f"{home}.html#{value.__name__}"
                # By the short name, too: pydoctor moves what upperproto
                # re-exports, and looks for the names in its docstrings there.
                places[place] = places[name] = page
    return places


PYTHON = "https://docs.python.org/3/library"
TWISTED = "https://docs.twisted.org/en/stable/api"
_python = inventory("python", pythonPlaces())
_twisted = inventory("twisted", twistedPlaces())

extlinks = {"twisted": (f"{TWISTED}/twisted.%s.html", "%s")}
intersphinx_mapping = {"python": (PYTHON, _python)}

pydoctor_url_path = "api"
pydoctor_args = [
    "--project-name=upperproto",
    "--project-url=../index.html",
    f"--project-version={release}",
    f"--project-base-dir={FOLDER.parent}",
    "--docformat=epytext",
    "--theme=readthedocs",
    "--html-output={outdir}/api",
    f"--intersphinx-file={_python}::{PYTHON}",
    f"--intersphinx-file={_twisted}::{TWISTED}",
    "--warnings-as-errors",
    str(FOLDER.parent / "upperproto"),
]


def restoreCodeBlock(app: Sphinx) -> None:
    """
    Give Sphinx back its C{code-block}: docutils has one table of directives,
    and pydoctor, in the same process, has put its own there.
    """
    directives.register_directive("code-block", CodeBlock)


def setup(app: Sphinx) -> None:
    """
    Mend what the extensions leave.
    """
    # Later than pydoctor, whose priority is 490.
    app.connect("builder-inited", restoreCodeBlock, priority=491)
