"""
A stream of text over TLS: the handshake, and text in both directions.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IProtocol,
    IPushProducer,
    ITransport,
)
from twisted.internet.protocol import Protocol
from twisted.protocols.policies import ProtocolWrapper
from zope.interface import implementer

from upperproto.interfaces import IPeerAware, ISendQueue
from upperproto.tls.engine import TLSConnection, broken
from upperproto.tls.floodguard import MAX_BYTES, FloodGuard
from upperproto.tls.undelivered import Records


@implementer(IPeerAware, ISendQueue, ITransport)
class TLSStream(ProtocolWrapper):
    """
    A transport over TLS. It is also the protocol of the transport below it.

    @ivar peer: the address of the other end, if somebody has set it.
    @ivar records: counts the bytes that have been written and sent.
    """

    # The transport below, from the endpoint.
    transport: Any
    # A TLSFactory, which knows this class.
    factory: Any

    peer: IAddress | None = None

    # None when the transport below is lost.
    _connection: TLSConnection | None = None
    # The protocol has aborted the connection.
    _isAborted = False
    # The protocol gets the text of the bytes that have come.
    _isReceiving = False
    # The registered producer.
    _producer: Any = None
    # It is paused because text waits for encryption.
    _producerWaits = False
    # Whether the protocol needs a log context.
    logContext = True

    def makeConnection(self, transport: Any) -> None:
        """
        Begin the handshake.
        """
        self.records = Records(transport)
        self._floodGuard = FloodGuard()
        # Text that cannot be encrypted yet.
        self._waiting: list[bytes] = []
        connection = self._connection = self.factory.connect(self)
        Protocol.makeConnection(self, transport)
        self.factory.registerProtocol(self)
        self.switchProtocol(self.wrappedProtocol)
        if connection.isClient and not self._isAborted:
            self._shakeHands(connection)
        self._follow()

    def getHandle(self) -> Any:
        """
        Get this end of TLS; L{None} when the connection is lost.
        """
        return self._connection

    def getPeerCertificate(self) -> Any:
        """
        Get the peer's certificate, an object of pyOpenSSL; L{None} if there is none.
        """
        return self.getHandle().get_peer_certificate()

    def getPeer(self) -> Any:
        """
        Get the address of the other end.
        """
        return self.peer or self.transport.getPeer()

    def switchProtocol(self, protocol: IProtocol) -> None:
        """
        Become another protocol's transport.
        """
        self.wrappedProtocol = protocol
        self.logContext = getattr(protocol, "logContext", True)
        protocol.makeConnection(self)

    def dataReceived(self, data: bytes) -> None:
        """
        Give the received text to the protocol.
        """
        connection = self._connection
        assert connection is not None
        self._isReceiving = True
        try:
            text = b""
            pieces = self._floodGuard.cut(data)
            for piece in pieces:
                text += self._receive(connection, piece)
                isDue = len(text) >= MAX_BYTES or piece is pieces[-1]
                if text and isDue and not self._isAborted:
                    self.wrappedProtocol.dataReceived(text)
                    text = b""
        finally:
            self._isReceiving = False
        if connection.hasRecords:
            self._send(connection)
        self._follow()

    def write(self, data: bytes) -> None:
        """
        Send text.
        """
        connection = self._connection
        if connection is None:
            return
        self.records.written(len(data))
        if (
            connection.ended
            or connection.error is not None
            or (self.disconnecting and self._producer is None)
        ):
            # Nobody will get it.
            return
        if connection.established and not self._waiting:
            self._encrypt(connection, data)
            if connection.error is not None:
                self._follow()
        else:
            self._waiting.append(data)
            self._letProducerWait()

    def writeSequence(self, data: Any) -> None:
        """
        Send pieces of text.
        """
        self.write(b"".join(data))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        Take text from a producer.
        """
        if self._connection is None or self._connection.error is not None:
            producer.stopProducing()
            return
        self.transport.registerProducer(producer, streaming)
        self._producer = producer
        self._follow()

    def unregisterProducer(self) -> None:
        """
        Take no more text from the producer.
        """
        if self._producer is not None:
            self._producer = None
            self._producerWaits = False
            self.transport.unregisterProducer()
        self._follow()

    def unsentBytes(self) -> int:
        """
        Get the number of bytes of text that the kernel has not taken yet.
        """
        return self.records.unsentBytes()

    def unacknowledgedBytes(self) -> int:
        """
        Get the number of bytes of text that the peer's system has not acknowledged yet.
        """
        return self.records.unacknowledgedBytes()

    def _follow(self) -> None:
        """
        End or close the transport below, if that was asked for or is necessary now, but
        not while the protocol receives. The connection may close in this call, so each
        method makes this call last.
        """
        raise NotImplementedError

    def _receive(self, connection: TLSConnection, data: bytes) -> bytes:
        """
        Take bytes.

        @return: the text in them.
        """
        if self._isAborted or connection.peerEnded or connection.error is not None:
            # Bytes after the end have no meaning, and OpenSSL would store them.
            return b""
        connection.receive(data)
        hasMeaning = not connection.established
        if hasMeaning and not self._shakeHands(connection):
            return b""
        text = connection.read()
        if text or hasMeaning:
            self._floodGuard.withoutText = 0
        elif self._floodGuard.isFlood(len(data)) and connection.error is None:
            connection.error = broken("too many records without text")
        if self._waiting:
            # It has waited for another handshake.
            self._encryptWaiting(connection)
        return text

    def _shakeHands(self, connection: TLSConnection) -> bool:
        """
        Go on with the handshake.

        @return: whether it is over.
        """
        if not connection.shakeHands() or self._isAborted:
            self._send(connection)
            return False
        self._encryptWaiting(connection)
        if IHandshakeListener.providedBy(self.wrappedProtocol):
            self.wrappedProtocol.handshakeCompleted()
        return True

    def _encryptWaiting(self, connection: TLSConnection) -> None:
        """
        Encrypt the text that waits, and send it.
        """
        text = b"".join(self._waiting)
        self._waiting.clear()
        self._encrypt(connection, text)
        if self._producerWaits and not self._waiting:
            self._producerWaits = False
            self._producer.resumeProducing()

    def _encrypt(self, connection: TLSConnection, text: bytes) -> None:
        """
        Encrypt text, and send it. The rest waits.
        """
        taken = connection.write(text)
        self._send(connection)
        if taken < len(text):
            self._waiting.append(text[taken:])
            self._letProducerWait()

    def _send(self, connection: TLSConnection) -> None:
        """
        Send the records that are there.
        """
        records = connection.take()
        if records:
            self.transport.write(records)

    def _letProducerWait(self) -> None:
        """
        Pause the producer. A pull producer needs no pause: it is asked for more only
        when something has been sent.
        """
        if not self._producerWaits and IPushProducer.providedBy(self._producer):
            self._producerWaits = True
            self._producer.pauseProducing()
