"""
What a format has to print, and the statuses of the process.
"""

from __future__ import annotations

from collections.abc import Callable

from upperproto.command.findings.faults import Fault
from upperproto.command.findings.records import Answered, Pings, Report, Step

# Statuses of the process.
GOOD, BAD, UNTRIED = 0, 1, 2


class Formatter:
    """
    Print records as they come. Each method that ends something gives the status of
    the process.

    @cvar atTheEnd: whether nothing is printed before the end.
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
        @param target: the server, in words.
        @param write: writes a text to standard output.
        @param complain: tells the person a line on standard error.
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

        @param size: how many characters each has.
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
        Print that nothing could be tried.
        """
        return UNTRIED


def milliseconds(seconds: float | None) -> str:
    """
    Write a time for people, with its unit.
    """
    if seconds is None:
        return "?"
    value = seconds * 1000
    digits = 3 if value < 10 else 2 if value < 100 else 1 if value < 1000 else 0
    return f"{value:.{digits}f} ms"
