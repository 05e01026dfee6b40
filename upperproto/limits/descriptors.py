"""
How many descriptors the system lets a process have, and how much memory the
process keeps.
"""

from __future__ import annotations

import resource

from twisted.logger import Logger

_log = Logger()

# Descriptors for all that is not a connection: listeners, logs, the reactor's.
SPARE = 64

# How many clients without a place can be told so at a time.
MAX_REFUSED = 1024

# What a turn of the reactor needs, in bytes: some large reads, and their answers.
WORKING_MEMORY = 1 << 20


def fitDescriptors(maxConnections: int, queues: int) -> tuple[int, int]:
    """
    Let the process have as many file descriptors as its connections need.

    Where the system does not allow so many, promise fewer, and warn: then
    clients beyond that are told that there is no place, rather than left
    waiting in front of a server that cannot accept them.

    @param maxConnections: how many clients are to be served at a time.
    @param queues: 2 if clients wait for a PROXY header or a TLS handshake before that;
        else 1.
    @return: how many can be served, and how many more can be told, at a time,
        that they cannot. As many can wait in the other queue, if there is one.
    """
    needed = maxConnections + queues * MAX_REFUSED + SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return maxConnections, MAX_REFUSED
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed == needed:
        return maxConnections, MAX_REFUSED
    places = max(1, allowed - SPARE)
    refused = min(MAX_REFUSED, places // 8)
    fitting = min(maxConnections, places - queues * refused)
    _log.warn(
        "{wanted} connections need {needed} file descriptors and the system allows"
        " {allowed}: serving {fitting} at a time. Raise the limit (ulimit -Hn,"
        " LimitNOFILE=) or lower --max-connections",
        wanted=maxConnections,
        needed=needed,
        allowed=allowed,
        fitting=fitting,
    )
    return fitting, refused


def keepMemory() -> None:
    """
    Let the memory of one read serve the next.

    The C library gives larger blocks back to the system as soon as they are free,
    which then clears each page of the next one. Once it has seen such a block
    freed, it keeps as much (see C{M_MMAP_THRESHOLD} in mallopt(3); other C
    libraries do as they do). Two workers that streamed 80-byte lines met 380 page
    faults for each MB, and with this none: 1.3 times as many lines.
    """
    bytes(WORKING_MEMORY)
