"""
TLS by pyOpenSSL, for clients, for the contexts of Twisted's endpoints, and for servers
that ask for certificates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from OpenSSL import SSL

from upperproto.tls.engine import MAX_TEXT, TLSConnection, broken
from upperproto.tls.undelivered import Records

# The bytes of records that are taken at a time.
_RECORDS = 32768


class PyOpenSSLConnection(TLSConnection):
    """
    One end of a TLS connection, by pyOpenSSL.
    """

    def __init__(
        self, connection: SSL.Connection, records: Records, isClient: bool = False
    ) -> None:
        """
        @param connection: pyOpenSSL's connection.
        @param records: counts the bytes that are sent.
        @param isClient: whether this is the client's end.
        """
        super().__init__(records)
        self.isClient = isClient
        self._connection = connection
        if isClient:
            connection.set_connect_state()
        else:
            connection.set_accept_state()

    def __getattr__(self, name: str) -> Any:
        """
        Get everything else from pyOpenSSL's connection.
        """
        return getattr(self._connection, name)

    def receive(self, records: bytes) -> None:
        """
        Take the bytes that the peer has sent.
        """
        self._connection.bio_write(records)

    def read(self) -> bytes:
        """
        Read all the text that has come.
        """
        texts: list[bytes] = []
        try:
            while True:
                texts.append(self._connection.recv(MAX_TEXT))
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.peerEnded = True
        except SSL.Error as error:
            self.error = error
        return b"".join(texts)

    def _handshake(self) -> bool:
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            return False
        except SSL.ZeroReturnError:
            raise broken("close notify") from None
        return True

    def _get(self) -> bytes:
        chunks: list[bytes] = []
        with suppress(SSL.WantReadError):
            while True:
                chunks.append(self._connection.bio_read(_RECORDS))
                if len(chunks[-1]) < _RECORDS:
                    break
        return b"".join(chunks)

    def _write(self, text: bytes) -> int:
        # One record after another: a call that would have to wait for the peer, which
        # wants another handshake (TLS 1.2), does not say how much it has taken.
        size = 0
        pieces = text if len(text) <= MAX_TEXT else memoryview(text)
        with suppress(SSL.WantReadError):
            while size < len(text):
                size += self._connection.send(pieces[size : size + MAX_TEXT])
        return size

    def _end(self) -> None:
        self._connection.shutdown()


class ServerContexts:
    """
    Make connections from contexts, and serve clients that offer protocols by ALPN (RFC
    7301). No protocol of theirs is selected.

    The contexts of Twisted 26.10 refuse such a client if no protocol is set.
    """

    def __init__(self) -> None:
        """
        Begin without contexts.
        """
        self._prepared: WeakSet[SSL.Context] = WeakSet()

    def connect(self, context: SSL.Context, records: Records) -> PyOpenSSLConnection:
        """
        Make the server's end of a connection.

        @param context: pyOpenSSL's context.
        @param records: counts the bytes that are sent.
        """
        connection = _ServerConnection(self.prepare(context), self.prepare)
        return PyOpenSSLConnection(connection, records)

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
