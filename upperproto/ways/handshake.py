"""
Wait for a TLS handshake or a PROXY header, with a timeout, before the protocol begins.
"""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IProtocol,
    ITCPTransport,
)
from twisted.internet.protocol import (
    Factory,
    Protocol,
    ServerFactory,
    connectionDone,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from upperproto.interfaces import IPending, IPendingConnections

# How many seconds a client has. A PROXY header comes with the connection, and a TLS
# handshake takes two round trips.
HANDSHAKE_TIMEOUT = 10.0


@implementer(IPending)
class PendingProtocol(Protocol):
    """
    Wait for something that a client must send first. Then a subclass gives the
    transport itself to the protocol. So the protocol has its half-close, its
    back-pressure and its speed.

    @cvar awaited: what the client must send first, for the log.
    @ivar inner: the protocol that gets the connection then.
    """

    awaited: ClassVar[str]
    logContext = False

    # None before the wait and after it.
    _timer: IDelayedCall | None = None

    def __init__(self, pending: IPendingConnections, inner: IProtocol) -> None:
        """
        @param pending: the connections that wait.
        @param inner: the protocol that gets the connection then.
        """
        self.inner = inner
        self._pending = pending

    def connectionMade(self) -> None:
        """
        Begin to wait.
        """
        clock = self._pending.clock
        self._deadline = clock.seconds() + HANDSHAKE_TIMEOUT
        self._timer = clock.callLater(HANDSHAKE_TIMEOUT, self._whenLate)
        self._pending.add(self)

    def refuse(self, why: str) -> None:
        """
        Close the connection at once, and say so in the log.

        @param why: for the log.
        """
        if self.leave():
            transport: Any = self.transport
            # Before the call for the log, which may fail.
            if ITCPTransport.providedBy(transport):
                transport.abortConnection()
            else:
                # Standard input and output have no other way to end.
                transport.loseConnection()
            self._tellRefused(why)

    def leave(self) -> bool:
        """
        Stop the wait.

        @return: whether the client has waited until now.
        """
        if self._timer is None:
            return False
        if self._timer.active():
            self._timer.cancel()
        self._timer = None
        self._pending.remove(self)
        return True

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Note that the client has closed too early.
        """
        if self.leave():
            self._tellRefused(self.explain(reason))

    def explain(self, reason: Failure) -> str:
        """
        Say why a client did not reach the protocol.

        @param reason: what ended the connection.
        """
        return f"closed before a {self.awaited}"

    def _tellRefused(self, why: str) -> None:
        transport: Any = self.transport
        waited = self._pending.clock.seconds() - self._deadline + HANDSHAKE_TIMEOUT
        self._pending.refused(transport.getPeer(), why, transport, waited)

    def _whenLate(self, allIsRead: bool = False) -> None:
        """
        Refuse the client if it is too late.

        @param allIsRead: everything that came in time has been read.
        """
        clock = self._pending.clock
        wait = self._deadline - clock.seconds()
        if wait > 0:
            # The call came early: some timers do not follow the clock.
            self._timer = clock.callLater(wait, self._whenLate)
        elif not allIsRead:
            # The reactor makes its timed calls before it reads.
            self._timer = clock.callLater(0, self._whenLate, True)
        else:
            self.refuse(f"no {self.awaited} within {HANDSHAKE_TIMEOUT:g} s")


class PendingFactory(ServerFactory):
    """
    Put a L{PendingProtocol} before each protocol that another factory builds.

    @ivar pending: the connections that wait.
    @ivar inner: the other factory.
    """

    noisy = False
    protocol: type[PendingProtocol]

    def __init__(self, pending: IPendingConnections, inner: Factory[Any]) -> None:
        """
        @param pending: the connections that wait.
        @param inner: builds the protocols that get the connections then.
        """
        self.pending = pending
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
        Build the protocol, and the L{PendingProtocol} before it.
        """
        inner = self.inner.buildProtocol(addr)
        return None if inner is None else self.protocol(self.pending, inner)

    def logPrefix(self) -> str:
        """
        Name the inner factory in the log.
        """
        prefix: str = self.inner.logPrefix()
        return prefix
