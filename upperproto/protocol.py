"""
One conversation: the rules of C{docs/protocol.rst}, from the server's side.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableProtocol,
    IPushProducer,
    ITCPTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.internet.tcp import Connection
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from upperproto.lineblocks import BlockReceiver
from upperproto.reactor import transports as eager
from upperproto.uppercase import splitComplete, upper

if TYPE_CHECKING:
    from upperproto.factory import UpperFactory

# How long, in seconds, a client may take to end its side once ours has ended.
# Until then what it sends is read and thrown away: were it left unread, the
# kernel would answer our close with a reset, which destroys what is on its way
# to the client (RFC 1122, section 4.2.2.13).
LINGER = 2.0

# How many bytes are read at a time. Streams of ASCII are 1.2 times as fast as with
# half of LARGE_READ. But one read must not keep all others waiting: characters that
# become two or three cost up to three times as much as others that are not ASCII,
# and lines that are not UTF-8 up to sixty times as much again. What comes next is
# taken to be like what came last, and what a new connection sends to be the worst.
LARGE_READ = 262144
GROWING_READ = 65536
SMALL_READ = 4096


def _endingOnFault(method: Callable[..., None]) -> Callable[..., None]:
    """
    Let a fault of ours end the connection that meets it, and no other, with one
    traceback in the log. The reactor does so for what it calls on a protocol;
    this is for what timers and the factory call.
    """

    @wraps(method)
    def guarded(self: UpperProtocol, *args: Any, **keywords: Any) -> None:
        try:
            method(self, *args, **keywords)
        except Exception:
            self._log.failure("A fault ends the connection")
            self.abort("a fault of the server")

    return guarded


@implementer(IHalfCloseableProtocol, IPushProducer)
class UpperProtocol(BlockReceiver):
    """
    Answer each line with its upper case.

    Everything that has been read is answered, and the transport's back-pressure
    is passed on: while the client does not take its answers, nothing more is
    read from it.

    @ivar factory: the service that this conversation belongs to.
    @ivar bytesIn: how many bytes the client has sent.
    @ivar bytesOut: how many bytes it has been answered.
    @ivar undelivered: how many of these could not be delivered; known when the
        connection is lost.
    @ivar lastHeard: when the client was last heard, in the seconds of the
        factory's clock; kept only if the factory has a clock.
    @ivar lastMoved: when something was last known to move, either way; likewise.
    @ivar unacknowledged: how many bytes the client's system had not
        acknowledged when the factory last asked.
    @ivar ending: why our side has ended; empty while it has not.
    @ivar identity: what was verified of the client on its way in, for the log:
        the subject of its certificate; empty by default.
    @ivar name: what the log calls the client; known if there is a log.
    """

    _log = Logger()

    factory: UpperFactory
    # What the endpoints hand us; wrappers and fakes do as much.
    transport: Connection

    MAX_LENGTH = 16384

    bytesIn = 0
    bytesOut = 0
    undelivered = 0
    lastHeard = 0.0
    lastMoved = 0.0
    unacknowledged = 0
    ending = ""
    identity = ""
    name = ""

    # How many bytes of an unfinished line have been answered.
    _begun = 0
    # The client's side of the stream has ended.
    _clientEnded = False
    # Waits for the client to go quiet, or, at the end, for it to close.
    _timer: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """
        Begin, if the service has a place.
        """
        self.transport.bufferSize = SMALL_READ
        self.transport.registerProducer(self, True)
        self.factory.opened(self)
        if self.factory.readSoon is not None and isinstance(self.transport, Connection):
            self.factory.readSoon(self.transport)

    def dataReceived(self, data: bytes) -> None:
        """
        Answer what a chunk completes; let the rest wait for its line end, for
        L{MAX_LENGTH} or for the client to go quiet.
        """
        self.bytesIn += len(data)
        clock = self.factory.clock
        if clock is not None:
            self.lastHeard = self.lastMoved = clock.seconds()
        large = len(data) > SMALL_READ // 2
        if large:
            self.transport.bufferSize = LARGE_READ
        answered = self.bytesOut
        super().dataReceived(data)
        if large and self.bytesOut - answered > 1.25 * len(data):
            self.transport.bufferSize = min(GROWING_READ, self.transport.bufferSize)
        if self._buffer or not self.line_mode:
            flushAfter = self.factory.flushAfter
            if not (flushAfter is None or clock is None or self._timer or self.ending):
                self._timer = clock.callLater(flushAfter, self._whenQuiet)

    def blockReceived(self, block: bytes) -> None:
        """
        Answer whole lines.
        """
        try:
            answer = upper(block, self.factory.errors)
            self._begun = 0
        except UnicodeDecodeError:
            lines = block.removesuffix(b"\n").split(b"\n")
            answer = b"".join(self._answerLine(line + b"\n") for line in lines)
            self.transport.bufferSize = SMALL_READ
        self._send(block, answer)

    def lineLengthExceeded(self, line: bytes) -> None:
        """
        Answer a long line in parts.
        """
        part, incomplete = splitComplete(line)
        # An error within the first 16 KiB is the only answer to its line. So
        # the first part is given only when all of these are known to be valid:
        # the answer must not depend on how the line was cut into chunks.
        if len(part) <= self.MAX_LENGTH:
            self._keep(line)
        elif self._answerPart(part):
            self._keep(incomplete)
        else:
            self.setRawMode()

    def rawDataReceived(self, data: bytes) -> None:
        """
        Throw away the rest of a line that an error has answered, and all that
        follows our last word.
        """
        if not self.ending:
            _, end, rest = data.partition(self.delimiter)
            if end:
                # As setLineMode would, if dataReceived did not count the bytes.
                self.setLineMode()
                self._keep(rest)

    def readConnectionLost(self) -> None:
        """
        Answer what is left when the client's side of the stream has ended.
        """
        self._clientEnded = True
        if self.ending:
            eager.close(self.transport)
        else:
            self.finish("closed by the client")

    def writeConnectionLost(self) -> None:
        """
        Our side has ended, as L{finish} asked.
        """

    @_endingOnFault
    def finish(self, why: str, error: str = "", midway: bool = False) -> None:
        """
        End the conversation: answer what waits, say what is wrong if something
        is, end our side, and wait for the client to end its own.

        @param why: what ends it, for the log.
        @param error: what the client is told; nothing by default.
        @param midway: the client has not come to an end; an unfinished line is
            not answered, lest its answer be taken for a whole one.
        """
        # A transport that still has a producer never closes.
        self.transport.unregisterProducer()
        if self.paused:
            # What came after the pause (TLS hands on all that it has decrypted).
            self.paused = False
            super().dataReceived(b"")
        last = self.clearLineBuffer()
        answer = self._answerLine(last) if last and not midway else b""
        if error:
            if self._begun or (answer and not answer.endswith(b"\n")):
                answer += b"\n"
            answer += b"error: %s\n" % error.encode("ascii")
        if answer:
            self._send(last, answer)
        self.factory.outbox.flush()
        self.ending = why
        self.setRawMode()
        self._cancelTimer()
        if self._clientEnded or not ITCPTransport.providedBy(self.transport):
            eager.close(self.transport)
        else:
            self.transport.loseWriteConnection()
            self.transport.resumeProducing()
            clock = self.factory.getClock()
            self._timer = clock.callLater(LINGER, self._whenLingered)

    def abort(self, why: str) -> None:
        """
        End the connection at once; what was not delivered is lost.

        @param why: what ends it, for the log, unless L{finish} has said.
        """
        self.ending = self.ending or why
        self.factory.outbox.flush()
        self.undelivered = eager.unacknowledged(self.transport)
        # A door may still hand on what has come with the PROXY header.
        self.setRawMode()
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Give the place back.
        """
        self._cancelTimer()
        unsent = self.factory.outbox.unsent(self.transport)
        unsent += eager.unsent(self.transport)
        self.undelivered = max(self.undelivered, unsent)
        done = isinstance(reason.value, ConnectionDone)
        why = "closed by the client" if done else "cut off"
        self.factory.closed(self, self.ending or why)

    def _answerLine(self, line: bytes) -> bytes:
        """
        Answer one line, or what is left of it.
        """
        try:
            return upper(line, self.factory.errors)
        except UnicodeDecodeError as error:
            return self._explain(line, error)
        finally:
            self._begun = 0

    def _answerPart(self, part: bytes) -> bool:
        """
        Answer the next characters of an unfinished line.

        @return: whether they were valid. If not, the answer to this line is
            complete.
        """
        try:
            answer = upper(part, self.factory.errors)
            self._begun += len(part)
            valid = True
        except UnicodeDecodeError as error:
            answer = self._explain(part, error)
            self._begun = 0
            valid = False
        self._send(part, answer)
        return valid

    def _explain(self, text: bytes, error: UnicodeDecodeError) -> bytes:
        """
        The answer to a line that is not UTF-8: an error, on a line of its own
        if what is before it has been answered or would have been.
        """
        before = b""
        if self._begun or error.start > self.MAX_LENGTH:
            before = upper(text[: error.start]) + b"\n"
        position = self._begun + error.start + 1
        return before + b"error: invalid UTF-8 at byte %d\n" % position

    def _send(self, heard: bytes, answer: bytes) -> None:
        """
        Send an answer, and note both sides of it.
        """
        self.bytesOut += len(answer)
        self.factory.outbox.write(self.transport, answer)
        transcript = self.factory.transcript
        if transcript is not None and transcript.lines:
            if heard:
                transcript.received(heard)
            transcript.answered(answer)

    @_endingOnFault
    def _whenQuiet(self, sure: bool = False) -> None:
        """
        Answer what has waited long enough, as far as its characters are
        complete.

        @param sure: all has been read that had come by then.
        """
        # One timer serves a whole stream: a new one for each chunk would cost
        # more than the answer.
        clock, flushAfter = self.factory.clock, self.factory.flushAfter
        assert clock is not None and flushAfter is not None
        self._timer = None
        wait = self.lastHeard + flushAfter - clock.seconds()
        if wait > 0:
            self._timer = clock.callLater(wait, self._whenQuiet)
        elif self.paused:
            # It is not quiet, we do not listen. When we do again, it is timed anew.
            pass
        elif not sure:
            # The reactor makes its calls before it reads, and may have been busy.
            self._timer = clock.callLater(0, self._whenQuiet, True)
        elif not self.line_mode:
            # The rest of a broken line: quiet ends it as a line end would.
            self.setLineMode()
        else:
            part, incomplete = splitComplete(self.clearLineBuffer())
            if part:
                self._answerPart(part)
                self.lastMoved = clock.seconds()
            self._keep(incomplete)

    def _whenLingered(self) -> None:
        """
        Close although the client has not.
        """
        self._timer = None
        if eager.unsent(self.transport):
            self.abort(self.ending)
        else:
            self.transport.loseConnection()

    def _cancelTimer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
