"""Choose a log observer."""

from typing import Any


def chooseLogObserver(parent: Any) -> None:
    """Choose none yet."""
