"""
The format C{plugin}: one line and a status, by the convention of monitoring plugins.
"""

from __future__ import annotations

from upperproto.command.findings.diagnoses import Fault
from upperproto.command.findings.durations import milliseconds
from upperproto.command.findings.records import Answered, Report
from upperproto.command.findings.statistics import Pings
from upperproto.command.formats.formatter import Formatter

_OK, _WARNING, _CRITICAL, UNKNOWN = range(4)
_WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")


def line(status: int, said: str, performance: str = "") -> str:
    """
    Write the line of a plugin.

    @param status: the exit status.
    @param said: the text for people.
    @param performance: the values for programs.
    """
    # The values for programs begin after a bar.
    shown = " ".join(said.replace("|", "/").split())
    tail = f" | {performance}" if performance else ""
    return f"{_WORDS[status]} - {shown}{tail}\n"


class PluginFormatter(Formatter):
    """
    Print one line at the end.
    """

    atTheEnd = True

    def asked(self, record: Answered) -> int:
        """
        Print how long the answer took.
        """
        if record.fault is not None:
            return self._end(_CRITICAL, f"{self.target}: {record.fault}")
        times = {"time": record.rttSeconds}
        for name, seconds in record.timing().items():
            if name != "rtt_seconds":
                times[name.removesuffix("_seconds")] = seconds
        said = f"{self.target} answered in {milliseconds(record.rttSeconds)}"
        return self._end(_OK, said, _performance(times))

    def pingsEnd(self, pings: Pings) -> int:
        """
        Print how long the answers took, and how many are missing.
        """
        found = pings.statistics()
        status = _OK
        if pings.wrong or not pings.answered:
            status = _CRITICAL
        elif pings.lost:
            status = _WARNING
        said = f"{self.target}: {pings.answered} of {pings.sent} answered"
        if found:
            said += f", in {milliseconds(found['avg'])} on average"
        if pings.fault is not None:
            said += f"; last fault: {pings.fault}"
        names = {"time": "avg", "min": "min", "max": "max", "p99": "p99"}
        times = {name: found.get(which) for name, which in names.items()}
        counts = [f"{name}={getattr(pings, name)};;;0" for name in ("wrong", "lost")]
        performance = [_performance(times), *counts]
        return self._end(status, said, " ".join(filter(None, performance)))

    def examined(self, report: Report) -> int:
        """
        Print which steps have failed.
        """
        failed = report.failed
        if not report.tried:
            status, said = UNKNOWN, "nothing could be tried"
        elif failed:
            status = _CRITICAL
            said = "; ".join(f"{step.name}: {step.fault}" for step in failed)
        else:
            status = _OK
            done = sum(step.status == "ok" for step in report.steps)
            said = f"{done} steps ok"
        performance = _performance({"time": report.elapsedSeconds})
        return self._end(status, f"{self.target}: {said}", performance)

    def failed(self, fault: Fault) -> int:
        """
        Print why nothing could be tried.
        """
        return self._end(UNKNOWN, f"{self.target}: {fault}")

    def _end(self, status: int, said: str, performance: str = "") -> int:
        self.write(line(status, said, performance))
        return status


def _performance(times: dict[str, float | None]) -> str:
    return " ".join(
        f"{name}={seconds:.6f}s;;;0"
        for name, seconds in times.items()
        if seconds is not None
    )
