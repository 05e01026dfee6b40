"""
The identity of a TLS client: who its certificate says that it is.
"""

from __future__ import annotations

from OpenSSL.crypto import X509


def clientIdentity(certificate: X509 | None) -> str:
    """
    Get the subject of the certificate of a client.

    @param certificate: a certificate that was verified in the handshake, or L{None} for
        a client that showed none.
    @return: the subject as RFC 4514 writes it (C{CN=alice,O=Example}), or empty.
    """
    if certificate is None:
        return ""
    return certificate.to_cryptography().subject.rfc4514_string()
