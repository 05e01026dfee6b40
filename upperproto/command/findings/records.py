"""
Records of what probes found: an answer, a step, an examination. The formats print
them.

The fields of each have the names that stand in JSON. Such a name never changes; new
names may come. A name ends with its unit. A time is in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from upperproto.command.findings.diagnoses import Fault
from upperproto.command.route.connection import Opened

if TYPE_CHECKING:
    from upperproto.tls.certificates.serverdetails import TLSDetails


# The faults with which something else came in place of the answer, by their codes.
_WRONG = {"echo", "foreign", "ascii", "wrong", "much", "other-server", "order", "torn"}


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
    One text that was sent, and its answer or its fault.

    @ivar number: of the ping, from 1.
    @ivar text: the text.
    @ivar answer: the answer, if it was right.
    @ivar rttSeconds: from when the system got the text until the answer was read.
    @ivar opened: the connection that was made for it; L{None} if there was one before.
    @ivar resolveSeconds: how long the name took, if it was looked up for this text.
    @ivar instance: the name of the server that answered; empty if it has none.
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
        return "wrong" if self.fault.code in _WRONG else "lost"

    def timing(self) -> dict[str, float | None]:
        """
        Give the time of each part.
        """
        return {
            "resolve_seconds": rounded(self.resolveSeconds),
            "connect_seconds": rounded(self.opened and self.opened.connectSeconds),
            "tls_seconds": rounded(self.opened and self.opened.tlsSeconds),
            "rtt_seconds": rounded(self.rttSeconds),
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
class Step:
    """
    A step of an examination.

    @ivar name: of the step.
    @ivar status: C{ok}, C{FAIL} or C{skip}.
    @ivar detail: what was measured, or why the step was left out, in one line.
    @ivar measured: the same as numbers. Each name ends with its unit.
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
            "elapsed_seconds": rounded(self.elapsedSeconds),
            "measured": self.measured,
            **faultFields(self.fault),
        }


@dataclass
class Report:
    """
    All steps of an examination.

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
        The steps that failed.
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
            "elapsed_seconds": rounded(self.elapsedSeconds),
            "steps": [step.fields() for step in self.steps],
        }


def rounded(seconds: float | None) -> float | None:
    """
    Round a time to microseconds.
    """
    return None if seconds is None else round(seconds, 6)
