"""
Check answers: which answer to a text is right, and which lines are notices.
"""

from __future__ import annotations

import re
from unicodedata import category, ucd_3_2_0

# How a notice begins: a line of the server that is no answer. No answer can begin like
# this, because no answer has a lower-case ASCII letter.
NOTICE = re.compile(rb"([a-z][a-z0-9-]{0,30}):(?: |$)")

# The beginning of a line that may become a notice when more of it comes.
MAY_BE_NOTICE = re.compile(rb"[a-z][a-z0-9-]{0,30}:?\Z")


def mayDiffer(expected: str, answered: str) -> bool:
    """
    Tell whether a character can differ because the server has another version of
    Unicode than this Python.

    @param expected: one character of the upper case that this Python expects.
    @param answered: the character that came.
    """
    # A newer server knows characters and upper cases that this Python does not know.
    if "Cn" in (category(expected), category(answered)):
        return True
    # An older server returns a character unchanged if it does not know it. All
    # servers know Unicode 3.2.
    return answered.upper() == expected and "Cn" in (
        ucd_3_2_0.category(answered),
        ucd_3_2_0.category(expected),
    )


def firstDifference(text: str, answer: str) -> int | None:
    """
    Find the first wrong character of an answer.

    @param text: the text.
    @param answer: the answer that came.
    @return: the index of the first character of the answer that is wrong or
        missing; L{None} if it is right.
    """
    expected = text.upper()
    if answer == expected:
        return None
    for index, (ours, theirs) in enumerate(zip(expected, answer, strict=False)):
        if ours != theirs and not mayDiffer(ours, theirs):
            return index
    # In all versions of Unicode, the upper case has the same length.
    return None if len(answer) == len(expected) else min(len(answer), len(expected))


class AnswerScanner:
    """
    Remove notices from a stream of answers, in chunks that are cut anywhere.

    @ivar errors: how many error lines came. They stay in the stream.
    @ivar error: the last error line, as far as it has come.
    @ivar notices: the other notices that are whole lines, at most L{MOST_NOTICES}.
    @ivar isUpper: whether all answers are free of lower-case ASCII letters.
    """

    # How many notices are kept.
    MOST_NOTICES = 100

    def __init__(self) -> None:
        """
        Begin at the beginning of a line.
        """
        self.errors = 0
        self.error = b""
        self.notices: list[bytes] = []
        self.isUpper = True
        # The kind of the line that has begun; and its beginning, while its kind is not
        # known, or while it is a notice.
        self._kind = ""
        self._begun = b""

    def feed(self, data: bytes) -> bytes:
        """
        Remove the notices from a chunk.

        @return: the chunk, and what was kept before it, without notices.
        """
        if self._kind in ("", "answer") and not self._begun:
            # Without a lower-case letter, there is no notice. This check costs a
            # thousandth of the work of the service.
            if data == data.upper():
                if data:
                    self._kind = "" if data.endswith(b"\n") else "answer"
                return data
        return b"".join(self._take(part) for part in _lines(data))

    def end(self) -> bytes:
        """
        End the stream.

        @return: what was kept and did not become a notice.
        """
        kept, self._begun = (b"" if self._kind == "notice" else self._begun), b""
        self.isUpper = self.isUpper and not kept
        return kept

    def _take(self, part: bytes) -> bytes:
        """
        Remove a line, or a part of one, if it is a notice.
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
    Split after each line end.
    """
    *lines, rest = data.split(b"\n")
    whole = [line + b"\n" for line in lines]
    return [*whole, rest] if rest else whole
