"""
Layers: what a connection passes on its way from a listener to the protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.protocols.policies import WrappingFactory

from upperproto.interfaces import IPendingConnections
from upperproto.ways.endpoints import Listener, endpointFrom, faultsFrom, kindOf
from upperproto.ways.inherited import Inheriting
from upperproto.ways.proxyprotocol import Network, ProxyFactory

if TYPE_CHECKING:
    # Only who wants TLS needs it.
    from OpenSSL.SSL import Context


class Layers:
    """
    Lead connections to a protocol: past a PROXY header, then through TLS.
    """

    def __init__(
        self,
        pending: IPendingConnections,
        factory: Factory[Any],
        truncated: Callable[[Any], None] = lambda protocol: None,
        getContext: Callable[[], Context] | None = None,
        proxies: Iterable[Network] | None = None,
        opened: Callable[[str], None] | None = None,
    ) -> None:
        """
        @param pending: the connections that have not come to the protocol yet.
        @param factory: what builds the protocols.
        @param truncated: called with the protocol whose client's TCP stream ends
            before its TLS one.
        @param getContext: gives the TLS context for each connection but those
            over UNIX sockets; no TLS by default.
        @param proxies: where every connection must come from, with a PROXY
            header; no such header by default.
        @param opened: called with the address of the listener that has accepted a
            connection, for each; nobody is, by default.
        """
        self._pending = pending
        self._factory = factory
        self._truncated = truncated
        self._opened = opened
        self._getContext = getContext
        self._proxies = proxies

    def wrapFactory(
        self, getContext: Callable[[], Context] | None = None
    ) -> Factory[Any]:
        """
        Make the factory for a listener.

        @param getContext: gives the TLS context for each connection, in place
            of the one for all listeners.
        """
        factory = self._factory
        getContext = getContext or self._getContext
        if getContext is not None:
            from upperproto.ways.tls import TLSListenerFactory

            factory = TLSListenerFactory(
                self._pending, factory, getContext, self._truncated
            )
        if self._proxies is not None:
            factory = ProxyFactory(self._pending, factory, self._proxies)
        return factory

    def listener(self, description: str, reactor: Any) -> Listener:
        """
        Make what listens on an endpoint.

        @param description: a server endpoint, as Twisted describes it.
        @param reactor: what listens.
        @raise CannotStart: for what is not an endpoint.
        """
        kind = kindOf(description)
        faults = faultsFrom(description)

        def wrap(getContext: Callable[[], Context] | None = None) -> Factory[Any]:
            factory = self.wrapFactory(getContext)
            if faults is not None:
                # Few want it.
                from upperproto.faults.endpoint import FaultFactory

                factory = FaultFactory(factory, faults, reactor)
            opened = self._opened
            if opened is not None:
                factory = CountedFactory(factory, lambda: opened(listener.address))
            return factory

        inheriting: Any = Inheriting(reactor)
        if kind == "ssl":
            inheriting = _SSLReactor(inheriting, wrap)
        endpoint: Any = endpointFrom(inheriting, description)
        factory = wrap()
        if kind == "tls":
            # Of Twisted's TLS over TCP, only TCP and the certificates.
            creator = endpoint.connectionCreator
            endpoint = endpoint.endpoint
            factory = wrap(lambda: creator.defaultContext)
        listener = Listener(endpoint, factory, faults)
        return listener


class CountedFactory(WrappingFactory):
    """
    Tell of each connection that comes to another factory.
    """

    noisy = False

    def __init__(self, factory: IProtocolFactory, opened: Callable[[], None]) -> None:
        """
        @param factory: the other one.
        @param opened: called for each.
        """
        super().__init__(factory)
        self._opened = opened
        # To count takes no context of its own.
        self.logContext = getattr(factory, "logContext", True)

    def logPrefix(self) -> str:
        """
        Name the other factory in the log.
        """
        prefix: str = self.wrappedFactory.logPrefix()
        return prefix

    def buildProtocol(  # type: ignore[override] # It is no wrapper.
        self, addr: IAddress | None
    ) -> IProtocol | None:
        """
        Build the other factory's protocol.
        """
        self._opened()
        protocol: IProtocol | None = self.wrappedFactory.buildProtocol(addr)
        return protocol


class _SSLReactor:
    """
    Stands in for the reactor where C{ssl:} endpoints listen: with our TLS in
    place of Twisted's.
    """

    def __init__(
        self, reactor: Any, wrap: Callable[[Callable[[], Context]], Factory[Any]]
    ) -> None:
        self._reactor = reactor
        self._wrap = wrap

    def listenSSL(
        self, port: int, factory: object, contextFactory: Any, **options: Any
    ) -> Any:
        factory = self._wrap(contextFactory.getContext)
        return self._reactor.listenTCP(port, factory, **options)
