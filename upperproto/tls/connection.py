"""
TLS connections of OpenSSL, as our transport needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from OpenSSL import SSL
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
)
from zope.interface import implementer

from upperproto.tls.records import Records

# How many bytes a peer may send in which there is no text: more than a record has. What
# else there is (KeyUpdate) takes OpenSSL a second for each 600 KB.
MAX_WITHOUT_TEXT = 20_000

# An alert takes a few dozen bytes.
_ALERT_MOST = 1024


class TLSConnection:
    """
    A connection of OpenSSL that does not end when one side has ended, nor in the
    middle of a read.

    C{twisted.protocols.tls} closes the transport below it when OpenSSL has nothing
    more to read, and while it still works with the connection. Here, the end and the
    error are noted for whoever asks when the work is done.

    @ivar established: whether the handshake is over.
    @ivar ended: whether our side has ended.
    @ivar peerEnded: whether the peer's close_notify has come.
    @ivar error: what has broken the connection.
    """

    established = ended = peerEnded = False
    error: SSL.Error | None = None

    # The transport is lost: the end and the error matter now.
    _lost = False
    # OpenSSL has nothing more to read.
    _allRead = False
    # All has been taken that we will send.
    _allTaken = False
    # How many bytes have come since there was text in them.
    _withoutText = 0

    def __init__(self, connection: SSL.Connection, records: Records) -> None:
        """
        @param connection: OpenSSL's.
        @param records: what counts what is sent.
        """
        self._connection = connection
        self._records = records

    def __getattr__(self, name: str) -> Any:
        """
        All else is OpenSSL's.
        """
        return getattr(self._connection, name)

    def do_handshake(self) -> None:
        """
        Go on with the handshake, which a close_notify makes fail.
        """
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            raise
        except SSL.ZeroReturnError:
            self.error = SSL.Error([("", "", "close notify")])
            raise self.error from None
        except SSL.Error as error:
            self.error = error
            raise
        self.established = True
        self._withoutText = 0

    def recv(self, size: int) -> bytes:
        """
        Read text: all that there is, however many records it has come in. A protocol
        that is given it piece by piece takes four times as long for small ones.
        """
        texts: list[bytes] = []
        try:
            while self.error is None and not self._allRead:
                texts.append(self._connection.recv(size))
        except SSL.WantReadError:
            # To ask again, as is done behind each text, would take 4 us.
            self._allRead = True
        except SSL.ZeroReturnError:
            self.peerEnded = True
        except SSL.Error as error:
            self.error = error
        if texts:
            self._withoutText = 0
            return b"".join(texts)
        if self.error is None and self._withoutText > MAX_WITHOUT_TEXT:
            self.error = SSL.Error([("", "", "too many records without text")])
        if self._lost and self.error is not None:
            raise self.error
        raise SSL.WantReadError

    def send(self, text: bytes) -> int:
        """
        Encrypt text.
        """
        size = self._connection.send(text)
        self._records.encrypted(size)
        return size

    def bio_read(self, size: int) -> bytes:
        """
        Take the records that are to be sent: all of them, though only so many bytes
        are asked for once. A flood of requests that OpenSSL answers (KeyUpdate) makes
        more, and the text behind it would wait for the next occasion.
        """
        taken = chunk = self._connection.bio_read(size)
        with suppress(SSL.WantReadError):
            while len(chunk) == size:
                chunk = self._connection.bio_read(size)
                taken += chunk
        if self._allTaken or self._lost:
            # Nothing may follow a close_notify (RFC 8446, section 6.1), nor can it when
            # the transport is lost.
            raise SSL.WantReadError
        self._allTaken = self.ended
        self._records.sent(len(taken))
        return taken

    def shutdown(self) -> bool:
        """
        End our side.

        @return: C{False}, as if it were always left to somebody else to close the
            transport.
        """
        self.ended = True
        self._connection.shutdown()
        return False

    def end(self) -> bytes:
        """
        End our side.

        @return: the records that say so; none where there is nobody to tell, because
            the connection is broken.
        """
        with suppress(SSL.Error):
            self.shutdown()
            return self.bio_read(_ALERT_MOST)
        return b""

    def bio_write(self, received: bytes) -> int:
        """
        Take what the peer has sent.
        """
        self._withoutText += len(received)
        self._allRead = False
        return self._connection.bio_write(received)

    def bio_shutdown(self) -> None:
        """
        The transport is lost.
        """
        self._lost = True
        self._allRead = False
        self._connection.bio_shutdown()


@implementer(IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator)
class ConnectionCreator:
    """
    Make a L{TLSConnection} of each connection that another creator makes.
    """

    def __init__(self, creator: Any) -> None:
        """
        @param creator: the other one, for the same side.
        """
        self._creator = creator

    def clientConnectionForTLS(self, protocol: Any) -> Any:
        """
        Make the client's end of a connection.
        """
        return TLSConnection(
            self._creator.clientConnectionForTLS(protocol), protocol.records
        )

    def serverConnectionForTLS(self, protocol: Any) -> Any:
        """
        Make the server's end of a connection.
        """
        return TLSConnection(
            self._creator.serverConnectionForTLS(protocol), protocol.records
        )


@implementer(IOpenSSLServerConnectionCreator)
class ServerConnectionCreator:
    """
    Make connections of contexts, so that a client that offers protocols by ALPN (RFC
    7301) is served without one.

    The contexts of Twisted 26.10 refuse such a client where no protocol was set.
    """

    def __init__(self, getContext: Callable[[], SSL.Context]) -> None:
        """
        @param getContext: gives the context for each connection.
        """
        self._getContext = getContext
        self._prepared: WeakSet[SSL.Context] = WeakSet()

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:
        """
        Make the server's end of a connection.
        """
        return _ServerConnection(self.prepare(self._getContext()), self.prepare)

    def prepare(self, context: SSL.Context) -> SSL.Context:
        """
        Let a context take clients that offer protocols.

        @return: the context.
        """
        if context not in self._prepared:
            self._prepared.add(context)
            # One that has made a connection for another listener is prepared, and
            # cannot be changed any more.
            with suppress(ValueError):
                context.set_alpn_select_callback(_selectNone)
        return context


class _ServerConnection(SSL.Connection):
    """
    A connection that prepares the context to which the name that a client asks for
    (SNI) makes it change.
    """

    def __init__(
        self,
        context: SSL.Context,
        prepare: Callable[[SSL.Context], SSL.Context],
    ) -> None:
        super().__init__(context, None)
        self._prepare = prepare

    def set_context(self, context: SSL.Context) -> None:
        super().set_context(self._prepare(context))


def _selectNone(connection: SSL.Connection, offered: Sequence[bytes]) -> Any:
    """
    Agree on no protocol.
    """
    return SSL.NO_OVERLAPPING_PROTOCOLS
