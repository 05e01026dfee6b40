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

# The number of bytes without text that a peer may send: more than one record has. Such
# bytes can be KeyUpdate messages, and OpenSSL takes a second for each 600 KB of them.
MAX_WITHOUT_TEXT = 20_000

# An alert takes a few dozen bytes.
_ALERT_MOST = 1024


class TLSConnection:
    """
    A connection of OpenSSL that does not end when one side has ended, and that does
    not end in the middle of a read.

    C{twisted.protocols.tls} closes the transport below it when OpenSSL has nothing
    more to read, even while it still works with the connection. This class keeps the
    end and the error in attributes, and the transport looks at them when that work is
    done.

    @ivar established: whether the handshake is over.
    @ivar ended: whether our side has ended.
    @ivar peerEnded: whether the peer's close_notify has come.
    @ivar error: the error that has broken the connection.
    """

    established = ended = peerEnded = False
    error: SSL.Error | None = None

    # The transport is lost: the end and the error matter now.
    _lost = False
    # OpenSSL has nothing more to read.
    _allRead = False
    # The last record that we will send has been taken.
    _allTaken = False
    # The number of bytes that have come after the last text.
    _withoutText = 0

    def __init__(self, connection: SSL.Connection, records: Records) -> None:
        """
        @param connection: OpenSSL's connection.
        @param records: counts the bytes that are sent.
        """
        self._connection = connection
        self._records = records

    def __getattr__(self, name: str) -> Any:
        """
        Get everything else from OpenSSL's connection.
        """
        return getattr(self._connection, name)

    def do_handshake(self) -> None:
        """
        Go on with the handshake. A close_notify makes it fail.
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
        Read all the text that has come, from any number of records. A protocol that
        gets small pieces one by one takes four times as long.
        """
        texts: list[bytes] = []
        try:
            while self.error is None and not self._allRead:
                texts.append(self._connection.recv(size))
        except SSL.WantReadError:
            # Twisted reads again after each text. To ask OpenSSL again takes 4 us.
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
        Take all the records that have to be sent, even if they are more than C{size}
        bytes. Twisted asks only once. OpenSSL answers a flood of requests (KeyUpdate)
        with more bytes than that, and the text after these answers would have to wait
        for the next call.
        """
        taken = chunk = self._connection.bio_read(size)
        with suppress(SSL.WantReadError):
            while len(chunk) == size:
                chunk = self._connection.bio_read(size)
                taken += chunk
        if self._allTaken or self._lost:
            # Nothing may follow a close_notify (RFC 8446, section 6.1), and nothing can
            # be sent when the transport is lost.
            raise SSL.WantReadError
        self._allTaken = self.ended
        self._records.sent(len(taken))
        return taken

    def shutdown(self) -> bool:
        """
        End our side.

        @return: C{False}, so that Twisted does not close the transport.
        """
        self.ended = True
        self._connection.shutdown()
        return False

    def end(self) -> bytes:
        """
        End our side.

        @return: the records with the close_notify; empty if the connection is broken.
        """
        with suppress(SSL.Error):
            self.shutdown()
            return self.bio_read(_ALERT_MOST)
        return b""

    def bio_write(self, received: bytes) -> int:
        """
        Take the bytes that the peer has sent.
        """
        self._withoutText += len(received)
        self._allRead = False
        return self._connection.bio_write(received)

    def bio_shutdown(self) -> None:
        """
        Note that the transport is lost.
        """
        self._lost = True
        self._allRead = False
        self._connection.bio_shutdown()


@implementer(IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator)
class ConnectionCreator:
    """
    Make a L{TLSConnection} from each connection that another creator makes.
    """

    def __init__(self, creator: Any) -> None:
        """
        @param creator: the other creator, for the same side.
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
    Make connections from contexts, and serve clients that offer protocols by ALPN (RFC
    7301). No protocol of theirs is selected.

    The contexts of Twisted 26.10 refuse such a client if no protocol is set.
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
        Change a context so that it accepts clients that offer protocols.

        @return: the context.
        """
        if context not in self._prepared:
            self._prepared.add(context)
            # A context that has made a connection for another listener cannot be
            # changed any more. It has been prepared for that listener.
            with suppress(ValueError):
                context.set_alpn_select_callback(_selectNone)
        return context


class _ServerConnection(SSL.Connection):
    """
    A connection that can change to another context, and prepares that context. It
    changes when a client asks for a server by name (SNI).
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
    Select no protocol, whatever the client offers.
    """
    return SSL.NO_OVERLAPPING_PROTOCOLS
