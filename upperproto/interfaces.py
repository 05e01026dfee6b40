"""
The interfaces between the parts of the service.

A part that needs another one imports its interface from here, and not the other part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IAddress, IReactorTime
from zope.interface import Attribute, Interface


class IUpperService(Interface):
    """
    The service, for a connection.
    """

    errors: str = Attribute("What to do with invalid UTF-8.")
    flushAfter: float | None = Attribute(
        "After how many quiet seconds an unfinished line is answered; None for never."
    )
    clock: IReactorTime | None = Attribute("The clock; None if no time is needed.")
    connectionLog: IConnectionLog | None = Attribute(
        "The log of the connections; None if nothing is logged."
    )

    def getClock() -> IReactorTime:
        """
        Get the L{clock}; if there is none, the reactor.
        """

    def connectionOpened(connection: IServedConnection) -> None:
        """
        A connection was made: give it its place, or tell it that there is none.
        """

    def connectionClosed(connection: IServedConnection, reason: str) -> None:
        """
        A connection was lost.

        @param reason: why it has ended, for the log.
        """


class IObserved(Interface):
    """
    A service of Twisted (C{IService}), for its status.
    """

    serving: int = Attribute("How many processes serve: 0 before they do.")

    def listeners() -> list[tuple[str, str]]:
        """
        Give the address of each listener, and the faults of its connections; the faults
        are empty without any.
        """

    def workers() -> list[tuple[str, str]]:
        """
        Give the name and the state of each process, if there are several.
        """

    def snapshot() -> dict[str, Any]:
        """
        Give all counts: C{connections}, how many are open; C{counts} and C{incidents},
        as in L{upperproto.monitoring.counters.Counters}; and C{notAfter}, when the
        certificate expires, in seconds since 1970, or L{None}.
        """


class IConnectionLog(Interface):
    """
    The log of a service's connections.
    """

    lines: bool = Attribute("Whether it logs texts and answers.")
    lost: int = Attribute("How many lines could not be written, as far as is known.")

    def start() -> None:
        """
        Open the log: the service starts.

        @raise OSError: if nothing can be written.
        """

    def stop() -> None:
        """
        Close the log: the last connection has closed, or the service could not start.
        """

    def opened(connection: IServedConnection) -> None:
        """A connection has opened."""

    def closed(
        connection: IServedConnection, seconds: float, why: str, refused: bool
    ) -> None:
        """
        A connection has closed.

        @param seconds: how long it was open.
        @param why: why it has ended.
        @param refused: whether there was no place for it.
        """

    def refused(peer: IAddress, why: str, transport: Any, seconds: float) -> None:
        """
        A connection was closed before it reached the protocol.

        @param peer: the address of the client.
        @param why: what was missing.
        @param transport: its transport; None if it had none yet.
        @param seconds: how long it was open.
        """

    def truncated(connection: IServedConnection) -> None:
        """
        A client has ended its TCP stream, but not its TLS stream.
        """

    def received(data: bytes, connection: IServedConnection | None = None) -> None:
        """
        A client has sent text.

        @param data: lines, or a part of one.
        @param connection: its connection; none for a datagram.
        """

    def answered(data: bytes, connection: IServedConnection | None = None) -> None:
        """
        An answer was sent.

        @param data: lines, or a part of one.
        @param connection: its connection; none for a datagram.
        """


class IServedConnection(Interface):
    """
    A connection, for the limits and the logs.
    """

    peer: IAddress = Attribute("The address of the client.")
    ending: bool = Attribute("Whether our side has ended.")
    transport: Any = Attribute("Its transport.")
    identity: str = Attribute("What was verified of the client; empty by default.")
    tlsVersion: str = Attribute("The version of TLS, such as 1.3; empty without TLS.")
    connectionID: str = Attribute("Its id, which the access log sets; empty without.")
    mark: str = Attribute("The start of its lines in the log: its id, if it has one.")
    receivedBytes: int = Attribute("How many bytes the client has sent.")
    answeredBytes: int = Attribute("How many bytes of answers were written.")
    undeliveredBytes: int = Attribute(
        "How many of these could not be delivered; known when the connection is lost."
    )
    invalidLines: int = Attribute(
        "How many lines were answered with an error, because they are not UTF-8."
    )
    toldError: str = Attribute("The last error that the client was told, or empty.")
    lastActivity: float = Attribute(
        "When something was last sent or received, in seconds of the clock."
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
        End the connection in good order: see L{upperproto.UpperProtocol.finish}.
        """

    def abort(reason: str) -> None:
        """
        End the connection at once: see L{upperproto.UpperProtocol.abort}.
        """


class ISendQueue(Interface):
    """
    A transport that knows how many bytes wait to be sent.

    It counts the bytes that a protocol has written. Over TLS, these are bytes of text;
    records and alerts without text do not count.
    """

    def unsentBytes() -> int:
        """
        How many bytes the kernel has not taken yet.
        """

    def unacknowledgedBytes() -> int:
        """
        How many bytes the peer's system has not acknowledged yet: the unsent bytes, and
        those in the kernel (C{SIOCOUTQ} of tcp(7)). Over TLS, the latter are bytes of
        records.
        """


class IPending(Interface):
    """
    A connection that waits for a PROXY header or a TLS handshake.
    """

    def refuse(why: str) -> None:
        """
        Close the connection at once.

        @param why: for the log.
        """


class IPendingConnections(Interface):
    """
    The connections of a service that wait for a PROXY header or a TLS handshake. Their
    number has a limit.
    """

    clock: IReactorTime = Attribute("The clock.")

    def add(pending: IPending) -> None:
        """
        A connection begins to wait. If there are too many, the oldest is refused.
        """

    def remove(pending: IPending) -> None:
        """
        A connection does not wait any more: it has reached the protocol, or is lost.
        """

    def refused(
        peer: IAddress, why: str, transport: Any = None, seconds: float = 0.0
    ) -> None:
        """
        A connection was refused.

        @param peer: the address of the client.
        @param why: what was missing, for the log.
        @param transport: its transport; None if it had none yet.
        @param seconds: how long it has waited.
        """


class IPeerAware(Interface):
    """
    A protocol that can get the address of its client from a PROXY header.
    C{transport.getPeer()} is the proxy then.
    """

    peer: IAddress | None = Attribute(
        "The client. It is set before the connection is made. By default L{None}: the"
        " client is the peer of the transport."
    )


class IUNIXAdoption(Interface):
    """
    A reactor whose C{adoptStreamPort} does not change the mode and the backlog of a
    UNIX socket. At the end, it only closes its own copy.
    """


class IIterationEnd(Interface):
    """A reactor that calls something at the end of its iteration."""

    def callAtEnd(call: Callable[[], object]) -> bool:
        """
        Call it once, before what was written is sent, or before the reactor waits.

        @return: False for another thread, and while the reactor waits or does not run.
        """
