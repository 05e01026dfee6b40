"""
L{UpperProtocol}: the rules of the upper-case protocol on a transport.
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

from upperproto import rules
from upperproto.interfaces import (
    INoLogContext,
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


def _endingOnFault(method: Callable[..., None]) -> Callable[..., None]:
    """
    Let a fault of ours end the connection that meets it, and no other, with one
    traceback in the log. The reactor does so for what it calls on a protocol;
    this is for what timers and the service call.
    """

    @wraps(method)
    def guarded(self: UpperProtocol, *args: Any, **keywords: Any) -> None:
        try:
            method(self, *args, **keywords)
        except Exception:
            self._log.failure("A fault ends the connection")
            self.abort("a fault of the server")

    return guarded


@implementer(
    IHalfCloseableProtocol, IPushProducer, INoLogContext, IPeerAware, IServedConnection
)
class UpperProtocol(BlockReceiver):
    """
    Answer each line with its upper case.

    Everything that has been read is answered, and the transport's back-pressure
    is passed on: while the client does not take its answers, nothing more is
    read from it.

    @ivar factory: the service that this conversation belongs to.
    @ivar state: which sides of the connection have ended.
    @ivar closingReason: why our side has ended, for the log; empty while it has not.
    @ivar peer: where the client is: the transport's peer, unless a proxy has told
        otherwise.
    @ivar identity: what was verified of the client on its way in, for the log:
        the subject of its certificate; empty by default.
    @ivar receivedBytes: how many bytes the client has sent.
    @ivar answeredBytes: how many bytes it has been answered.
    @ivar undeliveredBytes: how many of these could not be delivered; known when the
        connection is lost.
    @ivar lastReceived: when the client last sent something, in seconds of the
        factory's clock; kept only if the factory has a clock.
    @ivar lastActivity: when something was last known to move, either way; likewise.
    """

    _log = Logger()

    factory: IUpperService
    # An ITCPTransport that is a consumer and a push producer, as those of TCP, TLS and
    # UNIX sockets are; or what stands in for one.
    transport: Any

    delimiter = b"\n"
    MAX_LENGTH = rules.PART_LENGTH

    state = State.OPEN
    closingReason = ""
    peer: IAddress | None = None
    identity = ""
    receivedBytes = 0
    answeredBytes = 0
    undeliveredBytes = 0
    lastReceived = 0.0
    lastActivity = 0.0

    # Waits for the client to go quiet or, while lingering, to end its side.
    _timer: IDelayedCall | None = None

    @property
    def ending(self) -> bool:
        """
        Whether our side has ended.
        """
        return self.state is not State.OPEN

    @property
    def invalidLines(self) -> int:
        """
        How many lines were not UTF-8, and were answered with an error.
        """
        return self.conversation.invalidLines

    def connectionMade(self) -> None:
        """
        Begin, if the service has a place.
        """
        self.conversation = rules.Conversation(self.factory.errors, self.MAX_LENGTH)
        if self.peer is None:
            self.peer = self.transport.getPeer()
        self.transport.registerProducer(self, True)
        self.factory.connectionOpened(self)

    def dataReceived(self, data: bytes) -> None:
        """
        Answer what a chunk completes; let the rest wait for its line end, for
        L{MAX_LENGTH} or for the client to go quiet.
        """
        self.receivedBytes += len(data)
        clock = self.factory.clock
        if clock is not None:
            self.lastReceived = self.lastActivity = clock.seconds()
        super().dataReceived(data)
        if self.unfinished or not self.line_mode:
            flushAfter = self.factory.flushAfter
            if (
                flushAfter is not None
                and clock is not None
                and self._timer is None
                and self.state is State.OPEN
            ):
                self._timer = clock.callLater(flushAfter, self._whenQuiet)

    def blockReceived(self, block: bytes) -> None:
        """
        Answer whole lines.
        """
        self._answer(block, self.conversation.lines(block))

    def lineLengthExceeded(self, line: bytes) -> None:
        """
        Answer a long line in parts.
        """
        answer, rest = self.conversation.longLine(line)
        if answer:
            self._answer(line.removesuffix(rest), answer)
        self.keepUnfinished(rest)
        if self.conversation.state is rules.State.DISCARDING:
            self.setRawMode()

    def rawDataReceived(self, data: bytes) -> None:
        """
        Throw away what nobody answers.
        """
        rest = self.conversation.discard(data)
        if rest is not None:
            # As setLineMode would, if dataReceived did not count the bytes.
            self.setLineMode()
            self.keepUnfinished(rest)

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

    @_endingOnFault
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
        self._cancelTimer()
        self.undeliveredBytes = max(self.undeliveredBytes, self.unsentBytes())
        done = isinstance(reason.value, ConnectionDone)
        why = "closed by the client" if done else "cut off"
        self.factory.connectionClosed(self, self.closingReason or why)

    def unsentBytes(self) -> int:
        """
        How many bytes of answers the kernel has not taken yet; 0 where the transport
        does not tell.
        """
        queue = ISendQueue(self.transport, None)
        return 0 if queue is None else queue.unsentBytes()

    def unacknowledgedBytes(self) -> int:
        """
        How many bytes the client's system has not acknowledged yet; 0 where the
        transport does not tell.
        """
        queue = ISendQueue(self.transport, None)
        return 0 if queue is None else queue.unacknowledgedBytes()

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
        self._answer(last, self.conversation.end(last, error, discardPartial))
        self.closingReason = reason
        self.setRawMode()
        self._cancelTimer()

    def _answer(self, text: bytes, answer: bytes) -> None:
        """
        Send an answer, and note both sides of it.
        """
        if answer:
            self.answeredBytes += len(answer)
            self.transport.write(answer)
        connectionLog = self.factory.connectionLog
        if connectionLog is not None and connectionLog.lines:
            if text:
                connectionLog.received(text)
            if answer:
                connectionLog.answered(answer)

    @_endingOnFault
    def _whenQuiet(self, allIsRead: bool = False) -> None:
        """
        Answer what has waited long enough, as far as its characters are
        complete.

        @param allIsRead: what had come by then has been read.
        """
        # One timer serves a whole stream: a new one for each chunk would cost
        # more than the answer.
        clock, flushAfter = self.factory.clock, self.factory.flushAfter
        assert clock is not None and flushAfter is not None
        self._timer = None
        wait = self.lastReceived + flushAfter - clock.seconds()
        if wait > 0:
            self._timer = clock.callLater(wait, self._whenQuiet)
        elif self.paused:
            # It is not quiet, we do not listen. When we do again, it is timed anew.
            pass
        elif not allIsRead:
            # The reactor makes its calls before it reads, and may have been busy.
            self._timer = clock.callLater(0, self._whenQuiet, True)
        else:
            text = self.clearLineBuffer()
            answer, rest = self.conversation.quiet(text)
            if answer:
                self._answer(text.removesuffix(rest), answer)
                self.lastActivity = clock.seconds()
            self.setLineMode()
            self.keepUnfinished(rest)

    @_endingOnFault
    def _whenLingered(self) -> None:
        """
        Close although the client has not.
        """
        self._timer = None
        if self.unsentBytes():
            self.abort(self.closingReason)
        else:
            self.state = State.CLOSING
            self.transport.loseConnection()

    def _cancelTimer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
