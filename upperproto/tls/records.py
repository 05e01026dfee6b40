"""
How much text the records of a TLS connection carry, and where in them it ends.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import itemgetter

# How many marks are kept. More than that are only there while small pieces of text
# wait, and then a few bytes too many may count.
MAX_MARKS = 128


class Records:
    """
    The records that have been sent, and the text in them.

    A mark for each piece of text tells where its records end, so that from how many
    bytes of records wait somewhere, it is known how much text waits there. Records
    without text, such as session tickets and alerts, carry none.

    @ivar textBytes: how much text is in records.
    @ivar recordBytes: how long these and all other records are.
    """

    def __init__(self) -> None:
        """
        Begin with none.
        """
        self.textBytes = self.recordBytes = 0
        # Pairs of bytes of records, and bytes of text up to there.
        self._marks = [(0, 0)]

    def encrypted(self, size: int) -> None:
        """
        Text is in records that have not been sent yet.

        @param size: its bytes.
        """
        self.textBytes += size

    def sent(self, size: int) -> None:
        """
        All records that there are have been sent.

        @param size: the bytes of those that had not been.
        """
        self.recordBytes += size
        if self.textBytes > self._marks[-1][1]:
            self._marks.append((self.recordBytes, self.textBytes))

    def textIn(self, last: int) -> int:
        """
        How much text is in what was sent last. A record of which a part has gone
        ahead counts whole: without the rest, nobody can read it.

        @param last: bytes of records.
        @return: bytes of text.
        """
        return self.textBytes - self._marks[self._before(last)][1]

    def forget(self, last: int) -> None:
        """
        Keep memory bounded.

        @param last: how many bytes of records are still of interest.
        """
        del self._marks[: self._before(last)]
        if len(self._marks) > MAX_MARKS // 2:
            del self._marks[1:-1:2]

    def isFull(self) -> bool:
        """
        Whether it is time to L{forget}.
        """
        return len(self._marks) > MAX_MARKS

    def _before(self, last: int) -> int:
        """
        Find the last mark before the last so many bytes.
        """
        index = bisect_right(self._marks, self.recordBytes - last, key=itemgetter(0))
        return max(0, index - 1)
