"""
Tables of what was measured, for a terminal and for C{docs/performance.rst}, into which
C{python benchmarks/report.py RESULTS} puts them; and a chart beside the page.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

from chart import chart
from comparison import ratios
from scenes import GROUPS, SCENES
from servers import PEERS, SOURCES


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
                reached, low, high = ratios(found["ours"], found[peer], "")
                row["ours/it"] = f"{reached:.3g} ({low:.3g} to {high:.3g})"
                each, *_ = ratios(found["ours"], found[peer], "processor")
                row |= {"by processor": f"{each:.3g}"} if "processor" in middle else {}
            goal = scene.goals.get("figure" if peer == "ours" else peer)
            less, share = scene.unit in ("bytes", "ms"), scene.unit == "%"
            if peer == "workers" and "by processor" in row and not (less or share):
                # Two carry 0.95 of twice what one carries, by processor time.
                goal, reached = 0.95, 1 / each
            if goal is not None and (peer == "ours" or "ours/it" in row):
                met = reached <= goal if less else reached >= goal
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
