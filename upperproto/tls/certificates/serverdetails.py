"""
The certificate of a TLS server, as its client sees it.

Importing this needs the extra C{tls}.
"""

from __future__ import annotations

import time
from typing import TypedDict

from cryptography import x509
from OpenSSL.SSL import Connection


class TLSDetails(TypedDict):
    """
    The TLS version, the cipher and the certificate of a server.

    @ivar version: the version of TLS, such as C{TLSv1.3}.
    @ivar cipher: the cipher suite's name.
    @ivar names: the DNS names and the IP addresses in the certificate, or its common
        name if it has none of them.
    @ivar issuer: the name of its issuer.
    @ivar expires: the earliest time when a certificate that the server has sent
        expires, in seconds since 1970.
    @ivar days: the number of days until then.
    """

    version: str
    cipher: str
    names: list[str]
    issuer: str
    expires: float
    days: float


def describe(connection: Connection) -> TLSDetails:
    """
    Describe the TLS of a connection.

    @param connection: its handshake need not be complete.
    """
    chain = [each.to_cryptography() for each in connection.get_peer_cert_chain() or ()]
    expires = min((expiry(each) for each in chain), default=0.0)
    return {
        "version": connection.get_protocol_version_name(),
        "cipher": connection.get_cipher_name() or "",
        "names": _names(chain[0]) if chain else [],
        "issuer": chain[0].issuer.rfc4514_string() if chain else "",
        "expires": expires,
        "days": round((expires - time.time()) / 86400, 1),
    }


def expiry(certificate: x509.Certificate) -> float:
    """
    Get the time when a certificate expires.

    @return: seconds since 1970.
    """
    # The attribute with _utc exists since cryptography 42.
    if hasattr(certificate, "not_valid_after_utc"):
        return certificate.not_valid_after_utc.timestamp()
    from datetime import timezone

    return certificate.not_valid_after.replace(tzinfo=timezone.utc).timestamp()


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value
    except x509.ExtensionNotFound:
        common = x509.oid.NameOID.COMMON_NAME
        return [
            str(each.value)
            for each in certificate.subject.get_attributes_for_oid(common)
        ]
    except ValueError:
        return []
    return [
        *found.get_values_for_type(x509.DNSName),
        *map(str, found.get_values_for_type(x509.IPAddress)),
    ]
