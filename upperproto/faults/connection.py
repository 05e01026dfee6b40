"""
A connection with faults, between a transport and a protocol.
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

from upperproto.faults.pipe import Pipe
from upperproto.faults.settings import ConnectionFaults
from upperproto.interfaces import ISendQueue

# What ignores a client's half-close loses only answers that take a moment, and a
# server on the same machine answers before its end has been read. So what passes
# takes at least so many seconds there.
LEAST_DELAY = 0.02


@implementer(ITCPTransport, IConsumer, IPushProducer, ISendQueue)
class FaultyConnection(Protocol):
    """
    To the transport, a protocol; to the protocol, its transport.

    What is not said here is the transport's own.

    @ivar protocol: the protocol. As with any transport, it may be replaced by the next.
    """

    # What the endpoint hands us.
    transport: Any

    disconnecting = False

    def __init__(
        self, inner: IProtocol | None, faults: ConnectionFaults, clock: IReactorTime
    ) -> None:
        """
        @param inner: the protocol; L{None} where nobody is to answer.
        @param faults: those of this connection.
        @param clock: what tells the time.
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
        Get what the transport has, such as C{getPeer}.
        """
        if name == "transport":
            raise AttributeError(name)
        return getattr(self.transport, name)

    # From the transport.

    def connectionMade(self) -> None:
        """
        Connect the protocol.
        """
        # Transports of UNIX sockets say that they are those of TCP, too.
        isTCP = isinstance(self.transport.getPeer(), (IPv4Address, IPv6Address))
        if self._faults.settings.slice is not None and isTCP:
            # A piece would wait for the next one.
            self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self._outbound, True)
        self._inbound.setSender(self.transport)
        if self.protocol is not None:
            self.protocol.makeConnection(self)

    def dataReceived(self, data: bytes) -> None:
        """
        Pass on what the client sends.
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
        Pass on that the connection was lost. What is under way is lost, too.
        """
        self._inbound.close()
        self._outbound.close()
        if self.protocol is not None:
            self.protocol.connectionLost(reason)

    # From the protocol.

    def write(self, data: bytes) -> None:
        """
        Pass on an answer.
        """
        if self.disconnecting or not data:
            return
        random, garble = self._faults.random, self._faults.settings.garble
        if garble and random.random() < garble:
            place = random.randrange(len(data))
            changed = bytes([data[place] ^ random.randrange(1, 256)])
            data = data[:place] + changed + data[place + 1 :]
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
        Take note of who is to pause while too many answers are under way.
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
        Give the protocol nothing more for now.
        """
        self._inbound.pauseProducing()

    def resumeProducing(self) -> None:
        """
        Give the protocol what comes again.
        """
        self._inbound.resumeProducing()

    def stopProducing(self) -> None:
        """
        Close.
        """
        self.loseConnection()

    def unsentBytes(self) -> int:
        """
        How many bytes of answers the kernel has not taken yet.
        """
        queue = ISendQueue(self.transport, None)
        return self._outbound.size + (0 if queue is None else queue.unsentBytes())

    def unacknowledgedBytes(self) -> int:
        """
        How many bytes of answers the client's system has not acknowledged yet.
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
            # It takes it for the end of all, but for what is on its way.
            self.loseConnection()
        else:
            protocol.readConnectionLost()

    def _send(self, data: bytes) -> None:
        """
        Send an answer, as far as the limit allows.
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
