"""
The format C{text}, for people.
"""

from __future__ import annotations

import textwrap

from upperproto.command.errors import NotConnected
from upperproto.command.findings.diagnoses import Fault
from upperproto.command.findings.durations import milliseconds
from upperproto.command.findings.records import Answered, Report, Step
from upperproto.command.findings.statistics import PERCENTILES, Pings
from upperproto.command.formats.formatter import Formatter

_PARTS = {"resolve_seconds": "name", "connect_seconds": "connect", "tls_seconds": "tls"}
_WIDTH = 80


class TextFormatter(Formatter):
    """
    Print lines for people.
    """

    # Why the last ping failed; empty if it did not. And the codes of the faults that
    # were explained.
    _problem = ""
    _explained: tuple[str, ...] = ()

    def asked(self, record: Answered) -> int:
        """
        Print the answer, or why there is none.
        """
        if record.fault is None:
            self.write(f"{record.answer}\n")
        else:
            self._complainOf(record.fault)
        return super().asked(record)

    def pingsBegin(self, size: int) -> None:
        """
        Print which server is pinged.
        """
        unit = "bytes" if self.target.startswith("udp:") else "characters"
        self.write(f"PING {self.target}: {size} {unit} each\n")

    def pinged(self, record: Answered) -> None:
        """
        Print a line for a ping. The reason of a fault is not repeated while it stays
        the same, and each kind of fault is explained once.
        """
        parts = [f"seq={record.number}"]
        fault, before = record.fault, self._problem
        self._problem = str(fault or "")
        explanation = []
        if fault is None:
            parts.append(f"time={milliseconds(record.rttSeconds)}")
        else:
            why = "as before" if self._problem == before else self._problem
            parts.append(f"{record.outcome.upper()}: {why}")
            if fault.code not in self._explained:
                self._explained += (fault.code,)
                explanation = _explanation(fault, "  ")
        for name, seconds in record.timing().items():
            if name in _PARTS and seconds is not None:
                parts.append(f"{_PARTS[name]}={milliseconds(seconds)}")
        if record.instance:
            parts.append(f"by {record.instance}")
        self.write("\n".join([" ".join(parts), *explanation]) + "\n")

    def pingsEnd(self, pings: Pings) -> int:
        """
        Print the statistics.
        """
        lines = [
            f"--- {self.target} ping statistics ---",
            "".join(f"{count} {name}, " for name, count in pings.counts().items())
            + f"time {pings.elapsedSeconds * 1000:.0f} ms",
        ]
        found = pings.statistics()
        if found:
            for names in (
                ("min", "avg", "max", "mdev"),
                tuple(f"p{each}" for each in PERCENTILES),
            ):
                values = "/".join(f"{found[name] * 1000:.3f}" for name in names)
                lines.append(f"rtt {'/'.join(names)} = {values} ms")
        for name, times in pings.parts.items():
            if len(times) > 1:
                values = "/".join(
                    f"{value * 1000:.3f}"
                    for value in (min(times), sum(times) / len(times), max(times))
                )
                lines.append(f"{_PARTS[name]} min/avg/max = {values} ms")
        if pings.instances:
            each = ", ".join(f"{k}: {n}" for k, n in sorted(pings.instances.items()))
            lines.append(f"answered by {each}")
        self.write("\n".join(lines) + "\n")
        return super().pingsEnd(pings)

    def stepped(self, step: Step) -> None:
        """
        Print a line for a step, and what a fault means.
        """
        label = f"{step.name:<11} {step.status:<4}  "
        said = str(step.fault) if step.fault is not None else step.detail
        lines = textwrap.wrap(
            said,
            _WIDTH,
            initial_indent=label,
            subsequent_indent=" " * len(label),
            break_long_words=False,
        ) or [label.rstrip()]
        if step.fault is not None:
            lines += _explanation(step.fault, " " * len(label))
        self.write("\n".join(lines) + "\n")

    def examined(self, report: Report) -> int:
        """
        Print the outcome.
        """
        counts = [
            f"{sum(step.status == status for step in report.steps)} {words}"
            for status, words in (("ok", "ok"), ("FAIL", "failed"), ("skip", "skipped"))
        ]
        self.write(f"{', '.join(counts)}, {report.elapsedSeconds:.1f} s\n")
        return super().examined(report)

    def failed(self, fault: Fault) -> int:
        """
        Print why nothing could be tried.
        """
        self._complainOf(fault)
        return super().failed(fault)

    def _complainOf(self, fault: Fault) -> None:
        self.complain(_explain(f"{self.target}: {fault}", fault))


def notConnected(error: NotConnected) -> str:
    """
    Give the message of an error, and explain the fault.
    """
    return _explain(str(error), Fault(error.code, error.why))


def _explain(said: str, fault: Fault) -> str:
    return "\n".join([said, *_explanation(fault, "  ")])


def _explanation(fault: Fault, indent: str) -> list[str]:
    """
    Say what a fault means, and what usually causes it.

    @param indent: the beginning of each line.
    """
    lines = []
    for label, words in (("", fault.meaning), ("Usual cause: ", fault.cause)):
        lines += textwrap.wrap(
            label + words,
            _WIDTH,
            initial_indent=indent,
            subsequent_indent=indent,
            break_on_hyphens=False,
        )
    return lines
