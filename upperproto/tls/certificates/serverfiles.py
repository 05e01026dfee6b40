"""
The certificate files of a TLS server, which are read again when they change.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

from cryptography import x509
from OpenSSL.crypto import FILETYPE_PEM, X509, PKey, load_privatekey
from OpenSSL.crypto import Error as CryptoError
from OpenSSL.SSL import TLS_METHOD, Connection, Context, WantReadError
from OpenSSL.SSL import Error as SSLError
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    trustRootFromCertificates,
)
from twisted.logger import Logger

from upperproto.tls.certificates.serverdetails import expiry
from upperproto.tls.engine import ServerContext

# A side of a handshake sends fewer bytes than this before it waits for the other side,
# with any chain of certificates.
_FLIGHT = 1 << 20

# The errors of OpenSSL for a key that is not the certificate's: the values or the kinds
# differ.
_MISMATCH = ["key values mismatch", "key type mismatch", "no certificate assigned"]


class Certificates:
    """
    Make TLS contexts from PEM files, with Twisted's defaults, and make new contexts
    when the files have changed.

    @ivar notAfter: the time when the served certificate expires, in seconds since 1970.
    """

    _log = Logger()

    def __init__(
        self, certificate: str, key: str | None = None, clientCA: str | None = None
    ) -> None:
        """
        Read the files.

        @param certificate: the path of a file with the server's certificate, and after
            it the intermediate certificates.
        @param key: the path of its private key, which is not encrypted; by
            default, it is in the file of the certificate.
        @param clientCA: the path of the certificates of the CAs that issue the clients'
            certificates; then every client needs a certificate. By default, no client
            needs one.
        @raise ValueError: for files that cannot be used, with a message that says why.
        """
        self._certificate = Path(certificate)
        self._key = self._certificate if key is None else Path(key)
        self._clientCA = None if clientCA is None else Path(clientCA)
        self._seen = self._look()
        self._context = self._read()

    def getContext(self) -> ServerContext:
        """
        Get the context for the next connection. If clients need certificates, it is of
        pyOpenSSL: with Python's C{ssl}, a client of TLS 1.2 could resume a session and
        would not have to show its certificate again.

        Three calls of C{stat} find out whether the files have changed. They take 3 us,
        and the handshake takes 600 us.

        @return: a new context, if the files have changed and can be used.
        """
        seen = self._look()
        if seen != self._seen:
            self._seen = seen
            try:
                self._context = self._read()
                self._log.info(
                    "The TLS certificate has been read again: {path}",
                    path=str(self._certificate),
                )
            except ValueError as error:
                self._log.warn(
                    "The TLS certificate stays as it was: {error}", error=str(error)
                )
        return self._context

    def check(self) -> None:
        """
        Check that the files can still be read. They have to be read again when they
        change, and the process may have given up its privileges in the meantime.

        @raise ValueError: if a file cannot be read, with a message that says why.
        """
        for path in self._paths():
            _contents(path)

    def _look(self) -> list[tuple[int, ...]]:
        """
        Get a value that changes when one of the files changes.
        """
        return [_mark(path) for path in self._paths()]

    def _paths(self) -> list[Path]:
        paths = (self._certificate, self._key, self._clientCA)
        return [path for path in paths if path is not None]

    def _read(self) -> ServerContext:
        chain = _certificatesIn(self._certificate)
        pair: dict[str, Any] = {
            "privateKey": _keyIn(self._key),
            "certificate": chain[0],
            "extraCertChain": chain[1:],
        }
        trustRoot = None
        if self._clientCA is not None:
            authorities = _certificatesIn(self._clientCA)
            trustRoot = trustRootFromCertificates(map(Certificate, authorities))
        try:
            _tryHandshake(CertificateOptions(**pair).getContext())
        except SSLError as error:
            raise ValueError(self._explain(error)) from error
        self.notAfter = expiry(chain[0].to_cryptography())
        light = self._lightContext() if trustRoot is None else None
        if light is not None:
            return light
        # Without session tickets: clients that need a certificate have to show it each
        # time.
        context: Context = CertificateOptions(trustRoot=trustRoot, **pair).getContext()
        return context

    def _lightContext(self) -> ssl.SSLContext | None:
        """
        Make a context of Python's C{ssl}, which needs a third of the time for a record.

        OpenSSL keeps up to 20,480 sessions of clients that do not know session tickets
        (TLS 1.2), with 1 KB for each, and C{ssl} cannot change this.

        @return: L{None} if Python's OpenSSL cannot use the key.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        try:
            # With a password, it does not ask for one on the terminal.
            context.load_cert_chain(self._certificate, self._key, password="")
        except OSError:
            return None
        return context

    def _explain(self, error: SSLError) -> str:
        """
        Say why the certificate and the key cannot be used.

        @param error: OpenSSL's error: triples of library, function and reason.
        """
        reason = error.args[0][-1][2]
        if reason in _MISMATCH:
            return (
                f"the private key in {self._key} does not fit the certificate in"
                f" {self._certificate}"
            )
        return (
            f"the private key in {self._key} is of a kind that TLS has no use for"
            f" ({reason})"
        )


def _mark(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _contents(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error


def _keyIn(path: Path) -> PKey:
    contents = _contents(path)
    asked: list[None] = []

    def askForPassphrase(*arguments: object) -> bytes:
        asked.append(None)
        return b""

    try:
        return load_privatekey(FILETYPE_PEM, contents, askForPassphrase)
    except (CryptoError, ValueError) as error:
        if asked:
            raise ValueError(f"the private key in {path} is encrypted") from error
        raise ValueError(f"no usable private key in {path}") from error


def _tryHandshake(context: Context) -> None:
    """
    Try a TLS handshake with a client that accepts any certificate. OpenSSL also loads
    keys that no cipher of TLS can use, and reports them only in a handshake.

    @param context: the server's.
    @raise SSLError: if the handshake fails.
    """
    server, client = Connection(context), Connection(Context(TLS_METHOD))
    server.set_accept_state()
    client.set_connect_state()
    # Each side sends at most twice in a handshake, in TLS 1.3 and in 1.2.
    for side, other in ((client, server), (server, client)) * 3:
        with suppress(WantReadError):
            side.do_handshake()
        with suppress(WantReadError):
            other.bio_write(side.bio_read(_FLIGHT))
    # This raises an error if the server still waits: then the handshake has failed.
    server.do_handshake()


def _certificatesIn(path: Path) -> list[X509]:
    contents = _contents(path)
    try:
        found = x509.load_pem_x509_certificates(contents)
    except ValueError as error:
        raise ValueError(f"no usable certificate in {path}") from error
    return [X509.from_cryptography(each) for each in found]
