"""
A TLS transport for servers and clients that loses no data when a side ends.

A close_notify of the peer says only that it will send no more (RFC 8446, section 6.1).
Twisted's TLS transport ends the whole connection then, and does not answer requests in
the same segment. Its C{loseWriteConnection} ends the TCP stream without a
close_notify, which looks like an attack to the peer (U{Twisted issue 5341
<https://github.com/twisted/twisted/issues/5341>}). Its C{loseConnection} waits for
the peer's close_notify without limit
(U{7926<https://github.com/twisted/twisted/issues/7926>}). And if TLS breaks while a
producer is paused, it waits for that producer for ever. Here, each side ends its half
as over TCP, and a broken connection closes. Only public interfaces are used.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHalfCloseableProtocol,
    IProtocol,
    ISSLTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from upperproto.interfaces import IPeerAware, ISendQueue
from upperproto.tls.connection import TLSConnection
from upperproto.tls.records import Records

# OpenSSL gets at most so many bytes at a time, so that a flood is noticed soon.
MAX_AT_A_TIME = 32768

# The seconds that a peer may take to close a broken connection.
LINGER_TIMEOUT = 2.0


@implementer(IHalfCloseableProtocol, IPeerAware, ISendQueue, ISSLTransport)
class TLSTransport(TLSMemoryBIOProtocol):
    """
    Twisted's TLS transport, but each side can end alone (half-close).

    While a producer is registered, more text may come. So a protocol unregisters it
    before it ends its side or the connection, as on every transport of Twisted.

    @ivar peer: the address of the other end, if somebody has set it.
    @ivar records: counts the bytes that have been written and sent.
    """

    # The transport below, from the endpoint.
    transport: Any
    # A TLSFactory, which knows this class.
    factory: Any

    peer: IAddress | None = None

    # The protocol has asked to end our side, or to close.
    _endIsAsked = _closeIsAsked = False
    # Twisted works with the bytes that OpenSSL has got.
    _isReceiving = False
    # TLS has broken, and the end of the connection has begun.
    _isBroken = False
    # The transport below has sent everything, and ended our side.
    _belowHasEnded = False
    # The registered producer, and one that was detached when it could send no more.
    _source: Any = None
    _detached: Any = None
    # Waits for the peer to close a broken connection.
    _lingerTimer: IDelayedCall | None = None
    # The protocol knows that the peer's side has ended.
    _peerEndIsTold = False

    @property
    def logContext(self) -> bool:
        """
        Whether the protocol needs a log context.
        """
        return getattr(self.wrappedProtocol, "logContext", True)

    def makeConnection(self, transport: Any) -> None:
        """
        Begin the handshake.
        """
        self.records = Records(transport)
        super().makeConnection(transport)
        self._follow()

    def switchProtocol(self, protocol: IProtocol) -> None:
        """
        Become another protocol's transport.
        """
        self.wrappedProtocol = protocol
        protocol.makeConnection(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The transport below is lost.
        """
        if self._lingerTimer is not None and self._lingerTimer.active():
            self._lingerTimer.cancel()
        try:
            if self._detached is not None:
                self._detached.stopProducing()
        finally:
            super().connectionLost(reason)

    def getPeer(self) -> Any:
        """
        Get the address of the other end.
        """
        return self.peer or super().getPeer()

    def dataReceived(self, bytes: bytes) -> None:  # noqa: A002 # Twisted's name.
        """
        Give the received text to the protocol, and then the end of the peer's side.
        """
        connection: TLSConnection = self.getHandle()
        self._isReceiving = True
        try:
            for start in range(0, len(bytes), MAX_AT_A_TIME):
                # Bytes after the end have no meaning, and OpenSSL would store them.
                if not (connection.peerEnded or connection.error):
                    super().dataReceived(bytes[start : start + MAX_AT_A_TIME])
        finally:
            self._isReceiving = False
        self._follow()
        if connection.peerEnded:
            self._peerHasEnded()

    def readConnectionLost(self) -> None:
        """
        The stream below has ended. Tell the factory if no close_notify came before: an
        attacker may have cut the stream, or the peer is a simple program, such as
        C{ncat --ssl}. A protocol that can end one side goes on as over TCP.
        """
        connection: TLSConnection = self.getHandle()
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

    def write(self, bytes: bytes) -> None:  # noqa: A002 # Twisted's name.
        """
        Send text.
        """
        connection: TLSConnection | None = self.getHandle()
        if connection is None:
            return
        if connection.ended or connection.error is not None:
            self.records.refused(len(bytes))
        else:
            self.records.written(len(bytes))
            super().write(bytes)
            self._follow()

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
        super().loseConnection()
        self._closeIsAsked = True
        self._follow()

    def abortConnection(self) -> None:
        """
        Close at once; text that was not delivered is lost.
        """
        if self.getHandle() is not None:
            super().abortConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        Take text from a producer.
        """
        super().registerProducer(producer, streaming)
        self._source = producer
        self._follow()

    def unregisterProducer(self) -> None:
        """
        Take no more text from the producer.
        """
        self._source = self._detached = None
        super().unregisterProducer()
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
        End or close the transport below, if that was asked for or is necessary now.
        The connection may close in this call, so each method makes this call last.
        """
        connection: TLSConnection | None = self.getHandle()
        if connection is None or self._isReceiving:
            return
        below = self.transport
        if self._closeIsAsked and (connection.ended or connection.error is not None):
            below.loseConnection()
        elif connection.error is not None:
            if not self._isBroken:
                self._break(connection)
        elif self._endIsAsked and connection.established and not connection.ended:
            # Text waits only for a handshake.
            if not self.records.isWaiting() and self._source is None:
                below.write(connection.end())
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
        source = self._source
        if source is not None:
            self.unregisterProducer()
            self._detached = source
            source.pauseProducing()
