"""
The base class of all output formats, and the exit statuses of the probes.
"""

from __future__ import annotations

from collections.abc import Callable

from upperproto.command.findings.diagnoses import Fault
from upperproto.command.findings.records import Answered, Report, Step
from upperproto.command.findings.statistics import Pings

# Exit statuses.
GOOD, BAD, UNTRIED = 0, 1, 2


class Formatter:
    """
    Print records. The methods that print an outcome return the exit status.

    @cvar atTheEnd: whether all is printed at the end, and nothing before.
    """

    atTheEnd = False

    def __init__(
        self,
        command: str,
        target: str,
        write: Callable[[str], None],
        complain: Callable[[str], None],
    ) -> None:
        """
        @param command: ask, ping or check.
        @param target: the name of the server.
        @param write: writes a text to standard output.
        @param complain: writes a message to standard error.
        """
        self.command = command
        self.target = target
        self.write = write
        self.complain = complain

    def asked(self, record: Answered) -> int:
        """
        Print the answer of ask.
        """
        return GOOD if record.fault is None else BAD

    def pingsBegin(self, size: int) -> None:
        """
        Print what comes before all pings.

        @param size: how many characters each ping has; over UDP, bytes.
        """

    def pinged(self, record: Answered) -> None:
        """
        Print one ping.
        """

    def pingsEnd(self, pings: Pings) -> int:
        """
        Print what comes after all pings.
        """
        return GOOD if pings.answered and not pings.wrong else BAD

    def stepped(self, step: Step) -> None:
        """
        Print one step of an examination.
        """

    def examined(self, report: Report) -> int:
        """
        Print what comes after all steps.
        """
        if not report.tried:
            return UNTRIED
        return BAD if report.failed else GOOD

    def failed(self, fault: Fault) -> int:
        """
        Print why nothing could be tried.
        """
        return UNTRIED
