"""
Why the certificate of a TLS server is not trusted.

Importing this needs the extra C{tls}.
"""

from __future__ import annotations

from OpenSSL.crypto import X509StoreContext, X509StoreContextError
from OpenSSL.SSL import Connection


def whyNotTrusted(connection: Connection) -> str:
    """
    Say what is wrong with the certificate that a server has sent.

    The error queue of OpenSSL says only that the verification failed. So OpenSSL
    verifies the same certificates once more.

    @param connection: the client's side. The verification has failed in its handshake.
    @return: the reason, in the words of OpenSSL.
    """
    chain = connection.get_peer_cert_chain()
    store = connection.get_context().get_cert_store()
    if chain and store:
        try:
            X509StoreContext(store, chain[0], chain[1:]).verify_certificate()
        except X509StoreContextError as error:
            return str(error)
    return "its verification failed"
