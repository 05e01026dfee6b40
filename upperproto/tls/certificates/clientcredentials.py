"""
The certificate that C{upper-client} shows to a TLS server, and the CAs that it trusts.

Importing this needs the extra C{tls}.
"""

from __future__ import annotations

import re
from pathlib import Path

from OpenSSL.crypto import FILETYPE_PEM, Error
from twisted.internet.error import VerifyError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    Certificate,
    KeyPair,
    PrivateCertificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)


class BadCredentials(Exception):
    """
    A file of a certificate or a key cannot be used. The message says why, in one line.
    """


def clientTLS(
    name: str, ca: str | None, certificate: str | None, key: str | None
) -> IOpenSSLClientConnectionCreator:
    """
    Prepare the client's side of TLS.

    @param name: the name that the server's certificate must have.
    @param ca: a PEM file, or a folder of PEM files, with the certificates to trust;
        L{None} to trust the same certificates as the system.
    @param certificate: a PEM file with a certificate to show, and after it the
        certificates that lead to its CA; L{None} to show none.
    @param key: a PEM file with its private key; L{None} for the same file.
    @return: makes the TLS side of a connection.
    @raise BadCredentials: for a file that cannot be used.
    """
    trusted = None if ca is None else trustRootFromCertificates(_certificates(ca))
    shown, extra = None, {}
    if certificate is not None:
        own, *chain = _certificates(certificate)
        shown = _withKey(own, key or certificate)
        extra["extraCertChain"] = [each.original for each in chain]
    try:
        return optionsForClientTLS(name, trusted, shown, extraCertificateOptions=extra)
    except UnicodeError as error:
        raise BadCredentials(f"not the name of a server: {name!r}") from error


def _certificates(path: str) -> list[Certificate]:
    """
    Load at least one certificate, from a PEM file or from all C{.pem} files in a
    folder.
    """
    folder = Path(path)
    files = sorted(folder.glob("*.pem")) if folder.is_dir() else [path]
    blocks = re.findall(
        b"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----",
        b"".join(map(_read, map(str, files))),
        re.DOTALL,
    )
    if not blocks:
        raise BadCredentials(f"no certificate in {path}")
    try:
        return [Certificate.loadPEM(block) for block in blocks]
    except Error as error:
        raise BadCredentials(f"a certificate in {path} is damaged") from error


def _withKey(certificate: Certificate, path: str) -> PrivateCertificate:
    """
    Join a certificate and the private key in a PEM file. If the key is encrypted,
    OpenSSL asks for the pass phrase on the terminal.
    """
    try:
        key = KeyPair.load(_read(path), FILETYPE_PEM)
        joined: PrivateCertificate = PrivateCertificate.fromCertificateAndKeyPair(
            certificate, key
        )
    except Error as error:
        raise BadCredentials(f"no private key that can be used in {path}") from error
    except VerifyError as error:
        raise BadCredentials(f"another certificate's key in {path}") from error
    return joined


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BadCredentials(f"cannot read {path}: {error.strerror}") from error
