"""
Guard a TLS connection against floods of records without text.

A record with a KeyUpdate has 27 bytes, and OpenSSL needs 45 us for it: a second for 600
KB of them.
"""

from __future__ import annotations

# OpenSSL gets at most so many records at a time, so that a flood is noticed soon, and
# not many more bytes than these: what it gets together with a broken record cannot be
# answered any more.
MAX_RECORDS = 64
MAX_BYTES = 65536

# The number of bytes without text that a peer may send: more than one record has.
MAX_WITHOUT_TEXT = 20_000

# The header of a record: its type (1 byte), its version (2), and the number of bytes
# that follow (2) (RFC 8446, section 5.1).
HEADER = 5


class FloodGuard:
    """
    Cut what a peer sends into pieces of a limited number of records, and count the
    bytes without text.

    @ivar withoutText: the number of bytes that have come after the last text.
    """

    __slots__ = ("_header", "_rest", "withoutText")

    def __init__(self) -> None:
        """
        Begin with the first record of a connection.
        """
        # The first bytes of a header, whose rest has not come yet.
        self._header = b""
        # The number of bytes of the last record that have not come yet.
        self._rest = 0
        self.withoutText = 0

    def cut(self, data: bytes) -> list[bytes]:
        """
        Cut some bytes into pieces.

        @param data: the bytes that come next.
        @return: these bytes, without the first bytes of a header: the next call returns
            them with its rest.
        """
        size, rest = len(data), self._rest
        if size >= HEADER and not (rest or self._header):
            if size == HEADER + (data[3] << 8) + data[4]:
                # This is the usual case.
                return [data]
        elif self._header:
            data = self._header + data
            size = len(data)
            self._header = b""
        pieces: list[bytes] = []
        start, end, records = 0, rest, 0
        while end + HEADER <= size:
            end += HEADER + (data[end + 3] << 8) + data[end + 4]
            records += 1
            if records == MAX_RECORDS or end - start >= MAX_BYTES:
                pieces.append(data[start:end])
                start, records = end, 0
        if end < size:
            self._header = data[end:]
        self._rest = max(0, end - size)
        if start < min(end, size):
            pieces.append(data[start:end])
        return pieces

    def isFlood(self, size: int) -> bool:
        """
        Count bytes without text.

        @param size: their number.
        @return: whether there are too many.
        """
        self.withoutText += size
        return self.withoutText > MAX_WITHOUT_TEXT
