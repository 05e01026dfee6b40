"""
Garble (damage) an answer: change one of its bytes.
"""

from __future__ import annotations

from random import Random


def garble(data: bytes, random: Random) -> bytes:
    """
    Change one byte.

    @param data: at least one byte.
    @param random: chooses which byte, and its new value.
    """
    place = random.randrange(len(data))
    changed = bytes([data[place] ^ random.randrange(1, 256)])
    return data[:place] + changed + data[place + 1 :]
