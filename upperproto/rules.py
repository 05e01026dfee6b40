"""
The rules of C{docs/protocol.rst} for one connection, on the server: text in, answers
out. This module has no transport, no clock and no Twisted.

The caller of L{Conversation} has three tasks. It finds the whole lines of a stream. It
keeps the text that has no line end yet. And it says when a client is quiet, and when it
has ended its side.
"""

from __future__ import annotations

import re
from enum import Enum

from upperproto.uppercase import splitComplete, upper

# If more bytes than this wait for their line end, they are answered without it
# (rule 3). The answer to a line that is not UTF-8 depends on it, too (rule 6).
PART_LENGTH = 16384

# A line that is not UTF-8, and its text before the first error. It was decoded with the
# error handler "surrogateescape".
_INVALID_LINE = re.compile(
    "^([^\n\udc80-\udcff]*)[\udc80-\udcff][^\n]*\n", re.MULTILINE
)

# The name of an instance. In a notice it stands between "=" and the next space.
_NAME = re.compile(r"[!-<>-~]{1,255}")


def checkName(name: str) -> None:
    """
    Check the name of an instance of the service.

    @param name: the name.
    @raise ValueError: if a notice cannot contain it; the message says what is allowed.
    """
    if not _NAME.fullmatch(name):
        raise ValueError("1 to 255 visible ASCII characters without '='")


def serverNotice(name: str, peer: str = "", tls: str = "") -> bytes:
    """
    Write the notice for a client: the name of the server, and how it sees the client.

    @param name: the name of the instance; see L{checkName}.
    @param peer: the address of the client, in one word; empty if it is not known.
    @param tls: the version of TLS; empty without TLS.
    @return: the notice, a whole line.
    """
    known = {"name": name, "peer": peer, "tls": tls}
    words = [f"{key}={value}" for key, value in known.items() if value]
    return f"server: {' '.join(words)}\n".encode("ascii", "backslashreplace")


def _invalidAt(start: int) -> str:
    """
    Write the answer to a line that is not UTF-8.

    @param start: the number of bytes before its first error.
    """
    return f"error: invalid UTF-8 at byte {start + 1}\n"


# The answers to such lines whose first error comes soon.
_ERRORS = [_invalidAt(start) for start in range(8)]


class State(Enum):
    """
    What happens to the text that comes next.
    """

    ANSWERING = "it is answered"
    DISCARDING = "it is the rest of a line that an error has answered"
    ENDED = "the last answer has been given"


class Conversation:
    """
    Answer one client.

    @ivar state: what happens to the text that comes next.
    @ivar invalidLines: how many lines were answered with an error.
    """

    # Each connection has one. With a dictionary, it would need three times the memory.
    __slots__ = ("_answered", "_errors", "_partLength", "invalidLines", "state")

    def __init__(self, errors: str = "strict", partLength: int = PART_LENGTH) -> None:
        """
        @param errors: what to do with invalid UTF-8: see L{upper}.
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

        @param block: one or more lines, each with its line end.
        """
        try:
            answer = upper(block, self._errors)
        except UnicodeDecodeError:
            # A part of the first line may have been answered.
            first, end, others = block.partition(b"\n")
            return self._text(first + end) + self._linesWithErrors(others)
        self._answered = 0
        return answer

    def longLine(self, text: bytes) -> tuple[bytes, bytes]:
        """
        Answer the first part of a long line.

        @param text: the text of the line that was not answered yet.
        @return: the answer, and the text that has to wait for more.
        """
        part, incomplete = splitComplete(text)
        # The answer must not depend on how the line was cut in chunks. If there is an
        # error within the first 16 KiB, it is the only answer to its line. So the first
        # part is answered only when more than 16 KiB are complete.
        if len(part) <= self._partLength:
            return b"", text
        answer, valid = self._part(part)
        if valid:
            return answer, incomplete
        self.state = State.DISCARDING
        return answer, b""

    def discard(self, data: bytes) -> bytes | None:
        """
        Throw away the rest of a line that was answered with an error, and everything
        that comes after the last answer.

        @param data: a chunk.
        @return: the bytes after the end of the line; L{None} before its end.
        """
        if self.state is State.DISCARDING:
            _, end, rest = data.partition(b"\n")
            if end:
                self.state = State.ANSWERING
                return rest
        return None

    def quiet(self, text: bytes) -> tuple[bytes, bytes]:
        """
        Answer the complete characters of an unfinished line, because its client is
        quiet. A line that was answered with an error ends here.

        @param text: the text of the line that was not answered yet.
        @return: the answer, and the text that has to wait for more.
        """
        self.state = State.ANSWERING
        part, incomplete = splitComplete(text)
        return (self._part(part)[0] if part else b""), incomplete

    def end(self, text: bytes, error: str = "", discardPartial: bool = False) -> bytes:
        """
        Give the last answer.

        @param text: the text of an unfinished line that was not answered yet.
        @param error: an error to tell the client at last; none by default.
        @param discardPartial: do not answer C{text}. The client is still sending, and
            would take the answer for that of a whole line.
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
        Answer a line, or the rest of one.
        """
        try:
            answer = upper(text, self._errors)
        except UnicodeDecodeError as error:
            return self._explain(text, error.start)
        self._answered = 0
        return answer

    def _linesWithErrors(self, block: bytes) -> bytes:
        """
        Answer whole lines, of which some are not UTF-8. They are answered together,
        because one after the other takes five times as long.
        """
        # In turn: valid lines, and the text before the error of a line that is not.
        parts = _INVALID_LINE.split(block.decode("utf-8", "surrogateescape"))
        # The character between them is in no decoded text.
        parts[::2] = "\ud800".join(parts[::2]).upper().split("\ud800")
        parts[1::2] = [
            _ERRORS[len(before)]
            if len(before) < len(_ERRORS) and before.isascii()
            else self._error(before)
            for before in parts[1::2]
        ]
        self.invalidLines += len(parts) // 2
        return "".join(parts).encode()

    def _error(self, before: str) -> str:
        """
        Answer a line that is not UTF-8.

        @param before: its text before the first error.
        """
        start = len(before.encode())
        error = _invalidAt(start)
        return error if start <= self._partLength else f"{before.upper()}\n{error}"

    def _part(self, text: bytes) -> tuple[bytes, bool]:
        """
        Answer the next characters of a line.

        @return: the answer, and whether the characters were valid. If not, this line
            gets no other answer.
        """
        try:
            answer = upper(text, self._errors)
        except UnicodeDecodeError as error:
            return self._explain(text, error.start), False
        self._answered += len(text)
        return answer, True

    def _explain(self, text: bytes, start: int) -> bytes:
        """
        Answer a line that is not UTF-8 with an error. If text before it has an answer,
        the error begins on a new line.

        @param start: the index of the first byte that is not valid.
        """
        before = b""
        if self._answered or start > self._partLength:
            before = upper(text[:start]) + b"\n"
        position = self._answered + start
        self._answered = 0
        self.invalidLines += 1
        return before + _invalidAt(position).encode()
