"""
What a client may take for the answer to a text, and what is none.
"""

from __future__ import annotations

import re
from unicodedata import category, ucd_3_2_0

# How a notice begins: a line of which the server has more to say than an answer.
# No answer can begin so, because none holds a lower-case ASCII letter.
NOTICE = re.compile(rb"([a-z][a-z0-9-]{0,30}):(?: |$)")

# What may become a notice, when more of its line has come.
MAY_BE_NOTICE = re.compile(rb"[a-z][a-z0-9-]{0,30}:?\Z")


def mayDiffer(expected: str, answered: str) -> bool:
    """
    Tell whether a server with another version of Unicode may give another answer
    than this Python expects.

    @param expected: one character of the upper case that this Python has.
    @param answered: what came in its place.
    """
    # A newer server knows characters, and upper cases, that this Python does not.
    if "Cn" in (category(expected), category(answered)):
        return True
    # An older one gives back what it does not know. All of them know Unicode 3.2.
    return answered.upper() == expected and "Cn" in (
        ucd_3_2_0.category(answered),
        ucd_3_2_0.category(expected),
    )


def firstDifference(text: str, answer: str) -> int | None:
    """
    Check an answer.

    @param text: what was asked.
    @param answer: what came.
    @return: the index of the first character of the answer that is wrong or
        missing; L{None} if it is right.
    """
    expected = text.upper()
    if answer == expected:
        return None
    for index, (ours, theirs) in enumerate(zip(expected, answer, strict=False)):
        if ours != theirs and not mayDiffer(ours, theirs):
            return index
    # No version of Unicode makes a text longer or shorter than another one does.
    return None if len(answer) == len(expected) else min(len(answer), len(expected))


class AnswerScanner:
    """
    Take notices out of a stream of answers, wherever it is cut.

    @ivar errors: how many error lines have come; they stay in the stream.
    @ivar error: the last of them, as far as it has come.
    @ivar notices: the other notices, as far as they are whole lines, up to
        L{MOST_NOTICES}.
    @ivar isUpper: whether all else could be the answer to something: it holds no
        lower-case ASCII letter.
    """

    # One who sends more has nothing to say.
    MOST_NOTICES = 100

    def __init__(self) -> None:
        """
        Begin at the beginning of a line.
        """
        self.errors = 0
        self.error = b""
        self.notices: list[bytes] = []
        self.isUpper = True
        # What the line that has begun is; and its beginning, while that is open.
        self._kind = ""
        self._begun = b""

    def feed(self, data: bytes) -> bytes:
        """
        Take a chunk.

        @return: what of it, and of what was kept, is no notice.
        """
        if self._kind in ("", "answer") and not self._begun:
            # Without a lower-case letter, no notice can begin. This costs a
            # thousandth of what the service does.
            if data == data.upper():
                if data:
                    self._kind = "" if data.endswith(b"\n") else "answer"
                return data
        return b"".join(self._take(part) for part in _lines(data))

    def end(self) -> bytes:
        """
        Take the end of the stream.

        @return: what was kept, and has become no notice.
        """
        kept, self._begun = (b"" if self._kind == "notice" else self._begun), b""
        self.isUpper = self.isUpper and not kept
        return kept

    def _take(self, part: bytes) -> bytes:
        """
        Take a line, or a part of one.
        """
        if not self._kind:
            part, self._begun = self._begun + part, b""
            found = NOTICE.match(part.removesuffix(b"\n"))
            if not part.endswith(b"\n") and MAY_BE_NOTICE.match(part):
                self._begun = part
                return b""
            if found is None:
                self._kind = "answer"
            elif found[1] == b"error":
                self._kind = "error"
                self.errors += 1
                self.error = b""
            else:
                self._kind = "notice"
        kind = self._kind
        if part.endswith(b"\n"):
            self._kind = ""
        if kind == "notice":
            self._begun = (self._begun + part)[:1024]
            if not self._kind:
                if len(self.notices) < self.MOST_NOTICES:
                    self.notices.append(self._begun.removesuffix(b"\n"))
                self._begun = b""
            return b""
        if kind == "error":
            self.error = (self.error + part.removesuffix(b"\n"))[:1024]
        if kind == "answer" and part != part.upper():
            self.isUpper = False
        return part


def _lines(data: bytes) -> list[bytes]:
    """
    Cut at line ends, and keep them.
    """
    *lines, rest = data.split(b"\n")
    whole = [line + b"\n" for line in lines]
    return [*whole, rest] if rest else whole
