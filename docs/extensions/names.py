"""
Where the names are described that docstrings, signatures and pages mention.

A name is looked up as Python would in the module that mentions it. So a page need not
write C{twisted.internet.interfaces.IAddress}, and nothing is downloaded to find it.
"""

from __future__ import annotations

import builtins
import inspect
from importlib import import_module
from pathlib import Path

from docutils import nodes
from pydoctor import model
from pydoctor.driver import get_system
from pydoctor.options import Options
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.nodes import make_refnode

PYTHON = "https://docs.python.org/3/library"
TWISTED = "https://docs.twisted.org/en/stable/api"


class Names:
    """
    All names of a package, as pydoctor reads them, and what they mean.

    @ivar system: pydoctor's model of the package.
    """

    def __init__(self, package: Path) -> None:
        """
        Read the package.
        """
        options = ["--docformat=epytext", "--quiet", "--quiet", str(package)]
        self.system = get_system(Options.from_args(options))
        self._homes = {
            module.source_path: module
            for module in self.system.objectsOfType(model.Module)
        }

    def home(self, described: model.Documentable) -> model.Module:
        """
        Find the module that has the source of something. C{upperproto.UpperFactory}
        is public, and its source is in C{upperproto.factory}.
        """
        return self._homes[described.source_path]

    def find(self, name: str) -> model.Documentable | None:
        """
        Find what has a full name.
        """
        return self.system.objForFullName(name)

    def expand(self, name: str, scope: str) -> str:
        """
        Make a full name of one that is mentioned.

        @param scope: the full name of what mentions it.
        @return: the full name, or the name itself where nothing is known of it.
        """
        if self.find(name) is not None:
            return name
        mentions = self.find(scope)
        while mentions is not None:
            for place in (mentions, self.home(mentions)):
                full = str(place.expandName(name))
                if full != name and self._known(full):
                    return full
            mentions = mentions.parent
        # A public name is mentioned as a part of the package, whose own modules
        # import nothing for it.
        public = self.find("upperproto")
        for each in (
            public.contents.values() if public and scope == "upperproto" else ()
        ):
            full = str(self.home(each).expandName(name))
            if full != name and self._known(full):
                return full
        return name

    def _known(self, full: str) -> bool:
        """
        Whether a full name is one of ours that is there, or somebody else's.
        """
        return not full.startswith("upperproto.") or self.find(full) is not None


def address(full: str) -> str | None:
    """
    Find where Python or Twisted describe a name.

    @return: its address; nothing where it is somebody else's, or unknown.
    """
    first, _, member = full.partition(".")
    if full == "None":
        return f"{PYTHON}/constants.html#None"
    if hasattr(builtins, first):
        value = getattr(builtins, first)
        isError = isinstance(value, type) and issubclass(value, BaseException)
        return f"{PYTHON}/{'exceptions' if isError else 'stdtypes'}.html#{full}"
    if first != "twisted":
        return None
    module = full
    names: list[str] = []
    while True:
        try:
            value = import_module(module)
        except ImportError:
            module, _, name = module.rpartition(".")
            names.insert(0, name)
        else:
            break
    for name in names:
        value = getattr(value, name, None)
    if names and not isinstance(value, type) and inspect.isroutine(value):
        page, _, member = full.rpartition(".")
        return f"{TWISTED}/{page}.html#{member}"
    return f"{TWISTED}/{full}.html"


def scopeOf(node: pending_xref) -> str:
    """
    Find what mentions a name.
    """
    return ".".join(filter(None, [node.get("py:module"), node.get("py:class")]))


class Expansion(SphinxPostTransform):
    """
    Make full names of those on a page, before Sphinx guesses which are meant.
    """

    default_priority = 9  # ReferencesResolver has 10.

    def run(self, **options: object) -> None:
        """
        Go through all names of a page.
        """
        names: Names = self.app.names  # type: ignore[attr-defined] # See resolve.
        for node in self.document.findall(pending_xref):
            if node.get("refdomain") == "py":
                full = names.expand(node["reftarget"], scopeOf(node))
                if "." in full:
                    node["reftarget"] = full
                    node.attributes.pop("refspecific", None)


def resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.Element | None:
    """
    Make a link of a name that Sphinx has not found.

    @return: the link; the bare word where the name is right and has no page; nothing,
        and so a warning, where the name is wrong.
    """
    names: Names = app.names  # type: ignore[attr-defined] # Set by apipages.
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    full = names.expand(target, scopeOf(node))
    described = env.get_domain("py").data["objects"].get(full)
    if described is not None:
        return make_refnode(
            app.builder, node["refdoc"], described.docname, described.node_id, content
        )
    where = address(full)
    if where is not None:
        return nodes.reference("", "", content, internal=False, refuri=where)
    if names.find(full) is not None or full != target or "." in full:
        # Ours, and private; or of a library that has no page that we know.
        return content
    return None
