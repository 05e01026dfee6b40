"""
A chart of what was measured: how many times as much this server does as its peers.
C{report.py} writes it to C{docs/performance.svg}, which stands in a page of the site.
"""

from __future__ import annotations

import math
from html import escape
from typing import Any

from comparison import ratios
from scenes import SCENES
from servers import PEERS

# Drawn as wide as the text on a phone, so that nothing is made smaller there.
WIDTH, LEFT, RIGHT, LINE = 360, 170, 316, 18

# The bounds of the axis, which is logarithmic.
LEAST, MOST = 0.25, 4.0

SHOWN = ("textbook", "blocks-uvloop", "go", "limit", "udp", "udp-uvloop", "udp-go",
         "udp-limit")  # fmt: skip


def place(ratio: float) -> float:
    """Tell where on the axis a ratio stands; what is beyond its ends, at the end."""
    share = math.log(ratio / LEAST) / math.log(MOST / LEAST)
    return LEFT + (RIGHT - LEFT) * min(1.0, max(0.0, share))


def compared(results: dict[str, Any]) -> dict[str, dict[str, list[float]]]:
    """
    Compare this server with its peers.

    @return: by the titles of scenes and the names of peers, the median and its bounds;
        more is better, also where the figures are bytes.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for key, scene in SCENES.items():
        peers = results["scenes"].get(key, {})
        if scene.group not in ("tcp", "udp", "tls") or "ours" not in peers:
            continue
        for peer in (each for each in SHOWN if each in peers):
            middle, low, high = ratios(peers["ours"], peers[peer], "")
            if scene.unit in ("bytes", "ms"):
                middle, low, high = 1 / middle, 1 / high, 1 / low
            name = PEERS[peer].name
            found.setdefault(scene.title, {})[name] = [middle, low, high]
    return found


def chart(results: dict[str, Any]) -> str:
    """
    Draw it as SVG, in the colours of the page around it, light or dark. What is drawn
    is also told in words.
    """
    body, words, y = [], [], 2 * LINE
    for title, peers in compared(results).items():
        y += LINE + LINE // 2
        body.append(f'<text x="0" y="{y}" font-weight="bold">{escape(title)}</text>')
        for name, (middle, low, high) in peers.items():
            y += LINE
            ends = f'x1="{place(low):.1f}" x2="{place(high):.1f}"'
            number = f"{middle:.2f}" if middle < 10 else f"{middle:.0f}"
            colour = "var(--color-brand-content, currentColor)"
            body += [
                f'<text x="8" y="{y}">{escape(name)}</text>',
                f'<line {ends} y1="{y - 4}" y2="{y - 4}" stroke="{colour}"'
                ' stroke-width="3" opacity="0.5"/>',
                f'<circle cx="{place(middle):.1f}" cy="{y - 4}" r="4.5"'
                f' fill="{colour}"/>',
                f'<text x="{WIDTH}" y="{y}" text-anchor="end">{number}</text>',
            ]
            words.append(f"{title}: {number} times {name} ({low:.2f} to {high:.2f})")
    grid = []
    for ratio in (0.25, 0.5, 1.0, 2.0, 4.0):
        x, width = place(ratio), 1.5 if ratio == 1 else 0.5
        grid += [
            f'<text x="{x:.1f}" y="{2 * LINE}" text-anchor="middle">{ratio:g}</text>',
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{2 * LINE + 6}" y2="{y + 6}"'
            f' stroke="currentColor" stroke-width="{width}" opacity="0.6"/>',
        ]
    about = results["about"]
    said = f"Measured {about['date']}, {about['rounds']}, Python {about['Python']}"
    head = "How many times as much upperproto does"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 36}"'
            ' role="img" aria-labelledby="chart-title chart-words" font-size="13"'
            ' font-family="sans-serif" fill="currentColor" class="performance"'
            ' style="display: block; width: 100%; max-width: 27rem; height: auto">',
            f'<title id="chart-title">{head} as its peers</title>',
            f'<desc id="chart-words">{escape("; ".join(words))}.</desc>',
            f'<text x="0" y="14">{head}:</text>',
            *grid,
            *body,
            f'<text x="0" y="{y + 30}" font-size="12">{escape(said)}</text>',
            "</svg>\n",
        ]
    )
