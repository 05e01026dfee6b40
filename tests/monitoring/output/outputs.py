"""
What the tests of outputs share.
"""

from __future__ import annotations

import os
import threading


def describeLoss(lost: int) -> bytes:
    """
    What tells in these tests how many lines are lost.
    """
    return b"%d lost\n" % lost


def threads() -> list[threading.Thread]:
    """
    The threads of all outputs.
    """
    return [each for each in threading.enumerate() if each.name == "log output"]


def descriptors() -> int:
    """
    How many descriptors this process has.
    """
    return len(os.listdir("/proc/self/fd"))
