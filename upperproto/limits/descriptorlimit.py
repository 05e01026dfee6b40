"""
The limit of file descriptors of a process (C{RLIMIT_NOFILE}), and the memory that it
keeps.
"""

from __future__ import annotations

import resource

from twisted.logger import Logger

_log = Logger()

# Descriptors for everything that is not a connection: listeners, logs, the reactor.
SPARE = 64

# How many refused clients can be told why, at the same time.
MAX_REFUSED = 1024

# How many bytes one iteration of the reactor needs: some large reads and their answers.
WORKING_MEMORY = 1 << 20


def fitDescriptors(maxConnections: int, queues: int) -> tuple[int, int]:
    """
    Raise the limit of file descriptors to what the connections need.

    If the system does not allow so many, lower the number of connections, and log a
    warning. Otherwise the server could not accept the last clients, and they would
    wait. Now it accepts them and tells them that there is no place.

    @param maxConnections: how many clients should be served at the same time.
    @param queues: 2 if clients wait for a PROXY header or a TLS handshake first; 1 if
        not.
    @return: how many clients can be served, and how many refused ones can be told why,
        at the same time. As many can wait for a header or a handshake.
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
    Make the C library keep memory, so that each read can use it again.

    The GNU C library gives large blocks back to the system when they are free. The
    system then has to clear each page of the next block. After one such block was
    freed, the library keeps blocks up to its size (C{M_MMAP_THRESHOLD} in mallopt(3)).
    With two workers that streamed 80-byte lines, there were 380 page faults for each
    MB before, and none after: 1.3 times as many lines.
    """
    bytes(WORKING_MEMORY)
