"""
The factory that puts a TLS transport below the protocols of a server or a client.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IAddress, IProtocolFactory, IReactorTime
from twisted.protocols.tls import TLSMemoryBIOFactory

from upperproto.tls.connection import ConnectionCreator
from upperproto.tls.transport import TLSTransport


class TLSFactory(TLSMemoryBIOFactory):
    """
    Put a L{TLSTransport} below each protocol that another factory builds.

    @ivar clock: tells the time.
    @ivar truncated: called with a protocol when the stream of its peer ends without a
        close_notify.
    """

    protocol = TLSTransport
    noisy = False

    def __init__(
        self,
        creator: Any,
        isClient: bool,
        wrappedFactory: IProtocolFactory,
        clock: IReactorTime,
        truncated: Callable[[Any], None] = lambda protocol: None,
    ) -> None:
        """
        @param creator: makes OpenSSL's connections for this side.
        @param isClient: whether this is the client's side.
        @param wrappedFactory: builds the protocols.
        @param clock: tells the time.
        @param truncated: called with a protocol when the stream of its peer ends
            without a close_notify.
        """
        super().__init__(ConnectionCreator(creator), isClient, wrappedFactory, clock)
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
