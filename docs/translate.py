"""
Bring the catalogues of the translation and the Markdown pages up to date.

Run it after each change of a page: C{venv/bin/python docs/translate.py}. It adds what
is new to C{docs/locale/} and marks as fuzzy what has changed. Then it writes
C{docs/markdown/}: the pages as GitHub shows them, in English and in Chinese.
"""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from babel.messages.pofile import read_po, write_po

DOCS = Path(__file__).parent
LANGUAGE = "zh_CN"
CATALOGUES = DOCS / "locale" / LANGUAGE / "LC_MESSAGES"
MARKDOWN = DOCS / "markdown"

# The catalogue of each page that is translated; that of the tutorial has all its parts.
TRANSLATED = ["index", "tutorial", "client", "running", "protocol"]

# The other pages. Of these, only the titles are translated, for the sidebar and links.
TITLED = ["deploying", "embedding", "faults", "monitoring", "performance", "plugin"]
TITLED += ["reactor", "reliability", "shell"]


def build(builder: str, output: Path, *options: str) -> None:
    """
    Let Sphinx build the pages, without those of the API.

    @param builder: its name.
    @param output: the folder to write.
    @param options: more of C{sphinx-build}.
    """
    run(
        *("sphinx", "-E", "-b", builder, str(DOCS), str(output), *options),
        "-Dextensions=sphinx.ext.extlinks,sphinx_markdown_builder",
        "-Dlocale_dirs=locale",
        # No warnings: of those that count, the build of the site tells.
        *("-Dnitpicky=0", "-Q"),
    )


def run(*command: str) -> None:
    """
    Run a module of Python as a program.

    @param command: its name and its arguments.
    """
    subprocess.run([sys.executable, "-m", *command], check=True)


def updateCatalogues(folder: Path) -> None:
    """
    Compare the catalogues with the pages.

    @param folder: for what is in between.
    """
    build("gettext", folder, "-Dgettext_location=0")
    for pot in folder.glob("*.pot"):
        if pot.stem in TITLED:
            keepTitle(pot)
        elif pot.stem not in TRANSLATED:
            pot.unlink()
    run(
        *("sphinx_intl", "update", "-p", str(folder), "-d", str(DOCS / "locale")),
        *("-l", LANGUAGE),
    )
    for path in CATALOGUES.glob("*.po"):
        catalogue = read_po(io.BytesIO(path.read_bytes()))
        # What comes back to a page was translated before.
        for message in catalogue:
            name = str(message.id)
            old = catalogue.obsolete.get(name)
            if name and old is not None and (message.fuzzy or not message.string):
                message.string = old.string
                message.flags.discard("fuzzy")
                del catalogue.obsolete[name]
        written = io.BytesIO()
        write_po(written, catalogue)
        path.write_bytes(written.getvalue())


def keepTitle(path: Path) -> None:
    """
    Remove all messages from a template, but for the title of its page: the first one.

    @param path: the template.
    """
    catalogue = read_po(io.BytesIO(path.read_bytes()))
    _, *others = [message.id for message in catalogue if message.id]
    for each in others:
        catalogue.delete(each)
    written = io.BytesIO()
    write_po(written, catalogue)
    path.write_bytes(written.getvalue())


def sources(page: str) -> list[Path]:
    """
    Find what a Markdown page is made of.

    @param page: its name, such as C{tutorial/first}.
    """
    source = DOCS / f"{page}.rst"
    included = re.findall(
        r"^ *\.\. literalinclude:: (.*)", source.read_text(encoding="utf-8"), re.M
    )
    return [source, *((source.parent / each).resolve() for each in included)]


def fingerprint(page: str, language: str) -> str:
    """
    Tell whether a Markdown page is up to date: it changes with all that the page is
    made of.

    @param page: its name.
    @param language: C{en}, or that of the catalogues.
    """
    files = sources(page)
    if language != "en":
        files.append(CATALOGUES / f"{page.partition('/')[0]}.po")
    found = hashlib.sha256()
    for each in files:
        text = each.read_text(encoding="utf-8")
        # Not a change of the text: where it stands, and when it was translated.
        found.update(re.sub(r'^(#.*|"[\w-]+: .*")\n', "", text, flags=re.M).encode())
    return found.hexdigest()[:16]


