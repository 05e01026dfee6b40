"""
The pages of the API: public names first, the modules behind them apart.

They are written before Sphinx reads the pages, and they are pages as all others: one
theme, one search. What has no docstring, and what is private, is left out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from pydoctor import model
from pydoctor.epydoc.markup import ParseError
from pydoctor.epydoc.markup.epytext import parse_docstring
from pydoctor.epydoc2stan import get_parsed_signature
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from names import Expansion, Names, resolve

Kind = model.DocumentableKind

HEAD = """\
API
===

What you may import, and what of it is used how. Each name is imported from
``upperproto``. :doc:`internals` has the modules behind them; these may change with any
release, but for :py:obj:`upperproto.service.UpperService` and
:py:obj:`upperproto.tap.makeService`, which :doc:`/embedding` uses.

"""

INTERNALS = """\
Internals
=========

The modules and packages behind the public names, in the order of their names. This is
for those who change the code; CONTRIBUTING.rst says in which order to read it.

"""


class Docstring(SphinxDirective):
    """
    C{.. docstring:: NAME}: what the docstring of that name says.
    """

    required_arguments = 1
    option_spec = {"summary": lambda word: True}  # noqa: RUF012 # Sphinx has it so.

    def run(self) -> list[nodes.Node]:
        """
        Make nodes of a docstring; with C{:summary:}, of its first paragraph.
        """
        names: Names = self.env.app.names  # type: ignore[attr-defined] # See setup.
        described = names.find(self.arguments[0])
        assert described is not None, self.arguments
        text = described.docstring or ""
        field = ivar(described) if not text else None
        if text:
            self.env.note_dependency(str(described.source_path))
        errors: list[ParseError] = []
        parsed = parse_docstring(text, errors)
        if errors:
            raise self.error(f"{described.fullName()}: {errors[0].descr()}")
        scope = described.parent if field else described
        body = (field.body() if field else parsed).to_node().children
        body = [self._linked(node, scope) for node in body]
        if "summary" in self.options:
            return body[:1]
        fields = [each for each in parsed.fields if each.tag() not in ("ivar", "cvar")]
        if fields:
            listed = nodes.field_list()
            for each in fields:
                name = " ".join(filter(None, [each.tag(), each.arg()]))
                content = [self._linked(n, described) for n in each.body().to_node()]
                listed += nodes.field(
                    "", nodes.field_name("", name), nodes.field_body("", *content)
                )
            body.append(listed)
        return body

    def _linked(self, node: nodes.Node, scope: model.Documentable) -> nodes.Node:
        """
        Make links of the names that a docstring mentions.

        @param scope: where they are looked up.
        """
        node = node.deepcopy()
        for mentioned in list(node.findall(nodes.title_reference)):
            target = mentioned.get("refuri")
            mentioned.replace_self(
                pending_xref(
                    "",
                    nodes.literal("", mentioned.astext()),
                    refdomain="py",
                    reftype="obj",
                    reftarget=target,
                    refdoc=self.env.docname,
                    refwarn=True,
                    **{"py:module": scope.fullName(), "py:class": None},
                )
            )
        return node


def ivar(described: model.Documentable) -> Any:
    """
    Find what the docstring of a class says of one of its attributes.

    @return: the field, as pydoctor reads it; or L{None}.
    """
    if not isinstance(described.parent, model.Class):
        return None
    parsed = parse_docstring(described.parent.docstring or "", [])
    for field in parsed.fields:
        if field.tag() in ("ivar", "cvar") and field.arg() == described.name:
            return field
    return None


def shown(parent: model.Documentable) -> Iterator[model.Documentable]:
    """
    Find what is described of a module or class: what is public and has a docstring.
    """
    for each in parent.contents.values():
        if each.name.startswith("_") and each.name != "__call__":
            continue
        if isinstance(each, model.Module):
            continue
        if each.docstring or ivar(each):
            yield each


def signature(function: model.Function) -> str:
    """
    Write the parameters of a function, and for a method not its C{self}.
    """
    parsed = get_parsed_signature(function)
    text = parsed.to_text() if parsed else "()"
    if function.kind in (Kind.METHOD, Kind.CLASS_METHOD):
        for own in ("self", "cls"):
            text = text.replace(f"({own}, ", "(").replace(f"({own})", "()")
    return " ".join(text.split())


def directive(each: model.Documentable, depth: int) -> Iterator[str]:
    """
    Write what describes a name, and what is in it.

    @param depth: how far it is indented.
    """
    space = "   " * depth
    options = []
    inside = isinstance(each.parent, model.Class)
    words = each.name
    if isinstance(each, model.Class):
        kind = "exception" if each.kind is Kind.EXCEPTION else "class"
        made = each.contents.get("__init__")
        if isinstance(made, model.Function):
            words += signature(made)
    elif isinstance(each, model.Function):
        kind = "method" if inside else "function"
        words += signature(each)
        options += ["async"] if each.is_async else []
        options += ["classmethod"] if each.kind is Kind.CLASS_METHOD else []
        options += ["staticmethod"] if each.kind is Kind.STATIC_METHOD else []
    else:
        kind = "attribute" if inside else "data"
        if each.kind is Kind.PROPERTY:
            kind = "property"
        annotation = getattr(each, "annotation", None)
        if annotation is not None:
            options.append(f"type: {ast.unparse(annotation)}")
    yield f"{space}.. py:{kind}:: {words}"
    for option in options:
        yield f"{space}   :{option}" + ("" if ":" in option else ":")
    yield ""
    if isinstance(each, model.Class):
        for label, bases in (
            ("Bases", each.bases),
            ("Implements", getattr(each, "implements_directly", [])),
        ):
            bases = [base for base in bases if base not in ("object", "Interface")]
            if bases:
                links = ", ".join(f":py:obj:`~{base}`" for base in bases)
                yield from [f"{space}   {label}: {links}", ""]
    yield from [f"{space}   .. docstring:: {each.fullName()}", ""]
    if isinstance(each, model.Class):
        made = each.contents.get("__init__")
        if made is not None and made.docstring:
            yield from [f"{space}   .. docstring:: {made.fullName()}", ""]
        for member in shown(each):
            yield from directive(member, depth + 1)


def moduleText(names: Names, module: model.Module, line: str) -> Iterator[str]:
    """
    Write the section of a module, and those of the modules in it.

    @param line: what its heading is underlined with.
    """
    name = module.fullName()
    yield from [name, line * len(name), "", f".. py:module:: {name}", ""]
    yield from [f".. docstring:: {name}", ""]
    public = names.find("upperproto")
    assert public is not None
    for each in public.contents.values():
        if names.home(each) is module and not isinstance(each, model.Module):
            yield from [f"Public: :py:obj:`upperproto.{each.name}`.", ""]
    for each in shown(module):
        yield from directive(each, 0)
    for inner in submodules(module):
        yield from moduleText(names, inner, "-" if line == "=" else "~")


def submodules(module: model.Module) -> list[model.Module]:
    """
    Find the modules in a package, but for programs.
    """
    inner = [
        each for each in module.contents.values() if isinstance(each, model.Module)
    ]
    return sorted(
        (each for each in inner if each.name != "__main__"), key=lambda each: each.name
    )


def write(path: Path, lines: list[str]) -> None:
    """
    Write a page, unless it is there and the same: Sphinx then need not read it.
    """
    text = "\n".join(lines) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def writePages(app: Sphinx) -> None:
    """
    Read the package, and write the pages.
    """
    names = Names(Path(app.srcdir).parent / "upperproto")
    app.names = names  # type: ignore[attr-defined] # Directives find it there.
    folder = Path(app.srcdir, "api")
    folder.mkdir(exist_ok=True)
    package = names.find("upperproto")
    assert isinstance(package, model.Package)
    public = sorted(shown(package), key=lambda each: each.name.lower())
    index = [HEAD, ".. py:module:: upperproto", "", ".. docstring:: upperproto", ""]
    for each in public:
        index += [
            f":py:obj:`~{each.fullName()}`",
            f"   .. docstring:: {each.fullName()}",
        ]
        index += ["      :summary:", ""]
    for each in public:
        index += [each.name, "-" * len(each.name), "", *directive(each, 0)]
    index += [".. toctree::", "   :hidden:", "", "   internals"]
    write(folder / "index.rst", index)
    inner = submodules(package)
    pages = [INTERNALS]
    for module in inner:
        pages += [f":doc:`{module.fullName()} <{module.name}>`"]
        pages += [f"   .. docstring:: {module.fullName()}", "      :summary:", ""]
        write(folder / f"{module.name}.rst", [*moduleText(names, module, "=")])
    pages += [".. toctree::", "   :hidden:", ""]
    pages += [f"   {module.fullName()} <{module.name}>" for module in inner]
    write(folder / "internals.rst", pages)
    known = {module.name for module in inner} | {"index", "internals"}
    for path in folder.glob("*.rst"):
        if path.stem not in known:
            path.unlink()


def setup(app: Sphinx) -> dict[str, bool]:
    """
    Tell Sphinx.
    """
    app.add_directive("docstring", Docstring)
    app.connect("builder-inited", writePages)
    app.add_post_transform(Expansion)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": False}
