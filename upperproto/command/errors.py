"""
What goes wrong in C{upper-client}, in words for the person who wanted it.

Twisted is imported where one of its errors is looked at: whoever asks for help, or
makes a mistake, need not wait for it.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from upperproto.tls.peer import TLSDetails

# How to ask a server that speaks TLS.
ASK_WITH_TLS = "ask with --tls, or with --tls-ca FILE for a CA of your own"

# What a server's TLS alert means to the person who has to mend it, where its
# name, which is OpenSSL's, leaves that open.
_ALERTS = {
    "certificate required": "it wants a client certificate",
    # TLS 1.2 has no alert for this case.
    "handshake failure": "it may want a client certificate",
    "unknown ca": "it does not know who signed the client certificate",
    "access denied": "it does not admit this client certificate",
}

# What servers of other kinds begin with. The first one is a TLS alert, which comes
# in plain bytes before there is a session (RFC 8446, section 6).
_OTHER_SERVERS = [
    (b"\x15\x03", f"the server seems to speak TLS: {ASK_WITH_TLS}"),
    (b"HTTP/", "this is a web server"),
    (b"<!DOCTYPE", "this is a web server"),
    (b"<html", "this is a web server"),
    (b"SSH-", "this is an SSH server"),
    (b"220 ", "this is a mail or an FTP server"),
    (b"* OK", "this is an IMAP server"),
]


class WrongUsage(Exception):
    """
    The words on the command line make no sense. The message says why.
    """


class NoDestination(Exception):
    """
    The way that the options describe cannot be gone. The message says why, in
    one line.
    """


class SessionError(Exception):
    """
    A session has not ended as it should. The message says why, in one line.
    """


class NotConnected(Exception):
    """
    A connection could not be made. The message says why, in one line.

    @ivar stage: what has failed: C{resolve}, C{connect} or C{tls}.
    @ivar why: the reason, without what it is the reason of.
    @ivar details: what the server has shown in a TLS handshake that has failed.
    """

    details: TLSDetails | None = None

    def __init__(self, stage: str, why: str, message: str = "") -> None:
        """
        @param stage: what has failed.
        @param why: the reason alone.
        @param message: the whole message, if it is more than the reason.
        """
        super().__init__(message or why)
        self.stage = stage
        self.why = why


def otherServer(received: bytes) -> str:
    """
    Recognise a server of another kind.

    @param received: the first bytes that it has sent.
    @return: what it seems to be, or nothing.
    """
    for beginning, said in _OTHER_SERVERS:
        if received.startswith(beginning):
            return said
    return ""


def whyNotConnected(error: BaseException | None) -> str:
    """
    Say why a connection could not be made.

    @param error: what an endpoint has failed with.
    @return: a clause.
    """
    from twisted.internet import error as neterror
    from twisted.internet.defer import TimeoutError as DeferredTimeout

    if isinstance(error, NotConnected):
        return error.why
    if isinstance(error, neterror.DNSLookupError):
        return "no such host"
    # Those that we give up because of their time are among them.
    if isinstance(
        error,
        (
            *(neterror.TimeoutError, neterror.ConnectingCancelledError),
            *(neterror.UserError, DeferredTimeout),
        ),
    ):
        return "no answer in time"
    if isinstance(error, neterror.ConnectError) and isinstance(error.osError, int):
        return os.strerror(error.osError)
    return str(error) or type(error).__name__


def whyLost(
    error: BaseException | None, transport: Any, handshake: bool, name: str = ""
) -> str:
    """
    Say why a connection was lost.

    @param error: what the protocol was told.
    @param transport: the one that was lost.
    @param handshake: whether it was lost during the TLS handshake.
    @param name: the name that the server's certificate must have.
    @return: a clause.
    """
    from twisted.internet import error as neterror

    if isinstance(error, (neterror.ConnectionDone, neterror.ConnectionLost)):
        if handshake:
            return (
                "the server closed the connection during the TLS handshake:"
                " does it speak TLS?"
            )
        return "the connection was cut off"
    # Without it, nothing of it can have failed.
    if "OpenSSL" in sys.modules:
        from OpenSSL.SSL import Error
        from service_identity import VerificationError

        if isinstance(error, VerificationError):
            return _whyWrongName(transport, name)
        if isinstance(error, Error):
            return _whyNoTLS(error, transport)
    return f"the connection was lost: {str(error) or type(error).__name__}"


def _whyWrongName(transport: Any, name: str) -> str:
    """
    Say whom the certificate is for, and whom it was expected for.
    """
    from upperproto.tls.peer import describe

    names = ", ".join(describe(transport.getHandle())["names"]) or "nobody"
    return f"the server's certificate is for another name: {names}, not {name}"


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
