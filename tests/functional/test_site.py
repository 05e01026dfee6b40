"""
The site and the man pages: they are built, their links lead somewhere, and they fit on
a phone.
"""

from __future__ import annotations

import atexit
import functools
import html
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from functools import cache
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from twisted.trial.unittest import SynchronousTestCase

import upperproto
from tests.functional.processes import TIME_LIMIT
from tests.test_docs import knownOptions
from upperproto.command.options import COMMANDS, OPTIONS

ROOT = Path(__file__).parents[2]

# Where the Chinese pages come from: with it, each page links to the other language.
CATALOGUES = ROOT / "docs/locale/zh_CN/LC_MESSAGES"

# Loads each page in a frame of each width, and writes down what sticks out of it.
_MEASURE = """
<body><script>
(async () => {
  const out = [];
  for (const width of WIDTHS) for (const page of PAGES) {
    const frame = document.createElement("iframe");
    frame.style.width = width + "px";
    frame.src = page;
    await new Promise(loaded => {
      frame.onload = loaded;
      document.body.append(frame);
    });
    const content = frame.contentDocument;
    for (const each of content.querySelectorAll("article *"))
      if (!each.closest(".table-wrapper, pre")
          && each.getBoundingClientRect().right > width)
        out.push([width, page, each.textContent.slice(0, 80)]);
    out.push([width, page, ""]);
    frame.remove();
  }
  const result = document.createElement("pre");
  result.textContent = JSON.stringify(out);
  document.body.replaceChildren(result);
})();
</script></body>
"""


