"""
The format C{json}: an object on each line.
"""

from __future__ import annotations

import json
from typing import Any

from upperproto.command.findings.diagnoses import Fault
from upperproto.command.findings.records import Answered, Report, faultFields
from upperproto.command.findings.statistics import Pings
from upperproto.command.formats.formatter import Formatter


class JSONFormatter(Formatter):
    """
    Print one object for ask and for check, and one for each ping.
    """

    def asked(self, record: Answered) -> int:
        """
        Print the answer.
        """
        opened = record.opened
        self._print(
            ok=record.fault is None,
            text=record.text,
            answer=record.answer,
            **record.fields(),
            tls=opened and opened.tls,
        )
        return super().asked(record)

    def pinged(self, record: Answered) -> None:
        """
        Print a ping.
        """
        self._print(kind="ping", sequence=record.number, **record.fields())

    def pingsEnd(self, pings: Pings) -> int:
        """
        Print the statistics.
        """
        status = super().pingsEnd(pings)
        self._print(kind="summary", ok=status == 0, **pings.fields())
        return status

    def examined(self, report: Report) -> int:
        """
        Print all steps.
        """
        self._print(**report.fields())
        return super().examined(report)

    def failed(self, fault: Fault) -> int:
        """
        Print why nothing could be tried.
        """
        self._print(ok=False, **faultFields(fault))
        return super().failed(fault)

    def _print(self, **fields: Any) -> None:
        about = {"command": self.command, "target": self.target, **fields}
        self.write(json.dumps(about) + "\n")
