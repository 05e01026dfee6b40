"""
L{ServedConnection}: how a connection begins and ends, so that no answer is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import wraps
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHalfCloseableProtocol,
    IPushProducer,
    ITCPTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from upperproto.interfaces import (
    IPeerAware,
    ISendQueue,
    IServedConnection,
    IUpperService,
)
from upperproto.lineblocks import BlockReceiver

# How long, in seconds, a client may take to end its side once ours has ended.
# Until then what it sends is read and thrown away: if it were left unread, the
# kernel would answer our close with a reset, which destroys what is on its way
# to the client (RFC 1122, section 4.2.2.13).
LINGER_TIMEOUT = 2.0


class State(Enum):
    """
    Which sides of the connection have ended.
    """

    OPEN = "none"
    LINGERING = "ours"
    CLOSING = "both"


def endingOnFault(method: Callable[..., None]) -> Callable[..., None]:
    """
    When a method raises, end its connection, and no other, with one traceback in the
    log. The reactor does so for the methods that it calls. This is for the methods
    that timers and the service call.
    """

    @wraps(method)
    def guarded(self: ServedConnection, *args: Any, **keywords: Any) -> None:
        try:
            method(self, *args, **keywords)
        except Exception:
            self._log.failure("{mark}A fault ends the connection", mark=self.mark)
            self.abort("a fault of the server")

    return guarded


@implementer(IHalfCloseableProtocol, IPushProducer, IPeerAware, IServedConnection)
class ServedConnection(BlockReceiver):
    """
    A connection of a service. It has a place there, passes the transport's
    back-pressure on (while the client does not take its answers, nothing more is read
    from it), and ends each side in good order.

    A subclass receives lines, answers by L{answer}, and has the last word in
    L{lastAnswer}.

    @ivar factory: the service that this connection belongs to.
    @ivar state: which sides of the connection have ended.
    @ivar closingReason: why our side has ended, for the log; empty while it has not.
    @ivar toldError: the error that the client was told at last; empty without one.
    @ivar identity: what was verified of the client on its way in, for the log:
        the subject of its certificate; empty by default.
    @ivar tlsVersion: the version of TLS, such as C{1.3}; empty without TLS.
    @ivar connectionID: what the access log calls it; empty without one.
    @ivar mark: the beginning of each line of the log about it.
    @ivar receivedBytes: how many bytes the client has sent.
    @ivar answeredBytes: how many bytes it has been answered.
    @ivar undeliveredBytes: how many of these were not delivered, once it is lost.
    @ivar lastActivity: when something was last known to move, either way, in seconds of
        the factory's clock; kept only if the factory has a clock.
    """

    _log = Logger()

    factory: IUpperService
    # An ITCPTransport that is a consumer and a push producer, as those of TCP, TLS and
    # UNIX sockets are; or what stands in for one.
    transport: Any

    delimiter = b"\n"
    logContext = False

    state = State.OPEN
    closingReason = ""
    toldError = identity = tlsVersion = ""
    connectionID = mark = ""
    receivedBytes = answeredBytes = undeliveredBytes = 0
    lastActivity = 0.0
    _peer: IAddress | None = None

    # Waits for the client to end its side, or for what a subclass waits for.
    _timer: IDelayedCall | None = None

    @property
    def peer(self) -> IAddress:
        """
        Where the client is: the transport's peer, unless a proxy has told otherwise.
        """
        # Not kept: it would take a tenth of the memory of a connection.
        return self._peer or self.transport.getPeer()

    @peer.setter
    def peer(self, address: IAddress) -> None:
        self._peer = address

    @property
    def ending(self) -> bool:
        """
        Whether our side has ended.
        """
        return self.state is not State.OPEN

    @property
    def invalidLines(self) -> int:
        """
        How many of the client's lines were answered with an error. To be overridden
        where there are such.
        """
        return 0

    def connectionMade(self) -> None:
        """
        Begin, if the service has a place.
        """
        self.transport.registerProducer(self, True)
        self.factory.connectionOpened(self)

    def readConnectionLost(self) -> None:
        """
        Answer what is left when the client's side of the stream has ended.
        """
        if self.state is State.OPEN:
            self._endOurSide("closed by the client")
        self.state = State.CLOSING
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """
        Our side has ended, as L{finish} asked.
        """

    @endingOnFault
    def finish(
        self, reason: str, error: str = "", discardPartial: bool = False
    ) -> None:
        """
        End the conversation: answer what waits, say what is wrong if something
        is, end our side, and wait for the client to end its own.

        @param reason: what ends it, for the log.
        @param error: what the client is told; nothing by default.
        @param discardPartial: an unfinished line is not answered, because the client
            would take its answer for that of a whole one.
        """
        if self.state is not State.OPEN:
            return
        self._endOurSide(reason, error, discardPartial)
        halfCloses: bool = ITCPTransport.providedBy(self.transport)
        if halfCloses:
            self.state = State.LINGERING
            self.transport.loseWriteConnection()
            self.transport.resumeProducing()
            clock = self.factory.getClock()
            self._timer = clock.callLater(LINGER_TIMEOUT, self._whenLingered)
        else:
            self.state = State.CLOSING
            self.transport.loseConnection()

    def abort(self, reason: str) -> None:
        """
        End the connection at once; what was not delivered is lost.

        @param reason: what ends it, for the log, unless L{finish} has said.
        """
        self.closingReason = self.closingReason or reason
        self.state = State.CLOSING
        self.undeliveredBytes = self.unacknowledgedBytes()
        # What was read with a PROXY header may still come.
        self.setRawMode()
        if ITCPTransport.providedBy(self.transport):
            self.transport.abortConnection()
        else:
            # Standard input and output have no other way to end.
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Give the place back.
        """
        self.state = State.CLOSING
        self.cancelTimer()
        self.undeliveredBytes = max(self.undeliveredBytes, self.unsentBytes())
        done = isinstance(reason.value, ConnectionDone)
        why = "closed by the client" if done else "cut off"
        self.factory.connectionClosed(self, self.closingReason or why)

    def unsentBytes(self) -> int:
        """
        How many bytes of answers the kernel has not taken yet, if the transport tells.
        """
        queue = self.transport
        # Most transports provide it: to adapt them takes four times as long as to ask.
        if not ISendQueue.providedBy(queue):
            queue = ISendQueue(queue, None)
        return 0 if queue is None else queue.unsentBytes()

    def unacknowledgedBytes(self) -> int:
        """
        How many bytes the client's system has not acknowledged yet, likewise.
        """
        queue = ISendQueue(self.transport, None)
        return 0 if queue is None else queue.unacknowledgedBytes()

    def answer(self, text: bytes, answer: bytes) -> None:
        """
        Send an answer, and note both sides of it.

        @param text: what is answered, for the log; nothing, for a notice.
        @param answer: the answer; it may be empty.
        """
        if answer:
            self.answeredBytes += len(answer)
            self.transport.write(answer)
        connectionLog = self.factory.connectionLog
        if connectionLog is not None and connectionLog.lines:
            if text:
                connectionLog.received(text, self)
            if answer:
                connectionLog.answered(answer, self)

    def lastAnswer(self, text: bytes, error: str, discardPartial: bool) -> bytes:
        """
        Give the last word to the client. To be overridden.

        @param text: what has come of an unfinished line.
        @param error: as L{finish} has it.
        @param discardPartial: as L{finish} has it.
        """
        return b""

    def cancelTimer(self) -> None:
        """
        Wait no more for what a timer has been set for.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _endOurSide(
        self, reason: str, error: str = "", discardPartial: bool = False
    ) -> None:
        """
        Answer what waits, and say the last word.
        """
        # A transport that still has a producer never closes.
        self.transport.unregisterProducer()
        if self.paused:
            # What came after the pause (TLS hands on all that it has decrypted).
            self.paused = False
            super().dataReceived(b"")
        last = self.clearLineBuffer()
        self.answer(last, self.lastAnswer(last, error, discardPartial))
        self.closingReason, self.toldError = reason, error
        self.setRawMode()
        self.cancelTimer()

    @endingOnFault
    def _whenLingered(self) -> None:
        """
        Close, because the client has not closed in time.
        """
        self._timer = None
        if self.unsentBytes():
            self.abort(self.closingReason)
        else:
            self.state = State.CLOSING
            self.transport.loseConnection()
