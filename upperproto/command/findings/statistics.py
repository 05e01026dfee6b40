"""
Statistics of pings: counts, and the least, mean and greatest round trip, their
deviation and percentiles.
"""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from math import ceil, sqrt
from typing import TYPE_CHECKING, Any

from upperproto.command.findings.diagnoses import Fault
from upperproto.command.findings.records import Answered, rounded

if TYPE_CHECKING:
    from upperproto.tls.certificates.serverdetails import TLSDetails

PERCENTILES = (50, 90, 99)


@dataclass
class Pings:
    """
    Count all pings of a run, and measure their round trips.

    @ivar elapsedSeconds: how long the run took.
    @ivar rtts: the round trips of right answers, in seconds.
    @ivar parts: the times of each part of the connections, in seconds.
    @ivar instances: how often each server answered, by the name that it gives itself.
    @ivar fault: the last one.
    @ivar tls: what the server showed last.
    @ivar duplicates: how many answers came twice; L{None} without datagrams.
    @ivar reordered: how many came after a later answer; L{None} without datagrams.
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
        Give the counts, each with its name.
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
        Count one ping.
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
        Summarise the round trips, in seconds, as ping(8) does, with percentiles (of
        the nearest rank).
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
            "elapsed_seconds": rounded(self.elapsedSeconds),
            **{f"rtt_{each}_seconds": rounded(found.get(each)) for each in names},
            **{
                name.replace("_seconds", "_avg_seconds"): rounded(
                    sum(times) / len(times)
                )
                for name, times in self.parts.items()
            },
            "instances": dict(self.instances),
            "tls": self.tls,
        }
