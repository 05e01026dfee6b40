"""
L{UpperProtocol}: the rules of the upper-case protocol on a transport.
"""

from __future__ import annotations

from upperproto.rules import PART_LENGTH, Conversation
from upperproto.rules import State as Rule
from upperproto.servedconnection import ServedConnection, State, endingOnFault


class UpperProtocol(ServedConnection):
    """
    Answer each line with its upper case. Everything that was read is answered.

    @ivar lastReceived: when the client last sent something, in seconds of the
        factory's clock; kept only if the factory has a clock.
    """

    MAX_LENGTH = PART_LENGTH

    lastReceived = 0.0

    @property
    def invalidLines(self) -> int:
        """
        How many lines were answered with an error, because they are not UTF-8.
        """
        return self._conversation.invalidLines

    def connectionMade(self) -> None:
        """
        Begin, if the service has a place.
        """
        self._conversation = Conversation(self.factory.errors, self.MAX_LENGTH)
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        """
        Answer the whole lines of a chunk. The rest waits for its line end, for
        L{MAX_LENGTH}, or until the client is quiet.
        """
        self.receivedBytes += len(data)
        clock = self.factory.clock
        if clock is not None:
            self.lastReceived = self.lastActivity = clock.seconds()
        # Until Python 3.12, super() takes as long as a call of three methods.
        ServedConnection.dataReceived(self, data)
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
        self.answer(block, self._conversation.lines(block))

    def lineLengthExceeded(self, line: bytes) -> None:
        """
        Answer a long line in parts.
        """
        answer, rest = self._conversation.longLine(line)
        if answer:
            self.answer(line.removesuffix(rest), answer)
        self.keepUnfinished(rest)
        if self._conversation.state is Rule.DISCARDING:
            self.setRawMode()

    def rawDataReceived(self, data: bytes) -> None:
        """
        Throw away bytes that get no answer.
        """
        rest = self._conversation.discard(data)
        if rest is not None:
            # Not setLineMode(rest): that would count the bytes a second time.
            self.setLineMode()
            self.keepUnfinished(rest)

    def lastAnswer(self, text: bytes, error: str, discardPartial: bool) -> bytes:
        """
        Answer the rest of a line, and tell the client an error if there is one.
        """
        return self._conversation.end(text, error, discardPartial)

    @endingOnFault
    def _whenQuiet(self, allIsRead: bool = False) -> None:
        """
        Answer the complete characters of a line that has waited long enough.

        @param allIsRead: everything that came in this time was read.
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
            # The client is not quiet: we do not read. The next chunk starts the timer.
            pass
        elif not allIsRead:
            # The reactor makes its timed calls before it reads.
            self._timer = clock.callLater(0, self._whenQuiet, True)
        else:
            text = self.clearLineBuffer()
            answer, rest = self._conversation.quiet(text)
            if answer:
                self.answer(text.removesuffix(rest), answer)
                self.lastActivity = clock.seconds()
            self.setLineMode()
            self.keepUnfinished(rest)
