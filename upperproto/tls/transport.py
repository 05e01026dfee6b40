"""
A TLS transport for both sides that loses nothing.

Twisted's TLS transport takes the peer's close_notify, which says that it will send
no more (RFC 8446, section 6.1), for the end of the whole connection: what was asked
in the same segment is not answered. Its C{loseWriteConnection} ends the TCP stream
without a close_notify, which to the peer looks like an attack (U{Twisted issue 5341
<https://github.com/twisted/twisted/issues/5341>}). Its C{loseConnection} waits for
the peer's close_notify without limit
(U{7926<https://github.com/twisted/twisted/issues/7926>}). And when TLS breaks while a
producer is paused, it waits for that for ever. Here, each side ends its half as over
TCP, and a connection that breaks closes; by public interfaces alone.
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

# How many bytes OpenSSL is given at a time, so that it notices a flood soon.
MAX_AT_A_TIME = 32768

# How many seconds a peer may take to close a connection that is broken.
LINGER_TIMEOUT = 2.0


@implementer(IHalfCloseableProtocol, IPeerAware, ISendQueue, ISSLTransport)
class TLSTransport(TLSMemoryBIOProtocol):
    """
    Twisted's TLS transport, with the half-close of both sides.

    While a producer is registered, more text may come: a protocol unregisters it
    before it ends its side or the connection, as on every transport of Twisted.

    @ivar peer: the other end, where somebody has told who it is.
    @ivar records: what has been written and sent.
    """

    # What the endpoints hand us.
    transport: Any
    # A TLSFactory, which knows this class.
    factory: Any

    peer: IAddress | None = None

    # What the protocol has asked for.
    _endIsAsked = _closeIsAsked = False
    # Twisted works with what OpenSSL has been given.
    _isReceiving = False
    # What is the matter with TLS has been seen to.
    _isBroken = False
    # The transport below has sent all, and ended our side.
    _belowHasEnded = False
    # The producer that is registered, and one that was until it could send no more.
    _source: Any = None
    _detached: Any = None
    # Waits for the peer to close a connection that is broken.
    _lingerTimer: IDelayedCall | None = None
    # The protocol has been told that the peer's side has ended.
    _peerEndIsTold = False

    @property
    def logContext(self) -> bool:
        """
        Whether the protocol has a use for a log context.
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
        Where the other end is.
        """
        return self.peer or super().getPeer()

    def dataReceived(self, bytes: bytes) -> None:  # noqa: A002 # Twisted's name.
        """
        Pass on what was said, and then that it was all.
        """
        connection: TLSConnection = self.getHandle()
        self._isReceiving = True
        try:
            for start in range(0, len(bytes), MAX_AT_A_TIME):
                # Behind the end it has no meaning, and OpenSSL would only store it.
                if not (connection.peerEnded or connection.error):
                    super().dataReceived(bytes[start : start + MAX_AT_A_TIME])
        finally:
            self._isReceiving = False
        self._follow()
        if connection.peerEnded:
            self._peerHasEnded()

    def readConnectionLost(self) -> None:
        """
        The stream below has ended. If no close_notify came before, somebody may have
        cut it short, or the peer is a simple one (C{ncat --ssl} is): the factory is
        told. A protocol that can end one side goes on as over TCP.
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
        Our side has ended, as the protocol asked or because TLS is broken.
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
        End our side, in TLS and then below it, when all that was written has been
        sent.
        """
        self._endIsAsked = True
        self._follow()

    def loseConnection(self) -> None:
        """
        Send what was written, and a close_notify, and close. The peer's close_notify
        need not be waited for.
        """
        super().loseConnection()
        self._closeIsAsked = True
        self._follow()

    def abortConnection(self) -> None:
        """
        Close at once; what was not delivered is lost.
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
        How many bytes of text the kernel has not taken yet.
        """
        return self.records.unsentBytes()

    def unacknowledgedBytes(self) -> int:
        """
        How many bytes of text the peer's system has not acknowledged yet.
        """
        return self.records.unacknowledgedBytes()

    def _follow(self) -> None:
        """
        Do with the transport below what has been asked for or has become necessary.
        It may close in this call, so it comes last in each method.
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
            # Only a handshake makes text wait.
            if not self.records.isWaiting() and self._source is None:
                below.write(connection.end())
                below.loseWriteConnection()
        if below.disconnecting:
            self._detachProducer()

    def _break(self, connection: TLSConnection) -> None:
        """
        TLS is broken, and TCP is not: let what was sent arrive before it is closed.
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
        Wait for the peer to close, and throw away what it sends. If that were left
        unread, the kernel would answer our close with a reset, which destroys what is
        on its way to the peer (RFC 1122, section 4.2.2.13).
        """
        below, clock = self.transport, self.factory.clock
        below.resumeProducing()
        self._lingerTimer = clock.callLater(LINGER_TIMEOUT, below.loseConnection)

    def _peerHasEnded(self) -> None:
        """
        Tell the protocol that the peer's side has ended. One that can not end one
        side alone ends the other, too.
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
        Let the transport below forget the producer, which can send no more: one that
        closes, and has a producer that is paused, waits for that for ever.
        """
        source = self._source
        if source is not None:
            self.unregisterProducer()
            self._detached = source
            source.pauseProducing()
