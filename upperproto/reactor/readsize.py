"""
The number of bytes that one read may take.

Streams of ASCII are 1.2 times as fast with 256 KiB as with 128. But all other
connections wait while the protocol handles a read, and a protocol may need several
hundred times as long for other bytes. So a transport assumes that the next bytes cost
what the last did, and that the first bytes of a connection cost the most.
"""

from __future__ import annotations

SMALLEST_READ = 1024
LARGEST_READ = 262144

# A read that is full and quick may be followed by one of so many times its size.
GROWTH = 4

# For so many seconds, at most, a read should keep other connections waiting.
READ_TIME = 0.0025


def nextSize(allowed: int, size: int, seconds: float) -> int:
    """
    Choose how many bytes the next read may take.

    @param allowed: how many the last one could take.
    @param size: how many it took.
    @param seconds: how long the protocol needed for them.
    """
    affordable = int(size * READ_TIME / max(seconds, 1e-6))
    if affordable < size:
        return max(SMALLEST_READ, affordable)
    if size == allowed:
        return min(LARGEST_READ, GROWTH * size, affordable)
    return allowed
