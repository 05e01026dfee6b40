"""
Count the undelivered text of a TLS connection, which has not arrived yet. The transport
below counts only bytes of records, so this module computes the bytes of text in them.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import itemgetter
from typing import Any

from zope.interface import implementer

from upperproto.interfaces import ISendQueue

# The number of marks to keep. If more pieces of text than these are unacknowledged, the
# result may be too large, by a thirty-second of all unacknowledged bytes.
MAX_MARKS = 128


@implementer(ISendQueue)
class Records:
    """
    The records of a connection, and the text in them.

    For each piece of text there is a mark, which says where its records end. The
    transport below knows how many bytes of records wait, and the marks say how much
    text is in them. Records without text, such as session tickets and alerts, do not
    count.
    """

    def __init__(self, below: Any) -> None:
        """
        @param below: the transport to which records are written.
        """
        self._below = below
        # Two numbers of bytes of text: all text, and the text in records.
        self._written = self._encrypted = 0
        # Bytes of records.
        self._sent = 0
        # Pairs: a number of bytes of records, and the bytes of text in them.
        self._marks = [(0, 0)]

    def written(self, size: int) -> None:
        """
        Count text that the protocol has written.
        """
        self._written += size
        if len(self._marks) > MAX_MARKS:
            self._forget()

    def encrypted(self, size: int) -> None:
        """
        Count text that is now in records which have not been sent yet.
        """
        self._encrypted += size

    def sent(self, size: int) -> None:
        """
        Note that all records have been sent.

        @param size: the bytes of the records that were not sent before.
        """
        self._sent += size
        if self._encrypted > self._marks[-1][1]:
            self._marks.append((self._sent, self._encrypted))

    def unsentBytes(self) -> int:
        """
        Get the number of bytes of text that the kernel has not taken yet.
        """
        unsent, _ = self._waiting()
        return self._written - self._encrypted + self._textIn(unsent)

    def unacknowledgedBytes(self) -> int:
        """
        Get the number of bytes that the peer's system has not acknowledged yet. This is
        the sum of the bytes of text that are unsent, and the bytes that wait in the
        kernel, of records with text.
        """
        unsent, unacknowledged = self._waiting()
        records = unacknowledged - unsent
        text = self._textIn(unacknowledged) - self._textIn(unsent)
        return self.unsentBytes() + min(records, text)

    def _waiting(self) -> tuple[int, int]:
        """
        Get the bytes of records that the kernel has not taken, and the bytes that the
        peer's system has not acknowledged.
        """
        queue = ISendQueue(self._below, None)
        if queue is None:
            return 0, 0
        return queue.unsentBytes(), queue.unacknowledgedBytes()

    def _textIn(self, last: int) -> int:
        """
        Get the bytes of text in the last bytes of records. If only the end of a record
        is among these bytes, the whole record counts, because the peer cannot read a
        record without its end.

        @param last: the number of bytes of records.
        """
        return self._encrypted - self._marks[self._before(last)][1]

    def _before(self, last: int) -> int:
        """
        Find the index of the mark before the last bytes of records.

        @param last: the number of these bytes.
        """
        index = bisect_right(self._marks, self._sent - last, key=itemgetter(0))
        return max(0, index - 1)

    def _forget(self) -> None:
        """
        Limit the memory of the marks: remove the marks of text that has arrived. If too
        many are left, remove marks that are near to one another.
        """
        _, unacknowledged = self._waiting()
        first, *others = self._marks[self._before(unacknowledged) :]
        if len(others) > MAX_MARKS // 2:
            step = (self._sent - first[0]) // (MAX_MARKS // 2)
            others = list({mark[0] // step: mark for mark in others}.values())
        self._marks = [first, *others]
