"""
The door: where a connection waits until it has shown what is asked of it, such
as a TLS handshake or a PROXY header.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IProtocol,
)
from twisted.internet.protocol import (
    Factory,
    Protocol,
    ServerFactory,
    connectionDone,
)
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from upperproto.factory import UpperFactory

# How many seconds a client may take to show what is asked of it. A PROXY header
# comes with the connection, and a TLS handshake takes two round trips.
PATIENCE = 10.0


class Door(Protocol):
    """
    Stand for a protocol until its client may come in, then step aside: the
    protocol gets the transport itself, with its half-close, its back-pressure
    and its speed, and nothing remains in between.

    @cvar asked: what the client has to show.
    """

    asked: ClassVar[str]

    # What the endpoints, and TLS, hand us.
    transport: Connection

    _limit: IDelayedCall | None = None

    def __init__(self, service: UpperFactory, inner: IProtocol) -> None:
        """
        @param service: what counts those who wait.
        @param inner: the protocol that the door stands for.
        """
        self._service = service
        self.inner = inner

    def connectionMade(self) -> None:
        """
        Wait, but not for long.
        """
        clock = self._service.getClock()
        late = f"no {self.asked} within {PATIENCE:g} s"
        self._limit = clock.callLater(PATIENCE, self.refuse, late)
        self._service.arrived(self)

    def refuse(self, why: str) -> None:
        """
        Close the connection at once, and say so in the log.

        @param why: for the log.
        """
        if self.leave():
            self._service.refused(self.transport.getPeer(), why)
            self.transport.abortConnection()

    def leave(self) -> bool:
        """
        Wait no more.

        @return: whether the client was still waiting.
        """
        if self._limit is None:
            return False
        if self._limit.active():
            self._limit.cancel()
        self._limit = None
        self._service.departed(self)
        return True

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The client has gone before it came in.
        """
        if self.leave():
            self._service.refused(self.transport.getPeer(), self.explain(reason))

    def explain(self, reason: Failure) -> str:
        """
        Say why a client did not come in.

        @param reason: what ended the connection.
        """
        return f"closed before a {self.asked}"


class DoorFactory(ServerFactory):
    """
    Put a L{Door} before each protocol that another factory builds.

    @ivar inner: that factory.
    @cvar door: the class of the door.
    """

    noisy = False
    door: ClassVar[type[Door]]

    def __init__(self, service: UpperFactory, inner: Factory[Any]) -> None:
        """
        @param service: what counts those who wait at the door.
        @param inner: what builds the protocols behind it.
        """
        self.service = service
        self.inner = inner

    def doStart(self) -> None:
        """
        Start the inner factory, too.
        """
        self.inner.doStart()
        super().doStart()

    def doStop(self) -> None:
        """
        Stop the inner factory, too.
        """
        self.inner.doStop()
        super().doStop()

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """
        Build a door, with its protocol.
        """
        inner = self.inner.buildProtocol(addr)
        return None if inner is None else self.door(self.service, inner)

    def logPrefix(self) -> str:
        """
        Name the inner factory in the log.
        """
        prefix: str = self.inner.logPrefix()
        return prefix
