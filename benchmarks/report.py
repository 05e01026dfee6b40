"""
What was measured, in tables and a chart: C{python benchmarks/report.py RESULTS} puts
them into C{docs/performance.rst}, and draws C{docs/performance.svg} beside it.
"""

from __future__ import annotations

import json
import math
import sys
from html import escape
from pathlib import Path
from statistics import median
from typing import Any

from scenes import GROUPS, SCENES
from servers import PEERS, SOURCES

# The chart is as wide as the text on a phone, so that nothing is made smaller there.
WIDTH, LEFT, RIGHT, LINE = 360, 170, 316, 18

# Where its axis, which is logarithmic, has a line.
AXIS = (0.25, 0.5, 1.0, 2.0, 4.0)

COLOUR = "var(--color-brand-content, currentColor)"
CHARTED = ("textbook", "blocks-uvloop", "go", "limit", "udp", "udp-uvloop", "udp-go",
           "udp-limit")  # fmt: skip


def ratios(ours: dict[str, Any], theirs: dict[str, Any], by: str = "") -> list[float]:
    """
    Compare figures round by round, divided by another measure, if it is there.

    @return: the median, and the bounds within which it would come to lie, were there
        rounds without end, in 95 cases of 100, by the sign test.
    """
    figures = [
        [each / share for each, share in zip(peer["figure"], peer[by], strict=True)]
        if by in ours and by in theirs
        else peer["figure"]
        for peer in (ours, theirs)
    ]
    ranked = sorted(mine / other for mine, other in zip(*figures, strict=False))
    rank = max(0, math.floor(len(ranked) / 2 - 0.98 * math.sqrt(len(ranked))))
    return [median(ranked), ranked[rank], ranked[-1 - rank]]


def table(rows: list[dict[str, str]]) -> str:
    """Lay out rows, by the names of their columns, as reStructuredText."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, *([row.get(name, "") for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = "  ".join("=" * width for width in widths)
    texts = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    return "\n".join([rule, texts[0], rule, *texts[1:], rule])


def number(value: float) -> str:
    """Write a figure with as many digits as mean something."""
    return f"{float(f'{value:.3g}'):,.0f}" if value >= 100 else f"{value:.3g}"


def details(results: dict[str, Any], *groups: str) -> list[dict[str, str]]:
    """Make a row for each scene of some groups, and each peer."""
    rows = []
    for key, scene in SCENES.items():
        found = results["scenes"].get(key, {}) if scene.group in groups else {}
        for peer in (each for each in PEERS if each in found):
            middle = {name: median(values) for name, values in found[peer].items()}
            row = {"scene": f"{scene.title}, {scene.unit}", "peer": PEERS[peer].name}
            row["figure"], reached = number(middle["figure"]), middle["figure"]
            if peer != "ours" and "ours" in found:
                reached, low, high = ratios(found["ours"], found[peer])
                row["ours/it"] = f"{reached:.3g} ({low:.3g} to {high:.3g})"
                each, *_ = ratios(found["ours"], found[peer], "processor")
                row |= {"by processor": f"{each:.3g}"} if "processor" in middle else {}
            goal = scene.goals.get("figure" if peer == "ours" else peer)
            if peer == "workers" and "by processor" in row and scene.unit != "%":
                if not scene.lessIsBetter:
                    # Two carry 0.95 of twice what one carries, by processor time.
                    goal, reached = 0.95, 1 / each
            if goal is not None and (peer == "ours" or "ours/it" in row):
                met = reached <= goal if scene.lessIsBetter else reached >= goal
                if peer == "ours" and "worst" in middle:
                    met = met and middle["worst"] <= scene.goals["worst"]
                row["goal"] = f"{goal:g} {'met' if met else 'MISSED'}"
            for name in ("worst", "MB", "load", "waited"):
                if name in middle:
                    row[name] = f"{middle[name]:.3g}"
            rows.append(row)
    return rows


def overview(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Make one row for each scene, with a column for each peer."""
    scenes: dict[str, dict[str, str]] = {}
    for row in rows:
        scene = scenes.setdefault(row["scene"], {"scene": row["scene"]})
        ratio = f" ({row['ours/it'].split()[0]})" if "ours/it" in row else ""
        scene[row["peer"]] = row["figure"] + ratio
    return list(scenes.values())


