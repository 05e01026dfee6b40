"""
The certificates of a TLS server: what their files hold now.
"""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL.crypto import X509, PKey
from OpenSSL.SSL import Context
from OpenSSL.SSL import Error as SSLError
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    trustRootFromCertificates,
)
from twisted.logger import Logger


class Certificates:
    """
    Make TLS contexts, with Twisted's defaults, out of PEM files; and make new
    ones when the files have changed.
    """

    _log = Logger()

    def __init__(
        self, certificate: str, key: str | None = None, clientCA: str | None = None
    ) -> None:
        """
        Read the files.

        @param certificate: the path of the server's certificate, followed by
            its intermediate ones.
        @param key: the path of its private key, which is not encrypted; by
            default, it is in the file of the certificate.
        @param clientCA: the path of the certificates of those who issue the
            clients' certificates; every client needs one then. By default,
            none does.
        @raise ValueError: for files that are of no use, with a message that
            says why.
        """
        self._certificate = Path(certificate)
        self._key = self._certificate if key is None else Path(key)
        self._clientCA = None if clientCA is None else Path(clientCA)
        self._seen = self._look()
        self._context = self._read()

    def getContext(self) -> Context:
        """
        Get the context for the next connection.

        Three calls of C{stat} find out whether it is still right: 3 us, where
        the handshake takes 600.

        @return: a new one, if the files have changed and are of use.
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
        See that the files can still be read, as they have to be when they change: the
        process may have given up its privileges since.

        @raise ValueError: if one of them cannot, with a message that says why.
        """
        for path in self._paths():
            _contents(path)

    def _look(self) -> list[tuple[int, ...]]:
        """
        What changes when one of the files does.
        """
        return [_mark(path) for path in self._paths()]

    def _paths(self) -> list[Path]:
        paths = (self._certificate, self._key, self._clientCA)
        return [path for path in paths if path is not None]

    def _read(self) -> Context:
        chain = _certificatesIn(self._certificate)
        contents = _contents(self._key)
        try:
            key = load_pem_private_key(contents, None)
        except TypeError as error:
            raise ValueError(f"the private key in {self._key} is encrypted") from error
        except ValueError as error:
            raise ValueError(f"no usable private key in {self._key}") from error
        trustRoot = None
        if self._clientCA is not None:
            authorities = _certificatesIn(self._clientCA)
            trustRoot = trustRootFromCertificates(map(Certificate, authorities))
        try:
            return CertificateOptions(
                # Of a kind that it does not take, it says so.
                privateKey=PKey.from_cryptography_key(key),  # type: ignore[arg-type]
                certificate=chain[0],
                extraCertChain=chain[1:],
                trustRoot=trustRoot,
            ).getContext()
        except (SSLError, TypeError) as error:
            raise ValueError(
                f"the private key in {self._key} does not fit the certificate in"
                f" {self._certificate}"
            ) from error


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


def _certificatesIn(path: Path) -> list[X509]:
    contents = _contents(path)
    try:
        found = x509.load_pem_x509_certificates(contents)
    except ValueError as error:
        raise ValueError(f"no usable certificate in {path}") from error
    return [X509.from_cryptography(each) for each in found]
