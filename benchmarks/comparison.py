"""
How two servers compare that were measured in the same rounds.
"""

from __future__ import annotations

import math
from statistics import median
from typing import Any


def ratios(ours: dict[str, Any], theirs: dict[str, Any], by: str) -> list[float]:
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
