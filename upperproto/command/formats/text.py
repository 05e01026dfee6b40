"""
The format C{text}, for people.
"""

from __future__ import annotations

import textwrap

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

    def asked(self, record: Answered) -> int:
        """
        Print the answer, or why there is none.
        """
        if record.fault is None:
            self.write(f"{record.answer}\n")
        else:
            lines = [f"{self.target}: {record.fault}", *_explained(record.fault, "  ")]
            self.complain("\n".join(lines))
        return super().asked(record)

    def pingsBegin(self, size: int) -> None:
        """
        Print which server is pinged.
        """
        unit = "bytes" if self.target.startswith("udp:") else "characters"
        self.write(f"PING {self.target}: {size} {unit} each\n")

    def pinged(self, record: Answered) -> None:
        """
        Print a line for a ping.
        """
        parts = [f"seq={record.number}"]
        if record.fault is None:
            parts.append(f"time={milliseconds(record.rttSeconds)}")
        else:
            parts.append(f"{record.outcome.upper()}: {record.fault}")
        for name, seconds in record.timing().items():
            if name in _PARTS and seconds is not None:
                parts.append(f"{_PARTS[name]}={milliseconds(seconds)}")
        if record.instance:
            parts.append(f"by {record.instance}")
        self.write(" ".join(parts) + "\n")

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
            lines += _explained(step.fault, " " * len(label))
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
        self.complain(f"{self.target}: {fault}")
        return super().failed(fault)


def _explained(fault: Fault, indent: str) -> list[str]:
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
