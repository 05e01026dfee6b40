"""
The log of connections: that one has opened, was refused, or has closed, and why.
"""

from __future__ import annotations

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from zope.interface import implementer

from upperproto.interfaces import IConnectionLog, IServedConnection
from upperproto.monitoring.conversationlog import TextLog, escape


def peerName(address: IAddress) -> str:
    """
    Get the name of a peer, as people write it.

    @param address: the address that a connection comes from.
    @return: C{127.0.0.1:5000}, C{[::1]:5000}, or the kind of the socket.
    """
    if isinstance(address, IPv4Address):
        return f"{address.host}:{address.port}"
    if isinstance(address, IPv6Address):
        return f"[{address.host}]:{address.port}"
    if isinstance(address, UNIXAddress):
        return "a UNIX socket"
    return str(address)


def clientName(connection: IServedConnection) -> str:
    """
    Get the name of a client, as people write it, with its verified identity.
    """
    name = peerName(connection.peer)
    if connection.identity:
        name += f" ({escape(connection.identity.encode())})"
    return name


@implementer(IConnectionLog)
class ConnectionLog(TextLog):
    """
    Log the connections of a service, in Twisted's log, and what L{TextLog} does.
    """

    @property
    def lost(self) -> int:
        """
        The number of lines that could not be written. Twisted does not count them.
        """
        return 0

    def start(self) -> None:
        """
        Do nothing, because Twisted opens its log itself.
        """

    def stop(self) -> None:
        """
        Do nothing, because Twisted closes its log itself.
        """

    def refused(
        self, peer: IAddress, why: str, transport: object, seconds: float
    ) -> None:
        """
        Log that a connection was refused before it was served.
        """
        self._info(
            "Connection from {peer} refused: {why}",
            {"peer": peerName(peer), "why": why},
        )

    def opened(self, connection: IServedConnection) -> None:
        """
        Log that a connection has opened.
        """
        self._info("Connection from {peer}", {"peer": clientName(connection)})

    def truncated(self, connection: IServedConnection) -> None:
        """
        Log that a client has ended its TCP stream without the end of its TLS stream.
        """
        self._info(
            "Connection from {peer} ended without a TLS close_notify:"
            " somebody on the way may have cut it short",
            {"peer": peerName(connection.peer)},
            connection,
        )

    def closed(
        self, connection: IServedConnection, seconds: float, why: str, refused: bool
    ) -> None:
        """
        Log that a connection has closed.
        """
        bytesIn, bytesOut = connection.receivedBytes, connection.answeredBytes
        undelivered = connection.undeliveredBytes
        # This puts all values in one field: to look up each further field costs
        # Twisted's text log more time than to format them all here.
        summary = (
            f"{seconds:.3f} s: {why}; {bytesIn} bytes in, {bytesOut} bytes out,"
            f" {undelivered} undelivered"
        )
        self._info(
            "Connection from {peer} closed after {summary}",
            {
                "peer": clientName(connection),
                "summary": summary,
                "seconds": seconds,
                "why": why,
                "bytesIn": bytesIn,
                "bytesOut": bytesOut,
                "undelivered": undelivered,
            },
        )
