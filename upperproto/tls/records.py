"""
How much of the text of a TLS connection is on its way, where only the records that
carry it can be counted.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import itemgetter
from typing import Any

from zope.interface import implementer

from upperproto.interfaces import ISendQueue

# How many marks are kept. Where more pieces of text than these are unacknowledged, too
# much may count: a thirty-second of all that is.
MAX_MARKS = 128


@implementer(ISendQueue)
class Records:
    """
    The records of a connection, and the text in them.

    A mark for each piece of text tells where its records end, so that from how many
    bytes of records wait in the transport below, it is known how much text waits.
    Records without text, such as session tickets and alerts, do not count.
    """

    def __init__(self, below: Any) -> None:
        """
        @param below: the transport to which records are written.
        """
        self._below = below
        # Bytes of text: all, what is in records, and what cannot be in any.
        self._written = self._encrypted = self._refused = 0
        # Bytes of records.
        self._sent = 0
        # Pairs of bytes of records, and bytes of text up to there.
        self._marks = [(0, 0)]

    def written(self, size: int) -> None:
        """
        The protocol has written text.
        """
        self._written += size
        if len(self._marks) > MAX_MARKS:
            self._forget()

    def refused(self, size: int) -> None:
        """
        The protocol has written text, and nobody will get it.
        """
        self._written += size
        self._refused += size

    def encrypted(self, size: int) -> None:
        """
        Text is in records that have not been sent yet.
        """
        self._encrypted += size

    def sent(self, size: int) -> None:
        """
        All records that there are have been sent.

        @param size: the bytes of those that had not been.
        """
        self._sent += size
        if self._encrypted > self._marks[-1][1]:
            self._marks.append((self._sent, self._encrypted))

    def isWaiting(self) -> bool:
        """
        Whether text is not in records yet, but will be.
        """
        return self._written - self._refused > self._encrypted

    def unsentBytes(self) -> int:
        """
        How many bytes of text the kernel has not taken yet.
        """
        unsent, _ = self._waiting()
        return self._written - self._encrypted + self._textIn(unsent)

    def unacknowledgedBytes(self) -> int:
        """
        How many bytes the peer's system has not acknowledged yet: of text, what is
        unsent; of records that carry text, what waits in the kernel.
        """
        unsent, unacknowledged = self._waiting()
        records = unacknowledged - unsent
        text = self._textIn(unacknowledged) - self._textIn(unsent)
        return self.unsentBytes() + min(records, text)

    def _waiting(self) -> tuple[int, int]:
        """
        How many bytes of records the kernel has not taken, and how many the peer's
        system has not acknowledged.
        """
        queue = ISendQueue(self._below, None)
        if queue is None:
            return 0, 0
        return queue.unsentBytes(), queue.unacknowledgedBytes()

    def _textIn(self, last: int) -> int:
        """
        How much text is in what was sent last. A record of which a part has gone
        ahead counts whole: without the rest, nobody can read it.

        @param last: bytes of records.
        """
        return self._encrypted - self._marks[self._before(last)][1]

    def _before(self, last: int) -> int:
        """
        Find the last mark before the last so many bytes.
        """
        index = bisect_right(self._marks, self._sent - last, key=itemgetter(0))
        return max(0, index - 1)

    def _forget(self) -> None:
        """
        Keep memory bounded: let go of what has arrived and, if that is little, of
        marks that are near to one another.
        """
        _, unacknowledged = self._waiting()
        first, *others = self._marks[self._before(unacknowledged) :]
        if len(others) > MAX_MARKS // 2:
            step = (self._sent - first[0]) // (MAX_MARKS // 2)
            others = list({mark[0] // step: mark for mark in others}.values())
        self._marks = [first, *others]
