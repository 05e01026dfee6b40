"""
The TLS engine: one end of a connection without a network, with records in, text out,
and back. The one here is by Python's C{ssl}; L{upperproto.tls.pyopenssl} has the other.
"""

from __future__ import annotations

import ssl
from contextlib import suppress

from OpenSSL import SSL

from upperproto.tls.undelivered import Records

# The settings for a server's connections, for Python's ssl or for pyOpenSSL.
ServerContext = ssl.SSLContext | SSL.Context

# The most bytes of text in one record (RFC 8446, section 5.1).
MAX_TEXT = 16384


class TLSConnection:
    """
    One end of a TLS connection. A subclass does the work with one library.

    Each side ends by itself, as over TCP. This class keeps the end and the error in
    attributes, and the transport looks at them.

    @ivar isClient: whether this end speaks first.
    @ivar established: whether the handshake is over.
    @ivar ended: whether our side has ended.
    @ivar peerEnded: whether the peer's close_notify has come.
    @ivar error: the error that has broken the connection.
    """

    isClient = established = ended = peerEnded = False
    error: SSL.Error | None = None

    # Our close_notify has been taken.
    _allTaken = False

    def __init__(self, records: Records) -> None:
        """
        @param records: counts the bytes that are sent.
        """
        self._records = records

    @property
    def hasRecords(self) -> bool:
        """
        Whether there may be records to send.
        """
        return True

    def shakeHands(self) -> bool:
        """
        Go on with the handshake.

        @return: whether it is over.
        """
        try:
            self.established = self._handshake()
        except SSL.Error as error:
            self.error = error
        return self.established

    def receive(self, records: bytes) -> None:
        """
        Take the bytes that the peer has sent.
        """
        raise NotImplementedError

    def read(self) -> bytes:
        """
        Read all the text that has come, from any number of records, and keep the end
        and the error. A protocol that gets small pieces one by one takes four times as
        long.
        """
        raise NotImplementedError

    def write(self, text: bytes) -> int:
        """
        Encrypt text.

        @return: the number of encrypted bytes. The rest has to wait until more has been
            received: the peer wants another handshake (TLS 1.2).
        """
        size = 0
        try:
            if text:
                size = self._write(text)
        except SSL.Error as error:
            self.error = error
        self._records.encrypted(size)
        return size

    def take(self) -> bytes:
        """
        Take all the records that have to be sent. Nothing may follow our close_notify
        (RFC 8446, section 6.1).
        """
        taken = self._get()
        if not taken or self._allTaken:
            return b""
        self._allTaken = self.ended
        self._records.sent(len(taken))
        return taken

    def end(self) -> None:
        """
        End our side. The next records contain a close_notify, unless the connection is
        broken.
        """
        self.ended = True
        with suppress(SSL.Error):
            self._end()

    def _handshake(self) -> bool:
        """
        Go on with the handshake.

        @return: whether it is over.
        @raise SSL.Error: if it has failed.
        """
        raise NotImplementedError

    def _get(self) -> bytes:
        """
        Get all records from the library.
        """
        raise NotImplementedError

    def _write(self, text: bytes) -> int:
        """
        Encrypt text.

        @return: how many bytes of it: all, unless the peer has to say something first.
        @raise SSL.Error: if the connection is broken.
        """
        raise NotImplementedError

    def _end(self) -> None:
        """
        Make our close_notify.
        """
        raise NotImplementedError


class ServerConnection(TLSConnection):
    """
    The server's end, by Python's C{ssl}. For a record it takes a third of the time that
    pyOpenSSL takes.
    """

    def __init__(self, context: ssl.SSLContext, records: Records) -> None:
        """
        @param context: the server's.
        @param records: counts the bytes that are sent.
        """
        super().__init__(records)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    @property
    def hasRecords(self) -> bool:
        """
        Whether there are records to send.
        """
        return self._outgoing.pending > 0

    def receive(self, records: bytes) -> None:
        """
        Take the bytes that the peer has sent.
        """
        self._incoming.write(records)

    def read(self) -> bytes:
        """
        Read all the text that has come.
        """
        texts: list[bytes] = []
        try:
            while True:
                text = self._tls.read(MAX_TEXT)
                if not text:
                    self.peerEnded = True
                    break
                texts.append(text)
                if not self._incoming.pending:
                    # There is no other record. To find this out by a read would take as
                    # long as to decrypt a short text.
                    break
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.peerEnded = True
        except ssl.SSLError as error:
            self.error = broken(_why(error))
        if self.peerEnded:
            # What comes after the end has no meaning, and takes memory.
            self._incoming.read()
        return b"".join(texts)

    def get_protocol_version_name(self) -> str:
        """
        Get the version of TLS. It has the name that pyOpenSSL gives it.
        """
        return self._tls.version() or ""

    def get_peer_certificate(self) -> None:
        """
        Get no certificate: no client is asked for one.
        """

    def _handshake(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLZeroReturnError:
            raise broken("close notify") from None
        except ssl.SSLError as error:
            raise broken(_why(error)) from error
        return True

    def _get(self) -> bytes:
        return self._outgoing.read()

    def _write(self, text: bytes) -> int:
        try:
            return self._tls.write(text)
        except ssl.SSLError as error:
            raise broken(_why(error)) from error

    def _end(self) -> None:
        # This wants the peer's close_notify, too, which need not have come.
        with suppress(ssl.SSLError):
            self._tls.unwrap()


def broken(why: str) -> SSL.Error:
    """
    Make an error as pyOpenSSL does.

    @param why: in the words of OpenSSL.
    """
    return SSL.Error([("", "", why)])


def _why(error: ssl.SSLError) -> str:
    """
    Get the reason of an error, in the words of OpenSSL.
    """
    return (error.reason or str(error)).replace("_", " ").lower()
