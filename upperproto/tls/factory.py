"""
What puts a TLS transport below protocols: a factory for both sides, and an endpoint
for clients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from upperproto.tls.connection import ConnectionCreator
from upperproto.tls.transport import TLSTransport


class TLSFactory(TLSMemoryBIOFactory):
    """
    Put a L{TLSTransport} below each protocol that another factory builds.

    @ivar truncated: is told of each peer whose stream ends without a close_notify.
    """

    protocol = TLSTransport
    noisy = False

    def __init__(
        self,
        creator: Any,
        isClient: bool,
        wrappedFactory: IProtocolFactory,
        clock: IReactorTime | None = None,
        truncated: Callable[[IAddress], None] = lambda peer: None,
    ) -> None:
        """
        @param creator: makes OpenSSL's connections for this side.
        @param isClient: whether this is the client's side.
        @param wrappedFactory: builds the protocols.
        @param clock: what tells the time; the global reactor by default.
        @param truncated: is told of each peer whose stream ends without a
            close_notify.
        """
        super().__init__(ConnectionCreator(creator), isClient, wrappedFactory, clock)
        self.truncated = truncated

    def buildProtocol(  # type: ignore[override] # Twisted's has always one.
        self, addr: IAddress | None
    ) -> TLSTransport | None:
        """
        Build a transport with its protocol, if there is one for this address.
        """
        wrapped = self.wrappedFactory.buildProtocol(addr)
        return None if wrapped is None else self.protocol(self, wrapped)


@implementer(IStreamClientEndpoint)
class TLSClientEndpoint:
    """
    Connect to a server over TLS.
    """

    def __init__(
        self,
        creator: Any,
        endpoint: IStreamClientEndpoint,
        clock: IReactorTime,
        truncated: Callable[[IAddress], None] = lambda peer: None,
    ) -> None:
        """
        @param creator: makes OpenSSL's connections.
        @param endpoint: connects to the server without TLS.
        @param clock: what tells the time.
        @param truncated: is told of a server whose stream ends without a
            close_notify.
        """
        self._creator = creator
        self._endpoint = endpoint
        self._clock = clock
        self._truncated = truncated

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Connect a protocol. The handshake is still to come.
        """
        factory = TLSFactory(
            self._creator, True, protocolFactory, self._clock, self._truncated
        )
        connecting: Deferred[Any] = self._endpoint.connect(factory)
        return connecting.addCallback(lambda transport: transport.wrappedProtocol)