def build(builder: str) -> Path:
    """
    Build the pages, as C{.ci/run} does, where a warning is an error.

    @return: the folder that has them.
    """
    folder = Path(tempfile.mkdtemp())
    # Not addCleanup: all tests use it.
    atexit.register(shutil.rmtree, folder)
    # The pages of the API are written beside the others, and not twice at a time.
    docs = folder / "tree/docs"
    ignored = shutil.ignore_patterns("_build", "api", "__pycache__")
    shutil.copytree(ROOT / "docs", docs, ignore=ignored)
    for name in ("deploy", "setup.cfg", "twisted", "upperproto", "README.md"):
        (folder / "tree" / name).symlink_to(ROOT / name)
    languages = {"en": "out"}
    if builder == "html" and CATALOGUES.exists():
        languages["zh_CN"] = "out/zh"
    for language, out in languages.items():
        built = subprocess.run(
            [
                *[sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going"],
                *["-b", builder, "-D", f"language={language}"],
                *["-d", str(folder / language), str(docs), str(folder / out)],
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=10 * TIME_LIMIT,
        )
        if built.returncode:
            raise AssertionError(built.stdout)
    return folder / "out"


@cache
def site() -> Path:
    """
    Build the site, when the first test asks for it.
    """
    return build("html")


class Page(HTMLParser):
    """
    What a page links to, and what can be linked to in it.

    @ivar links: the targets of its links.
    @ivar anchors: the ids in it.
    """

    def __init__(self, text: str) -> None:
        """
        Read a page.
        """
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """
        Take its links and anchors.
        """
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            if (tag, name) in {("a", "href"), ("img", "src"), ("script", "src")}:
                self.links.append(value or "")


class SiteTests(SynchronousTestCase):
    """
    The pages that a browser shows.
    """

    def test_links(self) -> None:
        """
        Each link within the site leads to a page that is there, and to its anchor.
        """
        pages = {
            path.resolve(): Page(path.read_text(encoding="utf-8"))
            for path in site().rglob("*.html")
        }
        checked = 0
        for path, page in pages.items():
            for link in page.links:
                parts = urlsplit(link)
                if parts.scheme or parts.netloc:
                    continue
                target = path
                if parts.path:
                    target = (path.parent / unquote(parts.path)).resolve()
                self.assertTrue(target.exists(), f"{path.name}: {link}")
                if parts.fragment and target in pages:
                    anchors = pages[target].anchors
                    self.assertIn(
                        unquote(parts.fragment), anchors, f"{path.name}: {link}"
                    )
                checked += 1
            if CATALOGUES.exists():
                other = (
                    "English"
                    if "zh" in path.relative_to(site().resolve()).parts
                    else "中文"
                )
                shown = f">{other}</a>" in path.read_text(encoding="utf-8")
                self.assertTrue(shown, path)
        self.assertGreater(checked, 1000)

    def test_readme(self) -> None:
        """
        Each link of a README leads to a file of the project, and to its heading.
        """
        readmes = list(ROOT.glob("README*.md"))
        for readme in readmes:
            text = readme.read_text(encoding="utf-8")
            for link in re.findall(r"\]\(([^)\s]+)\)", text):
                parts = urlsplit(link)
                if parts.scheme:
                    continue
                target = ROOT / unquote(parts.path) if parts.path else readme
                self.assertTrue(target.exists(), f"{readme.name}: {link}")
                if parts.fragment:
                    headings = re.findall(
                        r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE
                    )
                    anchors = {
                        re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-")
                        for each in headings
                    }
                    self.assertIn(unquote(parts.fragment), anchors, readme.name)
        self.assertGreaterEqual(len(readmes), 1)

    def test_api(self) -> None:
        """
        The first page of the API has the public names and no others; nothing on its
        pages is undocumented; the one search of the site finds them.
        """
        index = (site() / "api/index.html").read_text(encoding="utf-8")
        described = re.findall(r'<dt class="sig[^>]* id="upperproto\.(\w+)"', index)
        self.assertEqual(sorted(described), sorted(upperproto.__all__))
        for path in (site() / "api").glob("*.html"):
            page = path.read_text(encoding="utf-8")
            self.assertNotIn("Undocumented", page)
            self.assertNotRegex(page, r"<dd>\s*</dd>", path.name)
        search = (site() / "searchindex.js").read_text(encoding="utf-8")
        for page in ("api/index", "api/tap", "plugin", "man/upper"):
            self.assertIn(f'"{page}"', search)

    def test_chinese(self) -> None:
        """
        The pages in Chinese are Chinese, and their code is that of the English ones.
        """
        if not CATALOGUES.exists():
            self.skipTest("needs catalogues of the translation")
        pages = {
            name: (site() / f"zh/tutorial/{name}.html").read_text(encoding="utf-8")
            for name in ("halfclose", "lines")
        }
        self.assertIn('lang="zh-CN"', pages["halfclose"])
        for word in ["半关闭", "背压", "反应器", "docs/examples/last_word.py"]:
            self.assertIn(word, pages["halfclose"])
        self.assertIn("粘包", pages["lines"])
        self.assertIn("lineReceived", pages["lines"])

    def test_widths(self) -> None:
        """
        On a phone and on a large screen, nothing sticks out of a page.
        """
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        if chromium is None:
            self.skipTest("needs chromium")
        folder, widths = site(), [400, 1400]
        pages = [str(path.relative_to(folder)) for path in folder.rglob("*.html")]
        program = _MEASURE.replace("WIDTHS", json.dumps(widths))
        measure = folder / "measure.html"
        measure.write_text(program.replace("PAGES", json.dumps(pages)), "utf-8")
        self.addCleanup(measure.unlink)

        class Quiet(SimpleHTTPRequestHandler):
            """Serve files, and log nothing."""

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        handler = functools.partial(Quiet, directory=str(folder))
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            shown = subprocess.run(
                [
                    *[chromium, "--headless", "--no-sandbox", "--disable-gpu"],
                    *["--virtual-time-budget=120000", "--dump-dom"],
                    f"http://127.0.0.1:{server.server_port}/measure.html",
                ],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
                timeout=10 * TIME_LIMIT,
            )
            server.shutdown()
        found = re.search(r"<pre>(.*)</pre>", shown.stdout, re.DOTALL)
        assert found is not None, shown.stdout
        outcome = json.loads(html.unescape(found[1]))
        self.assertEqual([each for each in outcome if each[2]][:5], [])
        self.assertEqual(len(outcome), len(pages) * len(widths))


class ManPageTests(SynchronousTestCase):
    """
    C{upper(1)} and C{upper-client(1)}.
    """

    def test_options(self) -> None:
        """
        Each option has its entry, and each command of C{upper-client}.
        """
        folder = build("man")
        pages = {path.name: path.read_text("utf-8") for path in folder.rglob("*.1")}
        self.assertEqual(set(pages), {"upper.1", "upper-client.1"})
        server, client = (
            set(re.findall(r"\\-\\-([\w\\-]+)", page.replace("\\fP", " ")))
            for page in (pages["upper.1"], pages["upper-client.1"])
        )
        self.assertLessEqual(
            {name.replace("-", "\\-") for name in knownOptions()}, server
        )
        self.assertLessEqual(
            {each.name.replace("-", "\\-") for each in OPTIONS}, client
        )
        for command in COMMANDS:
            self.assertIn(f"\\fB{command}\\fP", pages["upper-client.1"])
        for page in pages.values():
            for heading in ("SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS"):
                self.assertIn(f".SH {heading}", page)
