"""
TLS listeners: wait for the client's handshake before the protocol begins.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress, IHandshakeListener, IProtocol
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from zope.interface import implementer

from upperproto.interfaces import IPendingConnections, IServedConnection
from upperproto.tls.certificates.clientidentity import clientIdentity
from upperproto.tls.engine import ServerContext
from upperproto.tls.factory import TLSFactory, serverSide
from upperproto.tls.transport import TLSTransport
from upperproto.ways.handshake import PendingFactory, PendingProtocol


@implementer(IHandshakeListener)
class PendingTLSHandshake(PendingProtocol):
    """
    Wait for a TLS handshake.
    """

    awaited = "TLS handshake"

    transport: TLSTransport

    def handshakeCompleted(self) -> None:
        """
        Start the protocol. It gets the version of TLS, and the client's identity.
        """
        tls, inner = self.transport, self.inner
        if IServedConnection.providedBy(inner):
            version: str = tls.getHandle().get_protocol_version_name()
            inner.tlsVersion = version.removeprefix("TLSv")
            inner.identity = clientIdentity(tls.getPeerCertificate())
        self.leave()
        tls.switchProtocol(inner)

    def explain(self, reason: Failure) -> str:
        """
        Say why a handshake failed, in the words of OpenSSL.
        """
        error = reason.value
        if isinstance(error, SSL.Error):
            # Each is a triple of library, function and reason. In OpenSSL 4, the last
            # one may say less than the one before.
            reasons = [each[2] for each in error.args[0]]
            if len(reasons) > 1 and reasons[-1] == "record layer failure":
                reasons.pop()
            return f"{self.awaited} failed: {reasons[-1]}"
        return super().explain(reason)


class _PendingTLSFactory(PendingFactory):
    protocol = PendingTLSHandshake


class TLSListenerFactory(TLSFactory):
    """
    Wait for a TLS handshake before each protocol of another factory; but not on UNIX
    sockets.
    """

    def __init__(
        self,
        pending: IPendingConnections,
        inner: Factory[Any],
        getContext: Callable[[], ServerContext],
        truncated: Callable[[Any], None],
    ) -> None:
        """
        @param pending: the connections that wait.
        @param inner: builds the protocols.
        @param getContext: gives the TLS context for each connection.
        @param truncated: called with the protocol of each client that ends its stream
            without a close_notify.
        """
        super().__init__(
            serverSide(getContext),
            _PendingTLSFactory(pending, inner),
            pending.clock,
            truncated,
        )
        self.inner = inner

    def buildProtocol(  # type: ignore[override] # A UNIX socket's is not TLS.
        self, addr: IAddress | None
    ) -> IProtocol | None:
        """
        Build a protocol with TLS; without TLS for a UNIX socket.
        """
        if isinstance(addr, UNIXAddress):
            return self.inner.buildProtocol(addr)
        return super().buildProtocol(addr)
