"""
C{upper-client ask}: send one line, and print its answer.
"""

from __future__ import annotations

from typing import Any

from upperproto.command.errors import WrongUsage
from upperproto.command.findings.diagnoses import Fault
from upperproto.command.findings.records import Answered
from upperproto.command.formats.formatter import Formatter
from upperproto.command.probe.probe import Probe
from upperproto.command.route.connection import Connector


async def ask(
    text: str, formatter: Formatter, connector: Connector, reactor: Any
) -> int:
    """
    Ask for the upper case of a text, and print it.

    @param text: one line.
    @param formatter: prints the answer.
    @param connector: makes the connection.
    @param reactor: tells the time.
    @return: the exit status.
    @raise WrongUsage: if the text is not UTF-8, or more than one line.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise WrongUsage("the TEXT is not UTF-8") from error
    if "\n" in text:
        raise WrongUsage("ask takes one line, and the TEXT has more")
    probe = Probe(connector, reactor)
    try:
        await probe.open()
        record = await probe.ask(text)
    except Fault as fault:
        record = Answered(0, text, fault=fault, resolveSeconds=probe.resolveSeconds)
    return formatter.asked(record)
