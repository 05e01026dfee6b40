"""
Incidents: the last problems with clients.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from time import time
from typing import Any

# How many incidents are kept.
INCIDENTS = 20


class Incidents:
    """
    The last incidents of one process. Each is the time in seconds since 1970, the
    client, and the reason.
    """

    def __init__(self) -> None:
        """
        Begin without incidents.
        """
        self._last: deque[tuple[float, str, str]] = deque(maxlen=INCIDENTS)

    def __iter__(self) -> Iterator[tuple[float, str, str]]:
        """
        Give the incidents, the oldest one first.
        """
        return iter(self._last)

    def add(self, client: str, reason: str) -> None:
        """
        Add an incident of this moment.

        @param client: the name of the client.
        @param reason: the reason, as in the log.
        """
        self._last.append((time(), client, reason))


def lastIncidents(incidents: Iterable[Any]) -> list[Any]:
    """
    Sort the incidents of several processes by time, and keep the last ones.
    """
    return sorted(incidents)[-INCIDENTS:]
