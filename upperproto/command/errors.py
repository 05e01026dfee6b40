"""
Errors of C{upper-client}, and what they say to the user.

Twisted is imported where one of its errors is looked at. The help and a wrong command
line do not wait for it.
"""

from __future__ import annotations

import os
import sys
from errno import ECONNREFUSED
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from upperproto.tls.certificates.serverdetails import TLSDetails

# What an alert of TLS means, where OpenSSL's name for it does not say enough.
_ALERTS = {
    "certificate required": "it wants a client certificate",
    # TLS 1.2 has no alert for this case.
    "handshake failure": "it may want a client certificate",
    "unknown ca": "it does not know who signed the client certificate",
    "access denied": "it does not admit this client certificate",
}


class WrongUsage(Exception):
    """
    The command line is wrong. The message says why.
    """


class NoDestination(Exception):
    """
    No connection is possible with these options. The message says why, in one line.
    """


class SessionError(Exception):
    """
    A session ended with an error. The message says why, in one line.
    """


class NotConnected(Exception):
    """
    A connection could not be made. The message says why, in one line.

    @ivar code: of the L{Fault<upperproto.command.findings.diagnoses.Fault>} that it is.
    @ivar why: the reason alone.
    @ivar details: what the server showed in a TLS handshake that failed.
    """

    details: TLSDetails | None = None

    def __init__(self, code: str, why: str, message: str = "") -> None:
        """
        @param code: of the fault.
        @param why: the reason alone.
        @param message: the whole message, if it is more than the reason.
        """
        super().__init__(message or why)
        self.code = code
        self.why = why


class Reason(NamedTuple):
    """
    Why a connection could not be made, or was lost.

    @ivar code: of the L{Fault<upperproto.command.findings.diagnoses.Fault>} that it is.
    @ivar words: the reason, as a clause.
    """

    code: str
    words: str


def whyNotConnected(error: BaseException | None) -> Reason:
    """
    Say why a connection could not be made.

    @param error: the error of an endpoint.
    """
    from twisted.internet import error as neterror
    from twisted.internet.defer import TimeoutError as DeferredTimeout

    if isinstance(error, NotConnected):
        return Reason(error.code, error.why)
    if isinstance(error, neterror.DNSLookupError):
        return Reason("no-host", "no such host")
    timeouts = (neterror.TimeoutError, DeferredTimeout)
    # We cancel an attempt whose time is over.
    cancelled = (neterror.ConnectingCancelledError, neterror.UserError)
    if isinstance(error, timeouts + cancelled):
        return Reason("swallowed", "no answer in time")
    if isinstance(error, neterror.ConnectError) and isinstance(error.osError, int):
        refused = error.osError == ECONNREFUSED
        code = "refused" if refused else "not-connected"
        return Reason(code, os.strerror(error.osError))
    return Reason("not-connected", str(error) or type(error).__name__)


def whyLost(
    error: BaseException | None,
    transport: Any,
    handshake: bool = False,
    name: str = "",
) -> Reason:
    """
    Say why a connection was lost.

    @param error: the error that the protocol was given.
    @param transport: the transport of the connection.
    @param handshake: whether it was lost during the TLS handshake.
    @param name: the name that the server's certificate must have.
    """
    from twisted.internet import error as neterror

    if isinstance(error, (neterror.ConnectionDone, neterror.ConnectionLost)):
        if handshake:
            return Reason(
                "tls",
                "the server closed the connection during the TLS handshake:"
                " does it speak TLS?",
            )
        return Reason("cut", "the connection was cut off")
    # If OpenSSL is not loaded, the error is not one of its own.
    if "OpenSSL" in sys.modules:
        from OpenSSL.SSL import Error
        from service_identity import VerificationError

        if isinstance(error, VerificationError):
            return _whyWrongName(transport, name)
        if isinstance(error, Error):
            return _whyNoTLS(error, transport)
    code = "tls" if handshake else "cut"
    return Reason(
        code, f"the connection was lost: {str(error) or type(error).__name__}"
    )


def _whyWrongName(transport: Any, name: str) -> Reason:
    """
    Say which names the certificate has, and which name was expected.
    """
    from upperproto.tls.certificates.serverdetails import describe

    names = ", ".join(describe(transport.getHandle())["names"]) or "nobody"
    return Reason(
        "wrong-name",
        f"the server's certificate is for another name: {names}, not {name}",
    )


def _whyNoTLS(error: Exception, transport: Any) -> Reason:
    """
    Say what an error of OpenSSL means.
    """
    # Triples of library, function and reason. The last one is the result.
    queue = error.args[0] if error.args else []
    reason: str = queue[-1][2] if queue else "no reason given"
    if reason == "certificate verify failed":
        from upperproto.tls.certificates.untrusted import whyNotTrusted

        why = whyNotTrusted(transport.getHandle())
        return Reason("untrusted", f"the server's certificate is not trusted: {why}")
    _, isAlert, alert = reason.partition(" alert ")
    if isAlert:
        meaning = f" ({_ALERTS[alert]})" if alert in _ALERTS else ""
        return Reason("tls", f"the server refused TLS: {alert}{meaning}")
    if reason in ("wrong version number", "packet length too long"):
        return Reason("tls", f"the server does not speak TLS ({reason})")
    return Reason("tls", f"TLS failed: {reason}")
