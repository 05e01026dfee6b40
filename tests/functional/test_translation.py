"""
The Chinese of the pages, and the Markdown that is made of them, are complete and up to
date.
"""

from __future__ import annotations

import re
import runpy
import tempfile
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def load(path: Path) -> Catalog:
    """
    Read a catalogue.
    """
    with path.open("rb") as file:
        return read_po(file)


def marks(text: str) -> set[str]:
    """
    Find what no translation changes: literals, and where roles lead.
    """
    literals = set(re.findall(r"``[^`]+``", text))
    roles = re.findall(r"(:[\w:]+:`)(?:[^`<]*<)?([^`<>]+)>?`", text)
    return literals | {f"{role}{target}`" for role, target in roles}


def fencedBlocks(page: str) -> list[str]:
    """
    Find the blocks of code in a Markdown page.
    """
    return re.findall(r"^```.*?^```$", page, re.DOTALL | re.MULTILINE)


class CatalogueTests(SynchronousTestCase):
    """
    The catalogues of the translated pages, beside those that Sphinx makes now.
    """

    def setUp(self) -> None:
        """
        Find ours.
        """
        self.names: dict[str, Any] = runpy.run_path(str(DOCS / "translate.py"))
        self.ours = {
            page: load(self.names["CATALOGUES"] / f"{page}.po")
            for page in self.names["TRANSLATED"]
        }

    def test_complete(self) -> None:
        """
        Each message is translated, and no translation is marked as fuzzy.
        """
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.names["build"]("gettext", Path(folder.name), "-Dgettext_location=0")
        untranslated, fuzzy, messages = [], [], 0
        for page in self.ours:
            fresh = load(Path(folder.name, f"{page}.pot"))
            for message in fresh:
                if not message.id:
                    continue
                messages += 1
                ours = self.ours[page].get(message.id)
                if ours is None or not ours.string:
                    untranslated.append((page, message.id))
                elif ours.fuzzy:
                    fuzzy.append((page, message.id))
        self.assertEqual((untranslated, fuzzy), ([], []))
        self.assertGreater(messages, 700)

    def test_titles(self) -> None:
        """
        A page that is not translated has a title in Chinese, which says that the page
        is in English.
        """
        others = {each.stem for each in DOCS.glob("*.rst")} - set(self.ours)
        self.assertEqual(set(self.names["TITLED"]), others)
        for page in others:
            text = (DOCS / f"{page}.rst").read_text(encoding="utf-8")
            title = re.search(r"^(.+)\n=+$", text, re.MULTILINE)
            assert title is not None
            catalogue = load(self.names["CATALOGUES"] / f"{page}.po")
            [message] = [each for each in catalogue if each.id]
            self.assertEqual((message.id, message.fuzzy), (title[1], False))
            self.assertRegex(str(message.string), "^[\u4e00-\u9fff]+\uff08英文\uff09$")

    def test_marks(self) -> None:
        """
        A translation has the literals and the targets of its message. What has more
        than a few words of English is Chinese.
        """
        for page, ours in self.ours.items():
            for message in ours:
                text, chinese = str(message.id), str(message.string)
                self.assertEqual(marks(text), marks(chinese), (page, text))
                prose = re.sub("``[^`]+``|:[^`]+`[^`]+`", "", text)
                words = re.findall("[A-Za-z]{2,}", prose)
                if len(words) > 3:
                    self.assertRegex(chinese, "[\u4e00-\u9fff]", (page, text))


class MarkdownTests(SynchronousTestCase):
    """
    C{docs/markdown}, and the two READMEs that lead there.
    """

    def test_upToDate(self) -> None:
        """
        No page and no translation has changed since they were written by
        C{docs/translate.py}; none is missing, and none too many.
        """
        names = runpy.run_path(str(DOCS / "translate.py"))
        written = {}
        for language in ["en", names["LANGUAGE"]]:
            folder = DOCS / "markdown"
            if language != "en":
                folder /= language
            for page in names["pages"](language):
                path = folder / f"{page}.md"
                self.assertTrue(path.exists(), path)
                mark = path.read_text(encoding="utf-8").split(":")[0]
                written[path] = mark
                self.assertEqual(
                    mark, f"<!-- {names['fingerprint'](page, language)}", path
                )
        self.assertEqual(set(written), set((DOCS / "markdown").rglob("*.md")))

    def test_links(self) -> None:
        """
        Each link to a file leads to one, and each link to a place in a page to a place
        that is there.
        """
        pages = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
        pages += (DOCS / "markdown").rglob("*.md")
        for page in pages:
            text = page.read_text(encoding="utf-8")
            text = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)
            for link in re.findall(r"\]\(([^)\s]*)\)", text):
                self.assertNotEqual(link, "", page)
                if re.match(r"\w+:", link):
                    continue
                name, _, place = link.partition("#")
                target = (page.parent / name).resolve() if name else page
                self.assertTrue(target.exists(), (page, link))
                if place:
                    there = target.read_text(encoding="utf-8")
                    headings = re.findall(r"^#+ (.*)$", there, re.MULTILINE)
                    slugs = {each.lower().replace(" ", "-") for each in headings}
                    slugs.update(re.findall(r'<a id="(.*?)">', there))
                    self.assertIn(place, slugs, (page, link))

    def test_readmes(self) -> None:
        """
        Both READMEs have the same commands and programs, in the same order, and each
        begins with a link to the other one.
        """
        english = (ROOT / "README.md").read_text(encoding="utf-8")
        chinese = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")
        self.assertEqual(fencedBlocks(chinese), fencedBlocks(english))
        self.assertGreater(len(fencedBlocks(english)), 6)
        self.assertTrue(english.startswith("[中文](README.zh-CN.md)\n"))
        self.assertTrue(chinese.startswith("[English](README.md)\n"))
