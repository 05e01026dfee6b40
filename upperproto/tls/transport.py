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
TCP, and a connection that breaks closes.

This is done by public interfaces alone. When Twisted's transport keeps the same
promises, all of it can go.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IProtocol,
    ISSLTransport,
)
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import alsoProvides, implementer, noLongerProvides

from upperproto.interfaces import INoLogContext, IPeerAware, ISendQueue
from upperproto.tls.connection import TLSConnection
from upperproto.tls.records import Records

# An alert takes a few dozen bytes.
_ALERT_MOST = 1024


@implementer(IHalfCloseableProtocol, IPeerAware, ISendQueue, ISSLTransport)
class TLSTransport(TLSMemoryBIOProtocol):
    """
    Twisted's TLS transport, with the half-close of both sides.

    While a producer is registered, more text may come: a protocol unregisters it
    before it ends its side or the connection, as on every transport of Twisted.

    @ivar peer: the other end, where somebody has told who it is.
    @ivar records: what has been sent.
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
    # Where text comes from, besides the protocol.
    _source: Any = None
    # The protocol has been told that the peer's side has ended.
    _peerEndIsTold = False
    # How many bytes of text were written, and how many of these can go nowhere.
    _written = _refused = 0

    def __init__(
        self, factory: Any, wrappedProtocol: IProtocol, *arguments: Any
    ) -> None:
        """
        @param factory: what has built it.
        @param wrappedProtocol: what it is the transport of.
        """
        super().__init__(factory, wrappedProtocol, *arguments)
        self.records = Records()

    def makeConnection(self, transport: Any) -> None:
        """
        Begin the handshake.
        """
        super().makeConnection(transport)
        self._passLogContext()

    def switchProtocol(self, protocol: IProtocol) -> None:
        """
        Become another protocol's transport.
        """
        self.wrappedProtocol = protocol
        self._passLogContext()
        protocol.makeConnection(self)

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
        if connection.peerEnded or connection.error is not None:
            # It has no meaning any more, and OpenSSL would only store it.
            return
        self._isReceiving = True
        try:
            super().dataReceived(bytes)
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
        if connection.established and not self._peerEndIsTold:
            self.factory.truncated(self.getPeer())
        self._peerHasEnded()

    def writeConnectionLost(self) -> None:
        """
        Our side has ended, as the protocol asked.
        """
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
        self._written += len(bytes)
        if connection.ended or connection.error is not None:
            self._refused += len(bytes)
            return
        super().write(bytes)
        if self.records.isFull():
            self.records.forget(self._waiting()[1])
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
        self._source = None
        super().unregisterProducer()
        self._follow()

    def unsentBytes(self) -> int:
        """
        How many bytes of text the kernel has not taken yet.
        """
        unsent, _ = self._waiting()
        return self._written - self.records.textBytes + self.records.textIn(unsent)

    def unacknowledgedBytes(self) -> int:
        """
        How many bytes the peer's system has not acknowledged yet: of text, what is
        unsent; of records that carry text, what waits in the kernel.
        """
        unsent, unacknowledged = self._waiting()
        textIn = self.records.textIn
        inKernel = min(unacknowledged - unsent, textIn(unacknowledged) - textIn(unsent))
        return self.unsentBytes() + inKernel

    def _waiting(self) -> tuple[int, int]:
        """
        How many bytes of records the kernel has not taken, and how many the peer's
        system has not acknowledged.
        """
        queue = ISendQueue(self.transport, None)
        if queue is None:
            return 0, 0
        return queue.unsentBytes(), queue.unacknowledgedBytes()

    def _follow(self) -> None:
        """
        Do with the transport below what has been asked for or has become necessary.

        It may close while that is done, so nothing here or in Twisted may work with
        the connection then: this comes last in each method.
        """
        connection: TLSConnection | None = self.getHandle()
        if connection is None or self._isReceiving:
            return
        below = self.transport
        if connection.error is not None or (self._closeIsAsked and connection.ended):
            below.loseConnection()
        elif self._endIsAsked and connection.established and not connection.ended:
            # Only a handshake makes text wait.
            allIsSent = self._written - self._refused == self.records.textBytes
            if allIsSent and self._source is None:
                self._end(connection)
        if below.disconnecting:
            self._stopProducer()

    def _end(self, connection: TLSConnection) -> None:
        """
        Send a close_notify, and end our side below it.
        """
        # A connection that is broken has none to send.
        with suppress(SSL.Error):
            connection.shutdown()
            self.transport.write(connection.bio_read(_ALERT_MOST))
        self.transport.loseWriteConnection()

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
            self._stopProducer()
            self.loseConnection()

    def _stopProducer(self) -> None:
        """
        Stop the producer, if there is one: a transport that closes, and has a
        producer that is paused, waits for that for ever.
        """
        producer = self._source
        if producer is not None:
            self.unregisterProducer()
            producer.stopProducing()

    def _passLogContext(self) -> None:
        """
        Tell whoever calls this transport what its protocol tells of logging.
        """
        if INoLogContext.providedBy(self.wrappedProtocol):
            alsoProvides(self, INoLogContext)
        elif INoLogContext.providedBy(self):
            noLongerProvides(self, INoLogContext)
