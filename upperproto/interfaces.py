"""
What the parts of the service know of each other.

A part that needs something of another one asks for one of these interfaces, and
imports nothing of the part that provides it.
"""

from __future__ import annotations

from twisted.internet.interfaces import IAddress, IReactorTime
from zope.interface import Attribute, Interface


class ISendQueue(Interface):
    """
    A transport that knows how much of what it was given still waits.

    What counts are the bytes that a protocol has written. Over TLS these are bytes
    of text: records and alerts that carry none do not count.
    """

    def unsentBytes() -> int:
        """
        How many bytes the kernel has not taken yet.
        """

    def unacknowledgedBytes() -> int:
        """
        How many bytes the peer's system has not acknowledged yet: those that are
        unsent, and those that wait in the kernel (C{SIOCOUTQ} of tcp(7)), which
        over TLS are bytes of records.
        """


class INoLogContext(Interface):
    """
    A protocol that logs by L{twisted.logger} alone, and so has no use for the
    context that L{twisted.python.log.callWithLogger} makes for each event.
    """


class IPending(Interface):
    """
    A connection that waits for what has to come before the protocol: a PROXY header,
    a TLS handshake.
    """

    def refuse(why: str) -> None:
        """
        Close the connection at once.

        @param why: for the log.
        """


class IPendingConnections(Interface):
    """
    The connections of a service that do not speak its protocol yet, bounded in
    number.
    """

    clock: IReactorTime = Attribute("What tells the time.")

    def add(pending: IPending) -> None:
        """
        A connection begins to wait. If too many do, the one that has waited longest
        is refused.
        """

    def remove(pending: IPending) -> None:
        """
        A connection waits no more: it has come in, or gone.
        """

    def refused(peer: IAddress, why: str) -> None:
        """
        A connection was not let in.

        @param peer: where it came from.
        @param why: what was missing, for the log.
        """
