"""
What a TLS connection shows of its server.

Importing this needs the extra C{tls}.
"""

from __future__ import annotations

import time
from typing import TypedDict

from cryptography import x509
from OpenSSL.SSL import Connection


class TLSDetails(TypedDict):
    """
    What a TLS server has shown.

    @ivar version: of TLS, such as C{TLSv1.3}.
    @ivar cipher: the cipher suite's name.
    @ivar names: for whom its certificate is: DNS names and IP addresses, or the
        common name where it has none.
    @ivar issuer: who has issued it.
    @ivar expires: when the first of the certificates that it showed expires, in
        seconds since 1970.
    @ivar days: how many days are left until then.
    """

    version: str
    cipher: str
    names: list[str]
    issuer: str
    expires: float
    days: float


def describe(connection: Connection) -> TLSDetails:
    """
    Describe a connection's TLS.

    @param connection: as far as its handshake has come.
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
    Say when a certificate expires.

    @return: seconds since 1970.
    """
    # The one with _utc is of cryptography 42.
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
