"""
What was measured, in tables and a chart: C{python benchmarks/report.py PAGE RESULTS...}
puts them into a page in reStructuredText, and draws the chart beside it. The first file
of results is for all but one table, which compares the Pythons of all files.
"""

from __future__ import annotations

import json
import math
import sys
from html import escape
from itertools import repeat
from operator import truediv
from pathlib import Path
from statistics import median
from typing import Any

from scenes import GROUPS, SCENES
from servers import PEERS

# The chart is as wide as the text on a phone, so that nothing is made smaller there.
WIDTH, LEFT, RIGHT, LINE = 360, 170, 316, 18

# Where its axis, which is logarithmic, has a line.
AXIS = (0.25, 0.5, 1.0, 2.0, 4.0)

COLOUR = "var(--color-brand-content, currentColor)"
CHARTED = ("textbook", "protocol-uvloop", "go", "limit")

# The scenes and the peers of the table of Pythons.
COMPARED = ("stream16", "stream80", "stream8k", "european", "ask100", "connect1",
            "connect10")  # fmt: skip
BESIDE = ("protocol-uvloop", "limit")


def ratios(ours: dict[str, Any], theirs: dict[str, Any], by: str = "") -> list[float]:
    """
    Compare figures round by round, divided by another measure, if it is there.

    @return: the median, and the bounds within which it would come to lie, were there
        rounds without end, in 95 cases of 100, by the sign test.
    """
    mine, other = (
        map(truediv, each["figure"], each.get(by, repeat(1.0)))
        for each in (ours, theirs)
    )
    ranked = sorted(map(truediv, mine, other))
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
            row["figure"] = number(middle["figure"])
            goal = scene.goals.get("figure" if peer == "ours" else peer)
            reached = middle["figure"]
            if peer != "ours" and "ours" in found:
                reached, low, high = ratios(found["ours"], found[peer])
                row["ours/it"] = f"{reached:.3g} ({low:.3g} to {high:.3g})"
                if "processor" in middle:
                    each, *_ = ratios(found["ours"], found[peer], "processor")
                    row["by processor"] = f"{each:.3g}"
                    if peer == "workers" and scene.unit in ("per s", "MB/s"):
                        # Two carry 0.95 of twice what one carries, by processor time.
                        goal, reached = 0.95, 1 / each
            if goal and "ours" in found:
                met = reached <= goal if scene.lessIsBetter else reached >= goal
                met = met and middle.get("worst", 0) <= scene.goals.get(
                    "worst", math.inf
                )
                row["goal"] = f"{goal:g} {'met' if met else 'MISSED'}"
            more = [
                name for name in ("worst", "MB", "load", "waited") if name in middle
            ]
            rows.append(row | {name: f"{middle[name]:.3g}" for name in more})
    return rows


def overview(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Make one row for each scene, with a column for each peer."""
    scenes: dict[str, dict[str, str]] = {}
    for row in rows:
        scene = scenes.setdefault(row["scene"], {"scene": row["scene"]})
        ratio = f" ({row['ours/it'].split()[0]})" if "ours/it" in row else ""
        scene[row["peer"]] = row["figure"] + ratio
    return list(scenes.values())


def pythons(several: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Make one row for each Python, with how many times as much as peers we do."""
    rows = []
    for results in several:
        row = {name: results["about"][name] for name in ("Python", "bytes.upper")}
        for key in COMPARED:
            found = results["scenes"].get(key, {})
            peers = [each for each in BESIDE if each in found and "ours" in found]
            cells = [number(ratios(found["ours"], found[each])[0]) for each in peers]
            row[SCENES[key].title] = ", ".join(cells)
        rows.append(row)
    return rows


def place(ratio: float) -> str:
    """Tell where on the axis a ratio stands; what is beyond its ends, at the end."""
    share = math.log(ratio / AXIS[0]) / math.log(AXIS[-1] / AXIS[0])
    return f"{LEFT + (RIGHT - LEFT) * min(1.0, max(0.0, share)):.1f}"


def chart(results: dict[str, Any]) -> str:
    """
    Draw how many times as much this server does as its peers, as SVG, in the colours of
    the page around it, light or dark. What is drawn is also told in words.
    """
    drawn, words, y = [], [], 2 * LINE
    for key, scene in SCENES.items():
        found = results["scenes"].get(key, {})
        peers = [each for each in CHARTED if each in found and "ours" in found]
        if not peers or scene.group not in ("tcp", "udp", "tls"):
            continue
        y += LINE + LINE // 2
        title = escape(scene.title)
        drawn.append(f'<text x="0" y="{y}" font-weight="bold">{title}</text>')
        for peer in peers:
            y += LINE
            middle, low, high = ratios(found["ours"], found[peer])
            if scene.lessIsBetter:
                middle, low, high = 1 / middle, 1 / high, 1 / low
            name, times = escape(PEERS[peer].name), f"{middle:.{2 * (middle < 10)}f}"
            words.append(f"{title}: {times} times {name} ({low:.2f} to {high:.2f})")
            drawn.append(f"""<text x="8" y="{y}">{name}</text>
<path d="M{place(low)} {y - 4}H{place(high)}" stroke="{COLOUR}" stroke-width="3"
 opacity="0.5"/>
<circle cx="{place(middle)}" cy="{y - 4}" r="4.5" fill="{COLOUR}"/>
<text x="{WIDTH}" y="{y}" text-anchor="end">{times}</text>""")
    for ratio in AXIS:
        drawn.append(f"""\
<text x="{place(ratio)}" y="{2 * LINE}" text-anchor="middle">{ratio:g}</text>
<path d="M{place(ratio)} {2 * LINE + 6}V{y + 6}" stroke="currentColor" opacity="0.6"
 stroke-width="{1.5 if ratio == 1 else 0.5}"/>""")
    about = results["about"]
    said = f"Measured {about['date']}, {about['rounds']}, Python {about['Python']}"
    head = "How many times as much upperproto does"
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 36}" role="img"
 aria-labelledby="chart-title chart-words" font-size="13" font-family="sans-serif"
 fill="currentColor" class="performance"
 style="display: block; width: 100%; max-width: 27rem; height: auto">
<title id="chart-title">{head} as its peers</title>
<desc id="chart-words">{"; ".join(words)}.</desc>
<text x="0" y="14">{head}:</text>
{chr(10).join(drawn)}
<text x="0" y="{y + 30}" font-size="12">{escape(said)}</text>
</svg>
"""


def main(page: str, *sources: str) -> None:
    """Put tables of some results where a page has marks for them, and draw a chart."""
    several = [json.loads(Path(each).read_text(encoding="utf-8")) for each in sources]
    results = several[0]
    tables = {group: overview(details(results, group)) for group in GROUPS}
    tables["about"] = [results["about"]]
    tables["goals"] = [row for row in details(results, *GROUPS) if "goal" in row]
    tables["pythons"] = pythons(several)
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
