"""
The factory that puts a TLS transport below the protocols of a server or a client.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import (
    IAddress,
    IProtocolFactory,
    IReactorTime,
)
from twisted.protocols.policies import WrappingFactory

from upperproto.tls.engine import ServerConnection, ServerContext, TLSConnection
from upperproto.tls.pyopenssl import PyOpenSSLConnection, ServerContexts
from upperproto.tls.transport import TLSTransport

# Makes one end of TLS for a transport.
Connect = Callable[[TLSTransport], TLSConnection]


class TLSFactory(WrappingFactory):
    """
    Put a L{TLSTransport} below each protocol that another factory builds.

    @ivar connect: makes one end of TLS for a transport.
    @ivar clock: tells the time.
    @ivar truncated: called with each protocol whose peer's stream ends without a
        close_notify.
    """

    protocol: Any = TLSTransport
    noisy = False

    def __init__(
        self,
        connect: Connect,
        wrappedFactory: IProtocolFactory,
        clock: IReactorTime,
        truncated: Callable[[Any], None] = lambda protocol: None,
    ) -> None:
        """
        @param connect: makes one end of TLS for a transport.
        @param wrappedFactory: builds the protocols.
        @param clock: tells the time.
        @param truncated: called with each protocol whose peer's stream ends without a
            close_notify.
        """
        super().__init__(wrappedFactory)
        self.connect = connect
        self.clock = clock
        self.truncated = truncated

    def buildProtocol(  # type: ignore[override] # Twisted's has always one.
        self, addr: IAddress | None
    ) -> TLSTransport | None:
        """
        Build a transport with its protocol, if there is one for this address.
        """
        wrapped = self.wrappedFactory.buildProtocol(addr)
        return None if wrapped is None else self.protocol(self, wrapped)

    def logPrefix(self) -> str:
        """
        Name the other factory in the log, with TLS.
        """
        return f"{self.wrappedFactory.logPrefix()} (TLS)"


def clientSide(creator: Any) -> Connect:
    """
    Make the client's ends of connections.

    @param creator: makes those of pyOpenSSL: an C{IOpenSSLClientConnectionCreator},
        which Twisted declares for its own transport alone.
    """

    def connect(transport: TLSTransport) -> TLSConnection:
        return PyOpenSSLConnection(
            creator.clientConnectionForTLS(transport), transport.records, isClient=True
        )

    return connect


def serverSide(getContext: Callable[[], ServerContext]) -> Connect:
    """
    Make the server's ends of connections.

    @param getContext: gives the context for each, Python's or pyOpenSSL's.
    """
    contexts = ServerContexts()

    def connect(transport: TLSTransport) -> TLSConnection:
        context = getContext()
        if isinstance(context, ssl.SSLContext):
            return ServerConnection(context, transport.records)
        return contexts.connect(context, transport.records)

    return connect
