"""
Connections for the tests of logs (what a log asks of them, and no more), and the texts
of events.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, eventAsText

from upperproto.protocol import UpperProtocol

CLIENT = IPv4Address("TCP", "192.0.2.1", 1234)


class Served(UpperProtocol):
    """
    A connection whose numbers a test sets.
    """

    invalidLines = 0


def served(**attributes: Any) -> Served:
    """
    Make a connection from L{CLIENT}.

    @param attributes: those of the connection.
    """
    connection = Served()
    connection.transport = StringTransport(peerAddress=CLIENT)
    for name, value in attributes.items():
        setattr(connection, name, value)
    return connection


def texts(events: Sequence[LogEvent]) -> list[str]:
    """
    Give what is logged, as the text log has it.
    """
    return [
        eventAsText(event, includeTimestamp=False, includeSystem=False)
        for event in events
    ]
