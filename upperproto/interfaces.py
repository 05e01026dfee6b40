"""
What the parts of the service know of each other.

A part that needs something of another one asks for one of these interfaces, and
imports nothing of the part that provides it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IAddress, IReactorTime
from zope.interface import Attribute, Interface


class IUpperService(Interface):
    """
    What a connection needs of its service.
    """

    errors: str = Attribute("What becomes of invalid UTF-8.")
    flushAfter: float | None = Attribute(
        "How many seconds of quiet have an unfinished line answered; None for never."
    )
    clock: IReactorTime | None = Attribute(
        "What tells the time; None where nothing has to be timed."
    )
    connectionLog: IConnectionLog | None = Attribute(
        "What is told of the connections; None if nothing is."
    )

    def getClock() -> IReactorTime:
        """
        Get what tells the time, whether or not there is a L{clock}.
        """

    def connectionOpened(connection: IServedConnection) -> None:
        """
        A connection was made: give it its place, or tell it that there is none.
        """

    def connectionClosed(connection: IServedConnection, reason: str) -> None:
        """
        A connection was lost.

        @param reason: what ended it, for the log.
        """


class IObserved(Interface):
    """
    A service of Twisted (C{IService}) that tells how it does.
    """

    serving: int = Attribute("How many processes serve: 0 before they do.")

    def listeners() -> list[tuple[str, str]]:
        """
        Give the addresses that are listened on, each with the faults that its
        connections are given, or none.
        """

    def workers() -> list[tuple[str, str]]:
        """
        Give the name and the state of each process, if there are several.
        """

    def snapshot() -> dict[str, Any]:
        """
        Give what has happened: C{connections}, how many are open; C{counts} and
        C{incidents}, as L{upperproto.monitoring.counters.Counters} has them; and
        C{notAfter}, when the certificate expires, in seconds since 1970, or L{None}.
        """


class IConnectionLog(Interface):
    """
    What is told of a service's connections, and writes it down.
    """

    lines: bool = Attribute("Whether it wants to know what is said.")
    lost: int = Attribute("How many lines could not be written, as far as it knows.")

    def start() -> None:
        """
        The service starts.

        @raise OSError: if nothing can be written.
        """

    def stop() -> None:
        """
        The last connection has closed, or the service could not start.
        """

    def opened(connection: IServedConnection) -> None:
        """A connection has opened."""

    def closed(
        connection: IServedConnection, seconds: float, why: str, refused: bool
    ) -> None:
        """
        A connection has closed.

        @param seconds: how long it was open.
        @param why: what ended it.
        @param refused: whether there was no place for it.
        """

    def refused(peer: IAddress, why: str, transport: Any, seconds: float) -> None:
        """
        A connection was closed before its conversation began.

        @param peer: the client.
        @param why: what was missing.
        @param transport: its transport; None where it had none yet.
        @param seconds: how long it was open.
        """

    def truncated(connection: IServedConnection) -> None:
        """A client has ended its TCP stream, but not its TLS one."""

    def received(data: bytes, connection: IServedConnection | None = None) -> None:
        """
        A client has said something.

        @param data: lines, or a part of one.
        @param connection: where; none for a datagram.
        """

    def answered(data: bytes, connection: IServedConnection | None = None) -> None:
        """
        It was answered.

        @param data: lines, or a part of one.
        @param connection: where; none for a datagram.
        """


class IServedConnection(Interface):
    """
    A connection as those see it who limit how long it lasts.
    """

    peer: IAddress = Attribute("Where the client is.")
    ending: bool = Attribute("Whether our side has ended.")
    transport: Any = Attribute("Its transport.")
    identity: str = Attribute("What was verified of the client; empty by default.")
    tlsVersion: str = Attribute("The version of TLS, such as 1.3; empty without TLS.")
    connectionID: str = Attribute(
        "What the access log calls it, which sets this; empty without one."
    )
    mark: str = Attribute(
        "What lines of the log begin with that are about it: its id, if it has one."
    )
    receivedBytes: int = Attribute("How many bytes the client has sent.")
    answeredBytes: int = Attribute("How many bytes it has been answered.")
    undeliveredBytes: int = Attribute(
        "How many of these could not be delivered; known when the connection is lost."
    )
    invalidLines: int = Attribute(
        "How many lines were answered with an error, because they are not UTF-8."
    )
    toldError: str = Attribute(
        "The error that the client was told at last; empty without one."
    )
    lastActivity: float = Attribute(
        "When something was last known to move, either way, in seconds of the clock."
    )

    def unsentBytes() -> int:
        """
        How many bytes of answers the kernel has not taken yet.
        """

    def unacknowledgedBytes() -> int:
        """
        How many bytes the client's system has not acknowledged yet.
        """

    def answer(text: bytes, answer: bytes) -> None:
        """
        Send an answer or a notice: see L{upperproto.UpperProtocol.answer}.
        """

    def finish(reason: str, error: str = "", discardPartial: bool = False) -> None:
        """
        End the conversation in good order: see L{upperproto.UpperProtocol.finish}.
        """

    def abort(reason: str) -> None:
        """
        End the connection at once: see L{upperproto.UpperProtocol.abort}.
        """


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
    A protocol that logs by C{twisted.logger} alone, and so has no use for the
    context that C{twisted.python.log.callWithLogger} makes for each event; or a factory
    that builds no others.
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

    def refused(
        peer: IAddress, why: str, transport: Any = None, seconds: float = 0.0
    ) -> None:
        """
        A connection was not let in.

        @param peer: where it came from.
        @param why: what was missing, for the log.
        @param transport: its transport; None where it had none yet.
        @param seconds: how long it has waited.
        """


class IPeerAware(Interface):
    """
    A protocol that can be told for whom its connection speaks: a PROXY header has
    said so, and the transport names the proxy.
    """

    peer: IAddress | None = Attribute(
        "The client. It is set before the connection is made; L{None}, as it is by"
        " default: the client is who the transport says."
    )


class IUNIXAdoption(Interface):
    """
    A reactor whose C{adoptStreamPort} takes a UNIX socket as it is, with its mode and
    its backlog, and at the end only closes its own copy.
    """


class IIterationEnd(Interface):
    """A reactor that calls something at the end of its iteration."""

    def callAtEnd(call: Callable[[], object]) -> bool:
        """
        Call it once, before what was written is sent, or before the reactor waits.

        @return: False for another thread, and while the reactor waits or does not run.
        """
