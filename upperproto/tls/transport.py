"""
A TLS transport for servers and clients that loses no data when a side ends.

A close_notify of the peer says only that it will send no more (RFC 8446, section 6.1).
Twisted's TLS transport ends the whole connection then, and does not answer requests in
the same segment. Its C{loseWriteConnection} ends the TCP stream without a
close_notify, which looks like an attack to the peer (U{Twisted issue 5341
<https://github.com/twisted/twisted/issues/5341>}). Its C{loseConnection} waits for the
peer's close_notify without limit
(U{7926<https://github.com/twisted/twisted/issues/7926>}). And if TLS breaks while a
producer is paused, it waits for that producer for ever. Here, each side ends its half
as over TCP, and a broken connection closes.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableProtocol,
    IPushProducer,
    ISSLTransport,
)
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from upperproto.tls.engine import TLSConnection
from upperproto.tls.stream import TLSStream

# The seconds that a peer may take to close a broken connection.
LINGER_TIMEOUT = 2.0


@implementer(IHalfCloseableProtocol, ISSLTransport)
class TLSTransport(TLSStream):
    """
    A transport over TLS. Each side can end alone (half-close).

    While a producer is registered, more text may come. So a protocol unregisters it
    before it ends its side or the connection, as on every transport of Twisted.
    """

    # The reason for the end, if the transport below does not know it.
    _reason: Failure | None = None
    # The protocol has asked to end our side.
    _endIsAsked = False
    # TLS has broken, and the end of the connection has begun.
    _isBroken = False
    # The transport below has sent everything, and ended our side.
    _belowHasEnded = False
    # The producer that was detached when it could send no more.
    _detached: Any = None
    # Waits for the peer to close a broken connection.
    _lingerTimer: IDelayedCall | None = None
    # The protocol knows that the peer's side has ended.
    _peerEndIsTold = False

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The transport below is lost.
        """
        if self._lingerTimer is not None and self._lingerTimer.active():
            self._lingerTimer.cancel()
        connection = self._connection
        assert connection is not None
        if self._reason is None and connection.error is not None:
            self._reason = Failure(connection.error)
        elif self._reason is None and not connection.peerEnded:
            # The stream is not complete.
            self._reason = Failure(CONNECTION_LOST)
        self.connected = False
        try:
            if self._detached is not None:
                self._detached.stopProducing()
        finally:
            super().connectionLost(self._reason or reason)
            self._connection = None

    def dataReceived(self, data: bytes) -> None:
        """
        Give the received text to the protocol, and then the end of the peer's side.
        """
        super().dataReceived(data)
        connection = self._connection
        if connection is not None and connection.peerEnded:
            self._peerHasEnded()

    def readConnectionLost(self) -> None:
        """
        The stream below has ended. Tell the factory if no close_notify came before: an
        attacker may have cut the stream, or the peer is a simple program, such as
        C{ncat --ssl}. A protocol that can end one side goes on as over TCP.
        """
        connection = self._connection
        assert connection is not None
        if connection.error is not None:
            self.transport.loseConnection()
        else:
            if connection.established and not self._peerEndIsTold:
                self.factory.truncated(self.wrappedProtocol)
            self._peerHasEnded()

    def writeConnectionLost(self) -> None:
        """
        Our side has ended, because the protocol asked for it or because TLS is broken.
        """
        self._belowHasEnded = True
        if self._isBroken:
            self._linger()
            return
        protocol = IHalfCloseableProtocol(self.wrappedProtocol, None)
        if protocol is not None:
            protocol.writeConnectionLost()

    def loseWriteConnection(self) -> None:
        """
        End our side, first in TLS and then below it, after all written text has been
        sent.
        """
        self._endIsAsked = True
        self._follow()

    def loseConnection(self) -> None:
        """
        Send the written text and a close_notify, and close. Do not wait for the peer's
        close_notify.
        """
        connection = self._connection
        if connection is None or self.disconnecting:
            return
        self.disconnecting = True
        if connection.established or self._waiting:
            self._follow()
        else:
            self.abortConnection()

    def abortConnection(self) -> None:
        """
        Close at once; text that was not delivered is lost.
        """
        if self._connection is not None:
            self.disconnecting = self._isAborted = True
            self.transport.abortConnection()

    def failVerification(self, reason: Failure) -> None:
        """
        Abort the connection, because the peer's certificate is not the right one.
        Twisted's clients call this.
        """
        self._reason = reason
        self.abortConnection()

    def unregisterProducer(self) -> None:
        """
        Take no more text from the producer.
        """
        self._detached = None
        super().unregisterProducer()

    def _follow(self) -> None:
        connection = self._connection
        if connection is None or self._isReceiving:
            return
        below = self.transport
        if connection.error is not None:
            if self.disconnecting or not connection.established:
                below.loseConnection()
            elif not self._isBroken:
                self._break(connection)
        elif self.disconnecting and connection.ended:
            below.loseConnection()
        elif (
            (self.disconnecting or self._endIsAsked)
            and connection.established
            and not (connection.ended or self._waiting)
            and self._producer is None
        ):
            connection.end()
            self._send(connection)
            if self.disconnecting:
                below.loseConnection()
            else:
                below.loseWriteConnection()
        if below.disconnecting:
            self._detachProducer()

    def _break(self, connection: TLSConnection) -> None:
        """
        TLS is broken, but TCP is not: let the sent bytes arrive before TCP closes.
        """
        self._isBroken = True
        below = self.transport
        self._detachProducer()
        below.pauseProducing()
        if self._belowHasEnded:
            self._linger()
        elif not connection.ended:
            below.loseWriteConnection()

    def _linger(self) -> None:
        """
        Wait for the peer to close, and throw away the bytes that it sends. If we close
        while such bytes are unread, the kernel sends a reset, which destroys the bytes
        that are on their way to the peer (RFC 1122, section 4.2.2.13).
        """
        below, clock = self.transport, self.factory.clock
        below.resumeProducing()
        self._lingerTimer = clock.callLater(LINGER_TIMEOUT, below.loseConnection)

    def _peerHasEnded(self) -> None:
        """
        Tell the protocol that the peer's side has ended. If the protocol cannot end one
        side alone, end our side, too.
        """
        if self._peerEndIsTold:
            return
        self._peerEndIsTold = True
        protocol = IHalfCloseableProtocol(self.wrappedProtocol, None)
        if protocol is not None:
            protocol.readConnectionLost()
        else:
            self._detachProducer()
            self.loseConnection()

    def _detachProducer(self) -> None:
        """
        Unregister the producer, which can send no more. A transport below that closes
        while its producer is paused would wait for that producer for ever.
        """
        producer = self._producer
        if producer is not None:
            self.unregisterProducer()
            self._detached = producer
            if IPushProducer.providedBy(producer):
                producer.pauseProducing()
