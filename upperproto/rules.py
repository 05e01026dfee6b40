"""
One conversation by the rules of C{docs/protocol.rst}, from the server's side: text
in, answers out. Here is no transport, no clock and no Twisted.

Whoever uses a L{Conversation} finds the whole lines of a stream, keeps the text
that has no line end yet, and says when a client is quiet and when it has ended.
"""

from __future__ import annotations

import re
from enum import Enum

from upperproto.uppercase import splitComplete, upper

# When more bytes than this wait for their line end, they are answered without it
# (rule 3). It also decides what is the answer to a line that is not UTF-8 (rule 6).
PART_LENGTH = 16384

# What an instance may be called: the name is a word of a notice, between the "=" of its
# key and the next space.
_NAME = re.compile(r"[!-<>-~]{1,255}")


def checkName(name: str) -> None:
    """
    Check what an instance of the service is called.

    @param name: it.
    @raise ValueError: if a notice cannot have it; the message says what it can have.
    """
    if not _NAME.fullmatch(name):
        raise ValueError("1 to 255 visible ASCII characters without '='")


def serverNotice(name: str, peer: str = "", tls: str = "") -> bytes:
    """
    Say who serves, and what it sees of whom it serves.

    @param name: of the instance, as L{checkName} has it.
    @param peer: where the client is, in one word; nothing if that is not known.
    @param tls: the version of TLS; nothing without.
    @return: the notice, a whole line.
    """
    known = {"name": name, "peer": peer, "tls": tls}
    words = [f"{key}={value}" for key, value in known.items() if value]
    return f"server: {' '.join(words)}\n".encode("ascii", "backslashreplace")


class State(Enum):
    """
    What becomes of the text that comes next.
    """

    ANSWERING = "it is answered"
    DISCARDING = "it is the rest of a line that an error has answered"
    ENDED = "the last word has been said"


class Conversation:
    """
    Answer one client.

    @ivar state: what becomes of the text that comes next.
    @ivar invalidLines: how many lines were answered with an error.
    """

    # Each connection has one: with a dictionary, it would take three times the memory.
    __slots__ = ("_answered", "_errors", "_partLength", "invalidLines", "state")

    def __init__(self, errors: str = "strict", partLength: int = PART_LENGTH) -> None:
        """
        @param errors: what becomes of invalid UTF-8: C{strict}, C{replace} or
            C{surrogateescape}, as L{upper} has them.
        @param partLength: how many bytes of an unfinished line wait for more.
        """
        self.state = State.ANSWERING
        self.invalidLines = 0
        # How many bytes of the unfinished line have been answered.
        self._answered = 0
        self._errors = errors
        self._partLength = partLength

    def lines(self, block: bytes) -> bytes:
        """
        Answer whole lines.

        @param block: one or more of them, each with its line end.
        """
        try:
            answer = upper(block, self._errors)
        except UnicodeDecodeError:
            lines = block.removesuffix(b"\n").split(b"\n")
            return b"".join([self._text(line + b"\n") for line in lines])
        self._answered = 0
        return answer

    def longLine(self, text: bytes) -> tuple[bytes, bytes]:
        """
        Answer the first part of a long line.

        @param text: what has come of it and has not been answered.
        @return: the answer, and the text that has to wait for more.
        """
        part, incomplete = splitComplete(text)
        # An error within the first 16 KiB is the only answer to its line. So the
        # first part is answered only when all of these are known to be valid: the
        # answer must not depend on how the line was cut into chunks.
        if len(part) <= self._partLength:
            return b"", text
        answer, valid = self._part(part)
        if valid:
            return answer, incomplete
        self.state = State.DISCARDING
        return answer, b""

    def discard(self, data: bytes) -> bytes | None:
        """
        Throw away the rest of a line that an error has answered, and all that
        follows the last word.

        @param data: a chunk.
        @return: what follows the line's end; L{None} while it has not ended.
        """
        if self.state is State.DISCARDING:
            _, end, rest = data.partition(b"\n")
            if end:
                self.state = State.ANSWERING
                return rest
        return None

    def quiet(self, text: bytes) -> tuple[bytes, bytes]:
        """
        Answer unfinished text because its client is quiet, as far as its characters
        are complete. If an error has answered the line already, it ends here.

        @param text: what has come of the line and has not been answered.
        @return: the answer, and the text that has to wait for more.
        """
        self.state = State.ANSWERING
        part, incomplete = splitComplete(text)
        return (self._part(part)[0] if part else b""), incomplete

    def end(self, text: bytes, error: str = "", discardPartial: bool = False) -> bytes:
        """
        Say the last word.

        @param text: what has come of an unfinished line and has not been answered.
        @param error: what the client is told at last; nothing by default.
        @param discardPartial: do not answer C{text}, because the client has not come
            to an end and would take its answer for that of a whole line.
        """
        midLine = self._answered > 0
        answer = b""
        if text and not discardPartial:
            answer = self._text(text)
            midLine = not answer.endswith(b"\n")
        if error:
            if midLine:
                answer += b"\n"
            answer += b"error: %s\n" % error.encode("ascii")
        self.state = State.ENDED
        return answer

    def _text(self, text: bytes) -> bytes:
        """
        Answer a line, or what is left of it.
        """
        answer, _ = self._part(text)
        self._answered = 0
        return answer

    def _part(self, text: bytes) -> tuple[bytes, bool]:
        """
        Answer the next characters of a line.

        @return: the answer, and whether they were valid. If not, nothing more
            answers this line.
        """
        try:
            answer = upper(text, self._errors)
        except UnicodeDecodeError as error:
            return self._explain(text, error.start), False
        self._answered += len(text)
        return answer, True

    def _explain(self, text: bytes, start: int) -> bytes:
        """
        Answer a line that is not UTF-8 with an error: on a line of its own, if the
        text before it has been answered, or is answered here.

        @param start: where C{text} stops to be UTF-8.
        """
        before = b""
        if self._answered or start > self._partLength:
            before = upper(text[:start]) + b"\n"
        position = self._answered + start + 1
        self._answered = 0
        self.invalidLines += 1
        return before + b"error: invalid UTF-8 at byte %d\n" % position
