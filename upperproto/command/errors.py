"""
Why a connection was not made or was lost, in words for the person who wanted it.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.internet import error as neterror

# What a server's TLS alert means to the person who has to mend it, where its
# name, which is OpenSSL's, leaves that open.
_ALERTS = {
    "certificate required": "it wants a client certificate",
    # TLS 1.2 has no alert for this case.
    "handshake failure": "it may want a client certificate",
    "unknown ca": "it does not know who signed the client certificate",
    "access denied": "it does not admit this client certificate",
}


def whyNotConnected(error: Exception) -> str:
    """
    Say why a connection could not be made.

    @param error: what an endpoint has failed with.
    @return: a clause.
    """
    if isinstance(error, neterror.DNSLookupError):
        return "no such host"
    if isinstance(error, neterror.TimeoutError):
        return "no answer in time"
    if isinstance(error, neterror.ConnectError) and isinstance(error.osError, int):
        return os.strerror(error.osError)
    return str(error) or type(error).__name__


def whyLost(error: BaseException | None, transport: Any, handshake: bool) -> str:
    """
    Say why a connection was lost.

    @param error: what the protocol was told.
    @param transport: the one that was lost.
    @param handshake: whether it was lost during the TLS handshake.
    @return: a clause.
    """
    if isinstance(error, (neterror.ConnectionDone, neterror.ConnectionLost)):
        if handshake:
            return (
                "the server closed the connection during the TLS handshake:"
                " does it speak TLS?"
            )
        return "the connection was cut off"
    try:
        from OpenSSL.SSL import Error
        from service_identity import VerificationError
    except ImportError:  # pragma: no cover # Without the extra; the tests have it.
        pass
    else:
        if isinstance(error, VerificationError):
            return "the server's certificate is for another name"
        if isinstance(error, Error):
            return _whyNoTLS(error, transport)
    return f"the connection was lost: {str(error) or type(error).__name__}"


def _whyNoTLS(error: Exception, transport: Any) -> str:
    """
    Say what an error of OpenSSL means.
    """
    # Triples of library, function and reason; the last one is the outcome.
    queue = error.args[0] if error.args else []
    reason: str = queue[-1][2] if queue else "no reason given"
    if reason == "certificate verify failed":
        return f"the server's certificate is not trusted: {_whyNotTrusted(transport)}"
    _, isAlert, alert = reason.partition(" alert ")
    if isAlert:
        meaning = f" ({_ALERTS[alert]})" if alert in _ALERTS else ""
        return f"the server refused TLS: {alert}{meaning}"
    if reason in ("wrong version number", "packet length too long"):
        return f"the server does not speak TLS ({reason})"
    return f"TLS failed: {reason}"


def _whyNotTrusted(transport: Any) -> str:
    """
    Say what is wrong with a certificate.

    OpenSSL tells its error queue only that verification has failed, so it is
    asked again about the same certificates.
    """
    from OpenSSL.crypto import X509StoreContext, X509StoreContextError

    connection = transport.getHandle()
    chain = connection.get_peer_cert_chain()
    if chain:
        store = connection.get_context().get_cert_store()
        try:
            X509StoreContext(store, chain[0], chain[1:]).verify_certificate()
        except X509StoreContextError as error:
            return str(error)
    # What OpenSSL refused in the handshake it refuses here, too.
    return "its verification failed"  # pragma: no cover
