"""
Durations, as people read them.
"""

from __future__ import annotations


def milliseconds(seconds: float | None) -> str:
    """
    Format a time in milliseconds, for people.
    """
    if seconds is None:
        return "?"
    value = seconds * 1000
    digits = 3 if value < 10 else 2 if value < 100 else 1 if value < 1000 else 0
    return f"{value:.{digits}f} ms"
