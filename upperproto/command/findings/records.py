"""
What probes have found: records, which the formats print.

Each gives its fields by the names that they have in JSON. A name ends with its
unit; a time is in seconds. Names stay as they are; others may be added.
"""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from math import ceil, sqrt
from typing import TYPE_CHECKING, Any

from upperproto.command.findings.faults import Fault
from upperproto.command.route.connection import Opened

if TYPE_CHECKING:
    from upperproto.tls.peer import TLSDetails

PERCENTILES = (50, 90, 99)


def faultFields(fault: Fault | None) -> dict[str, Any]:
    """
    Give the fields of a fault, or of none.
    """
    return {
        "fault": fault and fault.code,
        "problem": fault and str(fault),
        "meaning": fault and fault.meaning,
        "cause": fault and fault.cause,
    }


@dataclass
class Answered:
    """
    One text that was asked, and what became of it.

    @ivar number: of the ping, from 1.
    @ivar text: what was asked.
    @ivar answer: what was answered, if that was right.
    @ivar rttSeconds: from when the text was given to the system until its answer was
        read.
    @ivar opened: the connection that was made for it; L{None} if there was one.
    @ivar resolveSeconds: how long the name took, if it was looked up for it.
    @ivar instance: the name of the server that has answered, or nothing.
    @ivar fault: what is wrong, or L{None}.
    """

    number: int
    text: str
    answer: str | None = None
    rttSeconds: float | None = None
    opened: Opened | None = None
    resolveSeconds: float | None = None
    instance: str = ""
    fault: Fault | None = None

    @property
    def outcome(self) -> str:
        """
        C{ok}, C{wrong} (something else came) or C{lost} (nothing did).
        """
        if self.fault is None:
            return "ok"
        wrong = (
            "echo",
            "foreign",
            "ascii",
            "wrong",
            "much",
            "other-server",
            "order",
            "torn",
        )
        return "wrong" if self.fault.code in wrong else "lost"

    def timing(self) -> dict[str, float | None]:
        """
        Give the times of its parts.
        """
        return {
            "resolve_seconds": _rounded(self.resolveSeconds),
            "connect_seconds": _rounded(self.opened and self.opened.connectSeconds),
            "tls_seconds": _rounded(self.opened and self.opened.tlsSeconds),
            "rtt_seconds": _rounded(self.rttSeconds),
        }

    def fields(self) -> dict[str, Any]:
        """
        Give its fields, as JSON has them.
        """
        return {
            "outcome": self.outcome,
            "address": self.opened and self.opened.address,
            **self.timing(),
            "instance": self.instance or None,
            **faultFields(self.fault),
        }


@dataclass
class Pings:
    """
    All pings of a run.

    @ivar elapsedSeconds: how long the run took.
    @ivar parts: for each part of a connection, its times, with C{--new}.
    @ivar instances: how often each server has answered, if they say who they are.
    @ivar tls: what the server has shown last.
    @ivar duplicates: of datagrams, how many answers have come once more.
    @ivar reordered: of datagrams, how many have come after a later one's.
    """

    sent: int = 0
    answered: int = 0
    wrong: int = 0
    lost: int = 0
    elapsedSeconds: float = 0.0
    rtts: array[float] = field(default_factory=lambda: array("d"))
    parts: dict[str, array[float]] = field(default_factory=dict)
    instances: Counter[str] = field(default_factory=Counter)
    fault: Fault | None = None
    address: str = ""
    tls: TLSDetails | None = None
    duplicates: int | None = None
    reordered: int | None = None

    def counts(self) -> dict[str, int]:
        """
        Give the counts, by their names.
        """
        counts = {
            "sent": self.sent,
            "answered": self.answered,
            "wrong": self.wrong,
            "lost": self.lost,
            "duplicates": self.duplicates,
            "reordered": self.reordered,
        }
        return {name: count for name, count in counts.items() if count is not None}

    def add(self, ping: Answered) -> None:
        """
        Count one.
        """
        self.sent += 1
        self.answered += ping.outcome == "ok"
        self.wrong += ping.outcome == "wrong"
        self.lost += ping.outcome == "lost"
        self.fault = ping.fault or self.fault
        for name, seconds in ping.timing().items():
            if seconds is not None and name != "rtt_seconds":
                self.parts.setdefault(name, array("d")).append(seconds)
        if ping.opened is not None:
            self.address, self.tls = ping.opened.address, ping.opened.tls
        if ping.outcome == "ok" and ping.rttSeconds is not None:
            self.rtts.append(ping.rttSeconds)
            if ping.instance:
                self.instances[ping.instance] += 1

    def statistics(self) -> dict[str, float]:
        """
        Summarise the round trips, as ping(8) does, and with percentiles (of the
        nearest rank).
        """
        values = sorted(self.rtts)
        if not values:
            return {}
        count = len(values)
        mean = sum(values) / count
        squares = sum(value * value for value in values) / count
        return {
            "min": values[0],
            "avg": mean,
            "max": values[-1],
            "mdev": sqrt(max(0.0, squares - mean * mean)),
            **{
                f"p{each}": values[max(0, ceil(count * each / 100) - 1)]
                for each in PERCENTILES
            },
        }

    def fields(self) -> dict[str, Any]:
        """
        Give its fields, as JSON has them.
        """
        names = ("min", "avg", "max", "mdev", *(f"p{each}" for each in PERCENTILES))
        found = self.statistics()
        return {
            **self.counts(),
            "elapsed_seconds": _rounded(self.elapsedSeconds),
            **{f"rtt_{each}_seconds": _rounded(found.get(each)) for each in names},
            **{
                name.replace("_seconds", "_avg_seconds"): _rounded(
                    sum(times) / len(times)
                )
                for name, times in self.parts.items()
            },
            "instances": dict(self.instances),
            "tls": self.tls,
        }


@dataclass
class Step:
    """
    A step of an examination.

    @ivar name: of the step.
    @ivar status: C{ok}, C{FAIL} or C{skip}.
    @ivar detail: what was measured, or why it was left out, in one line.
    @ivar measured: the same in numbers, by names that end with their unit.
    @ivar elapsedSeconds: how long it took.
    @ivar fault: what is wrong, or L{None}.
    """

    name: str
    status: str
    detail: str = ""
    measured: dict[str, Any] = field(default_factory=dict)
    elapsedSeconds: float = 0.0
    fault: Fault | None = None

    def fields(self) -> dict[str, Any]:
        """
        Give its fields, as JSON has them.
        """
        return {
            "step": self.name,
            "status": self.status.lower(),
            "detail": self.detail,
            "elapsed_seconds": _rounded(self.elapsedSeconds),
            "measured": self.measured,
            **faultFields(self.fault),
        }


@dataclass
class Report:
    """
    An examination.

    @ivar steps: in their order.
    @ivar elapsedSeconds: how long it took.
    """

    steps: list[Step] = field(default_factory=list)
    elapsedSeconds: float = 0.0
    address: str = ""
    tls: TLSDetails | None = None

    @property
    def failed(self) -> list[Step]:
        """
        The steps that have failed.
        """
        return [step for step in self.steps if step.status == "FAIL"]

    @property
    def tried(self) -> bool:
        """
        Whether anything could be tried.
        """
        return any(step.status != "skip" for step in self.steps)

    def fields(self) -> dict[str, Any]:
        """
        Give its fields, as JSON has them.
        """
        return {
            "ok": self.tried and not self.failed,
            "elapsed_seconds": _rounded(self.elapsedSeconds),
            "steps": [step.fields() for step in self.steps],
        }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)