def place(ratio: float) -> float:
    """Tell where on the axis a ratio stands; what is beyond its ends, at the end."""
    share = math.log(ratio / AXIS[0]) / math.log(AXIS[-1] / AXIS[0])
    return LEFT + (RIGHT - LEFT) * min(1.0, max(0.0, share))


def chart(results: dict[str, Any]) -> str:
    """
    Draw how many times as much this server does as its peers, as SVG, in the colours of
    the page around it, light or dark. What is drawn is also told in words.
    """
    body, words, y = [], [], 2 * LINE
    for key, scene in SCENES.items():
        found = results["scenes"].get(key, {})
        peers = [each for each in CHARTED if each in found and "ours" in found]
        if not peers or scene.group not in ("tcp", "udp", "tls"):
            continue
        y += LINE + LINE // 2
        title = escape(scene.title)
        body.append(f'<text x="0" y="{y}" font-weight="bold">{title}</text>')
        for peer in peers:
            y += LINE
            middle, low, high = ratios(found["ours"], found[peer])
            if scene.lessIsBetter:
                middle, low, high = 1 / middle, 1 / high, 1 / low
            name, times = escape(PEERS[peer].name), f"{middle:.{2 * (middle < 10)}f}"
            body.append(
                f"""<text x="8" y="{y}">{name}</text>
<line x1="{place(low):.1f}" x2="{place(high):.1f}" y1="{y - 4}" y2="{y - 4}"
 stroke="{COLOUR}" stroke-width="3" opacity="0.5"/>
<circle cx="{place(middle):.1f}" cy="{y - 4}" r="4.5" fill="{COLOUR}"/>
<text x="{WIDTH}" y="{y}" text-anchor="end">{times}</text>"""
            )
            words.append(f"{title}: {times} times {name} ({low:.2f} to {high:.2f})")
    grid = [
        f"""<text x="{place(ratio):.1f}" y="{2 * LINE}"
 text-anchor="middle">{ratio:g}</text>
<line x1="{place(ratio):.1f}" x2="{place(ratio):.1f}" y1="{2 * LINE + 6}" y2="{y + 6}"
 stroke="currentColor" stroke-width="{1.5 if ratio == 1 else 0.5}" opacity="0.6"/>"""
        for ratio in AXIS
    ]
    about = results["about"]
    said = f"Measured {about['date']}, {about['rounds']}, Python {about['Python']}"
    head = "How many times as much upperproto does"
    drawn = "\n".join(grid + body)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 36}" role="img"
 aria-labelledby="chart-title chart-words" font-size="13" font-family="sans-serif"
 fill="currentColor" class="performance"
 style="display: block; width: 100%; max-width: 27rem; height: auto">
<title id="chart-title">{head} as its peers</title>
<desc id="chart-words">{"; ".join(words)}.</desc>
<text x="0" y="14">{head}:</text>
{drawn}
<text x="0" y="{y + 30}" font-size="12">{escape(said)}</text>
</svg>
"""


def main(source: str, page: str = f"{SOURCES}/../docs/performance.rst") -> None:
    """Put tables of some results where a page has marks for them, and draw a chart."""
    results = json.loads(Path(source).read_text(encoding="utf-8"))
    tables = {group: overview(details(results, group)) for group in GROUPS}
    tables["about"] = [results["about"]]
    tables["goals"] = [row for row in details(results, *GROUPS) if "goal" in row]
    text = Path(page).read_text(encoding="utf-8")
    for name, rows in tables.items():
        before, begin, rest = text.partition(f".. begin {name}\n")
        _, end, after = rest.partition(f"\n.. end {name}\n")
        if end and rows:
            text = f"{before}{begin}\n{table(rows)}\n{end}{after}"
    Path(page).write_text(text, encoding="utf-8")
    Path(page).with_suffix(".svg").write_text(chart(results), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
