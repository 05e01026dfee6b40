"""
What is known of a service at one time.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from platform import python_version
from time import time
from typing import Any

from upperproto.interfaces import IObserved
from upperproto.monitoring.counters import Counts


@dataclass
class Report:
    """
    What is known of a service.

    @ivar state: C{starting}, C{serving} or C{draining}.
    @ivar began: when it started, in seconds since 1970.
    @ivar now: when this was known, likewise.
    @ivar connections: how many are open.
    @ivar counts: what was counted, as L{upperproto.monitoring.counters.Counters} does.
    @ivar incidents: what went wrong last: when, with whom, what.
    @ivar notAfter: when the certificate expires, in seconds since 1970; L{None} without
        one.
    @ivar listeners: the addresses that are listened on, each with the faults that its
        connections are given.
    @ivar workers: the name and the state of each process, if there are several.
    @ivar serving: how many processes serve.
    @ivar versions: those of what runs.
    """

    state: str
    began: float
    now: float
    connections: int
    counts: Counts
    incidents: list[Any]
    notAfter: float | None
    listeners: list[tuple[str, str]]
    workers: list[tuple[str, str]]
    serving: int
    versions: dict[str, str]


class Observer:
    """
    Ask a service what is known of it.

    @ivar stopping: whether the service is about to end.
    """

    def __init__(self, observed: IObserved) -> None:
        """
        @param observed: the service, which starts now.
        """
        self.stopping = False
        self._observed = observed
        self._began = time()
        self._versions = {
            "version": version("upperproto"),
            "twisted": version("twisted"),
            "python": python_version(),
        }

    def state(self) -> str:
        """
        Give the state of the service. It takes less time than a report.
        """
        if self.stopping:
            return "draining"
        return "serving" if self._observed.serving else "starting"

    def report(self) -> Report:
        """
        Give all that is known.
        """
        return Report(
            state=self.state(),
            began=self._began,
            now=time(),
            listeners=self._observed.listeners(),
            workers=self._observed.workers(),
            serving=self._observed.serving,
            versions=self._versions,
            **self._observed.snapshot(),
        )
