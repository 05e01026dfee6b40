"""
A connection with faults, which are added between a transport and a protocol.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import alsoProvides, implementer

from upperproto.faults.garble import garble
from upperproto.faults.settings import ConnectionFaults
from upperproto.faults.shaping import Pipe
from upperproto.interfaces import ISendQueue

# With halfclose=off, bytes take at least so many seconds. Otherwise a server on the
# same machine would answer before the client ends its side, and nothing would be lost.
LEAST_DELAY = 0.02


@implementer(ITCPTransport, IConsumer, IPushProducer, ISendQueue)
class FaultyConnection(Protocol):
    """
    Add faults to a connection. The transport sees a protocol; the protocol sees a
    transport.

    @ivar protocol: the protocol. As with any transport, another one may replace it.
    """

    transport: Any

    disconnecting = False

    def __init__(
        self, inner: IProtocol | None, faults: ConnectionFaults, clock: IReactorTime
    ) -> None:
        """
        @param inner: the protocol; L{None} for a connection that gets no answers.
        @param faults: the faults of this connection.
        @param clock: tells the time.
        """
        self.protocol = inner
        self._faults = faults
        settings = faults.settings
        leastDelay = 0.0 if settings.halfclose else LEAST_DELAY
        self._inbound = Pipe(faults, clock, self._received, leastDelay)
        self._outbound = Pipe(faults, clock, self._send)
        self._left = faults.limit
        if settings.halfclose:
            alsoProvides(self, IHalfCloseableProtocol)

    def __getattr__(self, name: str) -> Any:
        """
        Get an attribute of the transport, such as C{getPeer}.
        """
        if name == "transport":
            raise AttributeError(name)
        return getattr(self.transport, name)

    # Methods that the transport calls.

    def connectionMade(self) -> None:
        """
        Connect the protocol.
        """
        # Twisted declares that transports of UNIX sockets are ITCPTransport, too.
        isTCP = isinstance(self.transport.getPeer(), (IPv4Address, IPv6Address))
        if self._faults.settings.slice is not None and isTCP:
            # Otherwise the kernel would join several pieces into one segment.
            self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self._outbound, True)
        self._inbound.setSender(self.transport)
        if self.protocol is not None:
            self.protocol.makeConnection(self)

    def dataReceived(self, data: bytes) -> None:
        """
        Pass on bytes of the client.
        """
        if self.protocol is not None:
            self._inbound.send(data)

    def readConnectionLost(self) -> None:
        """
        Pass on that the client has ended its side.
        """
        if self.protocol is None:
            self.loseConnection()
        else:
            self._inbound.end(self._readEnded)

    def writeConnectionLost(self) -> None:
        """
        Pass on that our side has ended.
        """
        protocol = IHalfCloseableProtocol(self.protocol, None)
        if protocol is not None:
            protocol.writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Pass on that the connection was lost. Bytes that still wait here are lost.
        """
        self._inbound.close()
        self._outbound.close()
        if self.protocol is not None:
            self.protocol.connectionLost(reason)

    # Methods that the protocol calls.

    def write(self, data: bytes) -> None:
        """
        Pass on an answer.
        """
        if self.disconnecting or not data:
            return
        random, share = self._faults.random, self._faults.settings.garble
        if share and random.random() < share:
            data = garble(data, random)
        self._outbound.send(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """
        Pass on an answer in pieces.
        """
        self.write(b"".join(data))

    def loseWriteConnection(self) -> None:
        """
        End our side after all answers.
        """
        self._outbound.end(
            self.transport.loseWriteConnection, self._faults.settings.slowclose
        )

    def loseConnection(self) -> None:
        """
        Close after all answers.
        """
        if not self.disconnecting:
            self.disconnecting = True
            self._outbound.end(self._close, self._faults.settings.slowclose)

    def abortConnection(self) -> None:
        """
        Close at once.
        """
        self.disconnecting = True
        self.transport.abortConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        Register the producer, which is paused while too many bytes of answers wait
        here.
        """
        if not streaming:
            raise RuntimeError("a fault: endpoint takes push producers only")
        self._outbound.setSender(producer)

    def unregisterProducer(self) -> None:
        """
        Forget the producer.
        """
        self._outbound.setSender(None)

    def pauseProducing(self) -> None:
        """
        Pause the bytes of the client.
        """
        self._inbound.pauseProducing()

    def resumeProducing(self) -> None:
        """
        Resume the bytes of the client.
        """
        self._inbound.resumeProducing()

    def stopProducing(self) -> None:
        """
        Close after all answers.
        """
        self.loseConnection()

    def unsentBytes(self) -> int:
        """
        Get the number of bytes of answers that the kernel has not taken yet.
        """
        queue = ISendQueue(self.transport, None)
        return self._outbound.size + (0 if queue is None else queue.unsentBytes())

    def unacknowledgedBytes(self) -> int:
        """
        Get the number of bytes of answers that the client's system has not acknowledged
        yet.
        """
        queue = ISendQueue(self.transport, None)
        below = 0 if queue is None else queue.unacknowledgedBytes()
        return self._outbound.size + below

    def _received(self, data: bytes) -> None:
        assert self.protocol is not None
        self.protocol.dataReceived(data)

    def _readEnded(self) -> None:
        protocol = IHalfCloseableProtocol(self.protocol, None)
        if protocol is None:
            # A protocol without half-close: the connection closes after the answers
            # that it has written.
            self.loseConnection()
        else:
            protocol.readConnectionLost()

    def _send(self, data: bytes) -> None:
        """
        Send an answer, or its beginning, up to the limit. At the limit, end the
        connection.
        """
        if self._left is None:
            self.transport.write(data)
            return
        data = data[: self._left]
        self._left -= len(data)
        self.transport.write(data)
        if not self._left:
            self._outbound.close()
            if self._faults.resets:
                self.abortConnection()
            else:
                self._close()

    def _close(self) -> None:
        # A transport that still has a producer never closes.
        self.transport.unregisterProducer()
        self.transport.loseConnection()
