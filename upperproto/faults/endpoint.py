"""
The C{fault:} endpoint, for any Twisted server: C{fault:delay=0.2:tcp:5001}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.protocols.policies import WrappingFactory
from zope.interface import implementer

from upperproto.faults.connection import FaultyConnection
from upperproto.faults.endpointstring import Fields, join
from upperproto.faults.settings import READERS, FaultSettings


def parse(
    reactor: Any, arguments: Sequence[str], keywords: Mapping[str, str]
) -> FaultEndpoint:
    """
    Make a C{fault:} endpoint from its description.

    @param reactor: listens and tells the time.
    @param arguments: the fields without a name, first the kind of the inner endpoint.
    @param keywords: the fields with a name: the faults, and fields of the inner
        endpoint.
    @raise ValueError: for a fault or an endpoint that is not valid.
    """
    if not arguments:
        raise ValueError("fault: needs an endpoint after it, such as tcp:5001")
    faults = {name: word for name, word in keywords.items() if name in READERS}
    inner: Fields = [(None, each) for each in arguments]
    inner += [each for each in keywords.items() if each[0] not in READERS]
    return FaultEndpoint(
        serverFromString(reactor, join(inner)),
        FaultSettings.fromWords(faults),
        reactor,
    )


@implementer(IStreamServerEndpoint)
class FaultEndpoint:
    """
    Listen on another endpoint, and add faults to its connections.

    @ivar settings: the faults.
    """

    def __init__(
        self,
        endpoint: IStreamServerEndpoint,
        settings: FaultSettings,
        clock: IReactorTime,
    ) -> None:
        """
        @param endpoint: the other endpoint.
        @param settings: the faults.
        @param clock: tells the time.
        """
        self.settings = settings
        self._endpoint = endpoint
        self._clock = clock

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        Listen on the other endpoint.

        @param protocolFactory: builds the protocols.
        """
        factory = FaultFactory(protocolFactory, self.settings, self._clock)
        listening: Deferred[IListeningPort] = self._endpoint.listen(factory)
        return listening


class FaultFactory(WrappingFactory):
    """
    Add faults to the connections of another factory.
    """

    noisy = False

    def __init__(
        self, factory: IProtocolFactory, settings: FaultSettings, clock: IReactorTime
    ) -> None:
        """
        @param factory: the other factory.
        @param settings: the faults.
        @param clock: tells the time.
        """
        super().__init__(factory)
        self._settings = settings
        self._clock = clock
        self._numbers = count()

    def buildProtocol(  # type: ignore[override] # It need not be a wrapper.
        self, addr: IAddress | None
    ) -> IProtocol | None:
        """
        Build a protocol, and add the faults of this connection, if it has any.
        """
        faults = self._settings.forConnection(next(self._numbers))
        if faults.silent:
            return FaultyConnection(None, faults, self._clock)
        protocol: IProtocol | None = self.wrappedFactory.buildProtocol(addr)
        if protocol is None or not faults.any:
            return protocol
        return FaultyConnection(protocol, faults, self._clock)