def pages(language: str) -> list[str]:
    """
    List the pages that there are in Markdown.

    @param language: C{en}, or that of the catalogues.
    """
    names = [each.relative_to(DOCS).with_suffix("") for each in DOCS.rglob("*.rst")]
    return sorted(
        str(name)
        for name in names
        if name.parts[0] not in ("api", "index", "man", "_build")
        and (language == "en" or name.parts[0] in TRANSLATED)
    )


def direct(text: str, page: str, language: str) -> str:
    """
    Let the links of a page lead to where things are.

    @param text: the page, as it was built.
    @param page: its name.
    @param language: as L{pages} has it.
    """
    known = pages(language)
    up = "../" * page.count("/")
    outside = up + "../" * (language != "en") + "../"
    source = (DOCS / f"{page}.rst").read_text(encoding="utf-8")

    def link(found: re.Match[str]) -> str:
        target = str(Path(page).parent / found[2])
        target = re.sub(r"[\w-]+/\.\./", "", target)
        if target in known:
            return found[0]
        if target in pages("en"):
            return f"[{found[1]}]({up}../{target}.md{found[3] or ''})"
        # What only the site has.
        return found[1]

    def download(found: re.Match[str]) -> str:
        where = re.search(rf":download:`[^`]*<([^`<]*{re.escape(found[1])})>`", source)
        return f"]({outside}{where[1] if where else found[1]})"

    text = re.sub(r"\[([^]]*)\]\((?!\w+:)([\w/.-]+)\.md(#[^)]*)?\)", link, text)
    text = re.sub(r"\]\(_downloads/\w+/([\w.-]+)\)", download, text)
    # The examples, whose lines have numbers there, and the pictures.
    text = re.sub(r"`docs/(examples/[\w.-]+)`", rf"[`docs/\1`]({outside}\1)", text)
    return re.sub(r"\]\(([\w/.-]+\.svg)\)", rf"]({outside}\1)", text)


def polish(text: str, page: str, language: str) -> str:
    """
    Write for GitHub what the builder writes for others.

    @param text: a page, as it was built.
    @param page: its name.
    @param language: as L{pages} has it.
    """
    # GitHub knows no definition lists.
    colon = ": " if language == "en" else "\uff1a"
    text = re.sub(r"(?m)^( *)(?![ \-:#|])(.+)\n\1: +", rf"\1- \2{colon}", text)
    # Chinese has no spaces between words, also where one of them is emphasised.
    text = re.sub(r"(?<=[\u3000-\u9fff\uff00-\uffef]) (?=\*+[\u4e00-\u9fff])", "", text)
    # A paragraph of a list, and a line of the source in a cell of a table.
    text = re.sub(r"\n +<br/>\n", "\n\n", text)
    text = re.sub(r"<br/>(?!`test_)", " ", text)
    # A link within a page has no target.
    text = re.sub(
        r"\[([^\]]+)\]\(\)",
        lambda found: f"[{found[1]}](#{'-'.join(found[1].lower().split())})",
        text,
    )
    # Spaces where a line begins with emphasis, and empty lines where code ends.
    text = re.sub(r"(?m)^(- )? +(?=\*)", r"\1", text)
    text = re.sub(r"\n\n\n+```\n", "\n```\n", text)
    text = direct(text, page, language)
    up = "../" * page.count("/")
    other, name = (LANGUAGE, "中文") if language == "en" else ("en", "English")
    here, there = (page + ".md", "")
    if page in pages(other):
        there = f"{LANGUAGE}/{here}" if language == "en" else f"../{here}"
    mark = f"<!-- {fingerprint(page, language)}: made by docs/translate.py -->\n\n"
    return mark + (f"[{name}]({up}{there})\n\n" if there else "") + text


def writeMarkdown(folder: Path) -> None:
    """
    Write the pages anew.

    @param folder: for what is in between.
    """
    if MARKDOWN.exists():
        shutil.rmtree(MARKDOWN)
    for language in ["en", LANGUAGE]:
        built = folder / language
        output = MARKDOWN if language == "en" else MARKDOWN / language
        build("markdown", built, f"-Dlanguage={language}")
        for page in pages(language):
            path = output / f"{page}.md"
            path.parent.mkdir(parents=True, exist_ok=True)
            text = (built / f"{page}.md").read_text(encoding="utf-8")
            path.write_text(polish(text, page, language), encoding="utf-8")


def main() -> None:
    """
    Do both.
    """
    with tempfile.TemporaryDirectory() as name:
        updateCatalogues(Path(name, "gettext"))
        writeMarkdown(Path(name, "markdown"))


if __name__ == "__main__":
    main()
