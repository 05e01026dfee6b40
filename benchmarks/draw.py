"""
Draw what C{run.py} has measured: C{python benchmarks/draw.py} makes
C{docs/performance.svg} of C{benchmarks/results.json}.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from servers import DISTURBED, PEERS_BY_KEY

HERE = Path(__file__).parent

# Pixels.
WIDTH = 960
MARGIN = 28
GAP = 36
HEAD = 96
PANEL = (WIDTH - 2 * MARGIN - GAP) / 2
LABEL = 172
VALUE = 64
BAR = PANEL - LABEL - VALUE
ROW = 19
TITLE = 30
PANEL_GAP = 26

INK = "#1f2933"
SOFT = "#66727f"
RULE = "#e3e7eb"
OURS = "#d9480f"
PEER = "#a9b6c3"
LIMIT = "#46545f"

NAMES = {"ours": "upperproto", "limit": "the limit: C with epoll"}

# Of these, less is better.
SMALL = {"bytes"}


def panel(scene: dict[str, Any], x: float, y: float) -> tuple[list[str], float]:
    """
    Draw one scene: a bar for each peer, as long as its figure.

    @return: SVG elements, and the height that they take.
    """
    figures: dict[str, dict[str, float]] = scene["figures"]
    unit = scene["unit"]
    less = ", less is better" if unit in SMALL else ""
    parts = [
        f'<text x="{x}" y="{y + 14}" class="title">{escape(scene["title"])}'
        f'<tspan class="soft" dx="8">{escape(unit)}{less}</tspan></text>',
        f'<path d="M{x} {y + 22.5}H{x + PANEL}" stroke="{RULE}"/>',
    ]
    longest = max(each["figure"] for each in figures.values())
    row = y + TITLE
    for peer, figure in sorted(
        figures.items(), key=lambda item: item[1]["figure"], reverse=unit not in SMALL
    ):
        value = figure["figure"]
        color = {"ours": OURS, "upper-client": OURS, "limit": LIMIT}.get(peer, PEER)
        kind = "ours" if color == OURS else "label"
        name = NAMES.get(peer) or (
            PEERS_BY_KEY[peer].name if peer in PEERS_BY_KEY else peer
        )
        length = max(1.5, BAR * value / longest)
        parts += [
            f'<text x="{x + LABEL - 10}" y="{row + 13}" text-anchor="end"'
            f' class="{kind}">{escape(name)}</text>',
            f'<rect x="{x + LABEL}" y="{row + 3}" width="{length:.1f}" height="13"'
            f' rx="1.5" fill="{color}"/>',
            f'<text x="{x + LABEL + length + 7:.1f}" y="{row + 13}"'
            f' class="{kind}">{number(value)}</text>',
        ]
        row += ROW
    return parts, row - y


def number(value: float) -> str:
    """
    Write a figure with as many digits as mean something.
    """
    return f"{float(f'{value:.3g}'):,.{0 if value >= 100 else 1}f}"


def draw(results: dict[str, Any]) -> str:
    """
    Draw all scenes.

    @param results: as C{run.py} writes them.
    @return: an SVG document.
    """
    # A single bar compares nothing.
    scenes = [each for each in results["scenes"].values() if len(each["figures"]) > 1]
    body: list[str] = []
    y = float(HEAD)
    for first in range(0, len(scenes), 2):
        tallest = 0.0
        for column, scene in enumerate(scenes[first : first + 2]):
            x = MARGIN + column * (PANEL + GAP)
            parts, height = panel(scene, x, y)
            body += parts
            tallest = max(tallest, height)
        y += tallest + PANEL_GAP
    height = y - PANEL_GAP + MARGIN
    machine = results["machine"]
    versions = results["versions"]
    about = (
        f"One core for the server, one for the load. {machine['processor']},"
        f" Linux {machine['kernel'].split('-')[0]}, CPython {versions['python']},"
        f" Twisted {versions['twisted']}, {results['date']}."
    )
    lost = max(
        figure.get("disturbed", 0)
        for scene in scenes
        for figure in scene["figures"].values()
    )
    warning = ""
    if lost >= DISTURBED:
        warning = (
            f'<text x="{MARGIN}" y="79" class="ours">Other programs had the cores,'
            f" for up to {lost:.0%} of the time: measure again.</text>"
        )
    return "\n".join(
        [
            '<svg xmlns="http://www.w3.org/2000/svg"'
            f' viewBox="0 0 {WIDTH} {height:.0f}"'
            f' width="{WIDTH}" height="{height:.0f}" role="img"'
            ' aria-labelledby="caption">',
            '<title id="caption">Throughput and memory of upperproto and its peers'
            "</title>",
            "<style>text{font-family:system-ui,'Segoe UI','DejaVu Sans',sans-serif;"
            f"font-size:11.5px;fill:{INK}}}.head{{font-size:19px;font-weight:600}}"
            ".title{font-size:13px;font-weight:600}.soft{font-weight:400;"
            f"font-size:11.5px;fill:{SOFT}}}.ours{{font-weight:600;fill:{OURS}}}</style>",
            f'<rect width="{WIDTH}" height="{height:.0f}" rx="8" fill="#fff"/>',
            f'<text x="{MARGIN}" y="40" class="head">'
            "upperproto beside its peers</text>",
            f'<text x="{MARGIN}" y="62" class="soft">{escape(about)}</text>',
            warning,
            *body,
            "</svg>",
            "",
        ]
    )


def main(arguments: list[str]) -> None:
    """
    Draw one file of results into another.

    @param arguments: their paths; by default, those of the documentation.
    """
    source = Path(arguments[0]) if arguments else HERE / "results.json"
    target = (
        Path(arguments[1])
        if arguments[1:]
        else HERE.parent / "docs" / "performance.svg"
    )
    results = json.loads(source.read_text(encoding="utf-8"))
    target.parent.mkdir(exist_ok=True)
    target.write_text(draw(results), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
