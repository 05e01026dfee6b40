"""
Layers between a listener and the protocol: counters, faults, PROXY header and TLS.
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
from upperproto.ways.proxyprotocol.headerwait import Network, ProxyFactory

if TYPE_CHECKING:
    # Only who wants TLS needs it.
    from upperproto.tls.engine import ServerContext


class Layers:
    """
    Make listeners whose connections have a PROXY header and TLS before the protocol.
    """

    def __init__(
        self,
        pending: IPendingConnections,
        factory: Factory[Any],
        truncated: Callable[[Any], None] = lambda protocol: None,
        getContext: Callable[[], ServerContext] | None = None,
        proxies: Iterable[Network] | None = None,
        opened: Callable[[str], None] | None = None,
    ) -> None:
        """
        @param pending: the connections that wait for a header or a handshake.
        @param factory: builds the protocols.
        @param truncated: called with the protocol of a client that has ended its TCP
            stream, but not its TLS stream.
        @param getContext: gives the TLS context for each connection, but not over UNIX
            sockets; no TLS by default.
        @param proxies: the proxies that all connections must come from, with a PROXY
            header; no such header by default.
        @param opened: called for each connection, with the address of its listener.
        """
        self._pending = pending
        self._factory = factory
        self._truncated = truncated
        self._opened = opened
        self._getContext = getContext
        self._proxies = proxies

    def _wrapFactory(
        self, getContext: Callable[[], ServerContext] | None = None
    ) -> Factory[Any]:
        """
        Make the factory for a listener.

        @param getContext: gives the TLS context for each connection of this listener,
            in place of that of the constructor.
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
        Make the listener of an endpoint.

        @param description: a server endpoint, as Twisted describes it.
        @param reactor: listens.
        @raise CannotStart: for a description that is not valid.
        """
        kind = kindOf(description)
        faults = faultsFrom(description)

        def wrap(
            getContext: Callable[[], ServerContext] | None = None,
        ) -> Factory[Any]:
            factory = self._wrapFactory(getContext)
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
            # Take the TCP endpoint and the certificates, but not Twisted's TLS. Both
            # attributes are of the private class TLSServerEndpoint (Twisted 26.10): a
            # tls: endpoint has no public ones. tests.ways.test_layers would notice
            # their end.
            creator = endpoint.connectionCreator
            endpoint = endpoint.endpoint
            factory = wrap(lambda: creator.defaultContext)
        listener = Listener(endpoint, factory, faults)
        return listener


class CountedFactory(WrappingFactory):
    """
    Call something for each connection of another factory.
    """

    noisy = False

    def __init__(self, factory: IProtocolFactory, opened: Callable[[], None]) -> None:
        """
        @param factory: the other factory.
        @param opened: called for each connection.
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
    Take the place of the reactor for C{ssl:} endpoints: listen with our TLS in place of
    Twisted's.
    """

    def __init__(
        self,
        reactor: Any,
        wrap: Callable[[Callable[[], ServerContext]], Factory[Any]],
    ) -> None:
        self._reactor = reactor
        self._wrap = wrap

    def listenSSL(
        self, port: int, factory: object, contextFactory: Any, **options: Any
    ) -> Any:
        factory = self._wrap(contextFactory.getContext)
        return self._reactor.listenTCP(port, factory, **options)
