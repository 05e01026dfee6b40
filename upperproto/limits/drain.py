"""
The drain: how a service ends its conversations in good order, within a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from upperproto.reactor import transports as eager

if TYPE_CHECKING:
    from upperproto.factory import UpperFactory
    from upperproto.protocol import UpperProtocol

# For how many seconds a client must have been silent to count as quiet, and how long
# the closing of the last ones may take.
QUIET = 0.1
CLOSING = 0.8


class Drain:
    """
    End all conversations of a service, each as soon as its client is quiet.

    A client is quiet when it has said nothing for L{QUIET} seconds and has been
    sent all its answers. When the time is up, what has been read from busy ones is
    answered; L{CLOSING} seconds later the rest is aborted.

    @ivar drained: fires when the last connection has closed.
    """

    _log = Logger()

    def __init__(self, factory: UpperFactory, seconds: float) -> None:
        """
        @param factory: the service, with at least one open connection.
        @param seconds: how long busy clients may go on.
        """
        self.drained = Deferred[None]()
        self._factory = factory
        self._clock = factory.getClock()
        self._deadline = self._clock.seconds() + seconds
        # How much each client has said, and when that was first seen: after a
        # check that comes late, because the service is busy, the next is near.
        self._heard: dict[UpperProtocol, tuple[int, float]] = {}
        self._reports = LoopingCall(self._report)
        self._finishes = LoopingCall(self._lookSoon)
        self._reports.clock = self._finishes.clock = self._clock

    def start(self) -> None:
        """
        End those that are quiet, now and from time to time.
        """
        self._reports.start(1)
        self._finishes.start(QUIET)

    def stop(self) -> None:
        """
        The last connection has closed.
        """
        self._reports.stop()
        self._finishes.stop()
        if self._look.active():
            self._look.cancel()
        self.drained.callback(None)

    def _lookSoon(self) -> None:
        """
        Look who is quiet in the next turn: the reactor makes its calls before it
        reads, so what has come in a long turn is not known yet.
        """
        self._look = self._clock.callLater(0, self._finishQuiet)

    def _finishQuiet(self) -> None:
        now = self._clock.seconds()
        late = now - self._deadline
        if late >= CLOSING:
            self._factory.abort("the drain time is up")
        for protocol in list(self._factory.connections):
            said, since = self._heard.get(protocol, (-1, now))
            if said != protocol.bytesIn:
                since = now
            self._heard[protocol] = (protocol.bytesIn, since)
            if protocol.ending:
                continue
            quiet = now - since >= QUIET and not eager.unsent(protocol.transport)
            if quiet or late >= 0:
                protocol.finish("the service is shutting down", midway=not quiet)

    def _report(self) -> None:
        left = self._factory.openConnections()
        self._log.info(
            "Draining: {connections} still open, {unsent} bytes unsent",
            connections=len(left),
            unsent=sum(eager.unsent(each.transport) for each in left),
        )
