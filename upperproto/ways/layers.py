"""
The entrance: what stands between a listener and the protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import Factory

from upperproto.factory import UpperFactory
from upperproto.ways.endpoints import Listener, endpointFrom
from upperproto.ways.proxyprotocol import Network, ProxyFactory

if TYPE_CHECKING:
    # Only who wants TLS needs it.
    from OpenSSL.SSL import Context


class Entrance:
    """
    Lead connections to a service: past a PROXY header, then through TLS.
    """

    def __init__(
        self,
        service: UpperFactory,
        getContext: Callable[[], Context] | None = None,
        proxies: Iterable[Network] | None = None,
    ) -> None:
        """
        @param service: what the connections come to.
        @param getContext: gives the TLS context for each connection but those
            over UNIX sockets; no TLS by default.
        @param proxies: where every connection must come from, with a PROXY
            header; no such header by default.
        """
        self._service = service
        self._getContext = getContext
        self._proxies = proxies

    def factory(self, getContext: Callable[[], Context] | None = None) -> Factory[Any]:
        """
        Make the factory for a listener.

        @param getContext: gives the TLS context for each connection, in place
            of the entrance's own.
        """
        factory: Factory[Any] = self._service
        getContext = getContext or self._getContext
        if getContext is not None:
            from upperproto.ways.tls import TLSFactory

            factory = TLSFactory(self._service, factory, getContext)
        if self._proxies is not None:
            factory = ProxyFactory(self._service, factory, self._proxies)
        return factory

    def listener(self, description: str, reactor: Any) -> Listener:
        """
        Make what listens on an endpoint.

        @param description: a server endpoint, as Twisted describes it.
        @param reactor: what listens, and tells the time.
        @raise CannotStart: for what is not an endpoint.
        """
        kind = description.partition(":")[0].lower()
        listening = _TLSReactor(reactor, self) if kind == "ssl" else reactor
        endpoint: Any = endpointFrom(listening, description)
        factory = self.factory()
        if kind == "tls":
            # Of Twisted's TLS over TCP, only TCP and the certificates.
            creator = endpoint.connectionCreator
            endpoint = endpoint.endpoint
            factory = self.factory(lambda: creator.defaultContext)
        return Listener(endpoint, factory, reactor)


class _TLSReactor:
    """
    Stands in for the reactor where C{ssl:} endpoints listen: with our TLS in
    place of Twisted's.
    """

    def __init__(self, reactor: Any, entrance: Entrance) -> None:
        self._reactor = reactor
        self._entrance = entrance

    def listenSSL(
        self, port: int, factory: object, contextFactory: Any, **options: Any
    ) -> Any:
        factory = self._entrance.factory(contextFactory.getContext)
        return self._reactor.listenTCP(port, factory, **options)
