"""
TLS, without losing an answer.

Twisted's TLS transport takes the client's close_notify, which says that it will
send no more (RFC 8446, section 6.1), for the end of the whole connection: what
was asked in the same segment is not answered. Its C{loseWriteConnection} ends
the TCP stream without a close_notify of ours, which to a client looks like an
attack (U{Twisted issue 5341<https://github.com/twisted/twisted/issues/5341>}).
Its C{loseConnection} waits for the client's close_notify without limit
(U{7926<https://github.com/twisted/twisted/issues/7926>}). Here, each side ends
its half as over TCP.

L{_Connection} and L{TLSProtocol} do that, by public interfaces alone. When
Twisted's transport keeps the same promises, they can go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IOpenSSLServerConnectionCreator,
    IProtocol,
    ISSLTransport,
)
from twisted.internet.protocol import Factory
from twisted.internet.tcp import Connection
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from upperproto.factory import UpperFactory
from upperproto.interfaces import IPeerAware
from upperproto.monitoring.connectionlog import peerName
from upperproto.protocol import UpperProtocol
from upperproto.ways.handshake import Door, DoorFactory

# An alert takes a few dozen bytes.
_ALERT_MOST = 1024


class _Connection(SSL.Connection):
    """
    An OpenSSL connection that has nothing more to read at the peer's
    close_notify, rather than being at its end.

    @ivar peerEnded: whether it has come.
    """

    peerEnded = False

    def recv(self, bufsiz: int, flags: int | None = None) -> bytes:
        """
        Read decrypted bytes.
        """
        try:
            return super().recv(bufsiz, flags)
        except SSL.ZeroReturnError:
            self.peerEnded = True
            raise SSL.WantReadError from None

    def do_handshake(self) -> None:
        """
        Go on with the handshake, which a close_notify makes fail.
        """
        try:
            super().do_handshake()
        except SSL.ZeroReturnError:
            # Twisted looks into the arguments, and this error has none.
            raise SSL.Error([("", "", "close notify")]) from None


@implementer(IOpenSSLServerConnectionCreator)
class _ConnectionCreator:
    """
    Make a L{_Connection} for each client.
    """

    def __init__(self, getContext: Callable[[], SSL.Context]) -> None:
        self._getContext = getContext

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return _Connection(self._getContext(), None)


@implementer(IHalfCloseableProtocol, IPeerAware, ISSLTransport)
class TLSProtocol(TLSMemoryBIOProtocol):
    """
    Twisted's TLS transport, with the half-close of both sides.
    """

    # What the endpoints hand us.
    transport: Connection
    factory: TLSFactory
    # The client, where a PROXY header has named it.
    peer: IAddress | None = None
    # The client's side has ended.
    _peerEnded = False

    def getPeer(self) -> Any:
        """
        The client, or its proxy where that has not named it.
        """
        return self.peer or super().getPeer()

    def dataReceived(self, bytes: bytes) -> None:  # noqa: A002 # Twisted's name.
        """
        Pass on what was said, and then that it was all.
        """
        super().dataReceived(bytes)
        connection: _Connection | None = self.getHandle()
        # It is gone if the connection was lost over what was said.
        if connection is not None and connection.peerEnded:
            self._peerHasEnded()

    def readConnectionLost(self) -> None:
        """
        The TCP stream has ended. If no close_notify came before, somebody may
        have cut it short, or the client is a simple one (C{ncat --ssl} is). It
        is answered in full, as over TCP; the log says what happened.
        """
        transcript = self.factory.service.transcript
        if transcript is not None and not self._peerEnded:
            if IHalfCloseableProtocol.providedBy(self.wrappedProtocol):
                transcript.cutShort(peerName(self.getPeer()))
        self._peerHasEnded()

    def writeConnectionLost(self) -> None:
        """
        Our side has ended, as the protocol asked.
        """
        protocol = IHalfCloseableProtocol(self.wrappedProtocol, None)
        if protocol is not None:
            protocol.writeConnectionLost()

    def loseWriteConnection(self) -> None:
        """
        Say that we have sent all that we will send, in TLS and then in TCP.
        """
        # OpenSSL has encrypted all that was written: only a handshake makes it
        # wait, and that is over before a protocol gets this transport.
        self._shutDown()
        self.transport.loseWriteConnection()

    def loseConnection(self) -> None:
        """
        Send what was written, and a close_notify, and close. The client's
        close_notify need not be waited for.
        """
        super().loseConnection()
        self.transport.loseConnection()

    @property
    def bufferSize(self) -> int:
        """
        How many bytes are read at a time, under TLS.
        """
        return self.transport.bufferSize

    @bufferSize.setter
    def bufferSize(self, size: int) -> None:
        self.transport.bufferSize = size

    def _peerHasEnded(self) -> None:
        if not self._peerEnded:
            self._peerEnded = True
            protocol = IHalfCloseableProtocol(self.wrappedProtocol, None)
            if protocol is None:
                self.loseConnection()
            else:
                protocol.readConnectionLost()

    def _shutDown(self) -> None:
        """
        Send a close_notify.
        """
        connection = self.getHandle()
        try:
            connection.shutdown()
            alert = connection.bio_read(_ALERT_MOST)
        except SSL.Error:
            # A broken connection has none to send.
            return
        self.transport.write(alert)


@implementer(IHandshakeListener)
class HandshakeDoor(Door):
    """
    Wait for a TLS handshake.
    """

    asked = "TLS handshake"

    # What TLSFactory hands us.
    transport: TLSProtocol  # type: ignore[assignment] # A wrapper of a Connection.

    def handshakeCompleted(self) -> None:
        """
        Let the client in, with the name that its certificate was verified for.
        """
        self.leave()
        tls = self.transport
        certificate = tls.getPeerCertificate()
        if certificate is not None and isinstance(self.inner, UpperProtocol):
            subject = certificate.to_cryptography().subject
            self.inner.identity = subject.rfc4514_string()
        tls.wrappedProtocol = self.inner
        self.inner.makeConnection(tls)

    def explain(self, reason: Failure) -> str:
        """
        Say why a handshake failed, in the words of OpenSSL.
        """
        error = reason.value
        if isinstance(error, SSL.Error):
            # Its only argument: a list of (library, function, reason), of which
            # the last one says what was tried, and the others what it failed in.
            *_, (_, _, why) = error.args[0]
            return f"TLS handshake failed: {why}"
        return super().explain(reason)


class _HandshakeDoorFactory(DoorFactory):
    door = HandshakeDoor


class TLSFactory(TLSMemoryBIOFactory):
    """
    Put TLS before each protocol that another factory builds.

    @ivar service: what counts those who wait for their handshake.
    """

    protocol = TLSProtocol
    noisy = False

    def __init__(
        self,
        service: UpperFactory,
        inner: Factory[Any],
        getContext: Callable[[], SSL.Context],
    ) -> None:
        """
        @param service: what counts those who wait for their handshake.
        @param inner: what builds the protocols under TLS.
        @param getContext: gives the TLS context for each connection.
        """
        super().__init__(
            _ConnectionCreator(getContext),
            False,
            _HandshakeDoorFactory(service, inner),
            service.getClock(),
        )
        self.service = service
        self._inner = inner

    def buildProtocol(  # type: ignore[override] # A UNIX socket's is not TLS.
        self, addr: IAddress | None
    ) -> IProtocol | None:
        """
        Build a protocol under TLS; or one without, for a UNIX socket.
        """
        if isinstance(addr, UNIXAddress):
            return self._inner.buildProtocol(addr)
        return super().buildProtocol(addr)
