"""
The report: the status of a service at one moment.
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
    The status of a service at one moment.

    @ivar state: C{starting}, C{serving} or C{draining}.
    @ivar began: the time when the service started, in seconds since 1970.
    @ivar now: the time of this report, in seconds since 1970.
    @ivar connections: the number of open connections.
    @ivar counts: the counts of L{upperproto.monitoring.counters.Counters}.
    @ivar incidents: the last problems: the time, the client and the reason of each.
    @ivar notAfter: the time when the certificate expires, in seconds since 1970;
        L{None} without a certificate.
    @ivar listeners: the addresses of the listeners, each with the faults that it puts
        into its connections.
    @ivar workers: the name and the state of each process, if there are several.
    @ivar serving: the number of processes that serve.
    @ivar versions: the versions of this package, of Twisted and of Python.
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
    Ask a service for its state, and make reports of its status.

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
        Give the state of the service. This takes less time than a report.
        """
        if self.stopping:
            return "draining"
        return "serving" if self._observed.serving else "starting"

    def report(self) -> Report:
        """
        Make a report now.
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
