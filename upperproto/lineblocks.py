"""
L{BlockReceiver}: a L{LineReceiver} that gives all whole lines of a chunk in one call.

L{LineReceiver} copies the rest of its buffer for each line. So a chunk of short lines
costs the square of its length (U{Twisted issue
6357<https://github.com/twisted/twisted/issues/6357>}). And with each chunk, it searches
an unfinished line again from its start. L{BlockReceiver} remembers where its search
stopped, and does not split lines if nobody needs them one by one.
"""

from __future__ import annotations

from typing import Any

from twisted.protocols.basic import LineReceiver


class BlockReceiver(LineReceiver):
    """
    A L{LineReceiver} that receives all whole lines of a chunk as one block.

    Override L{blockReceived}. A subclass may also override C{lineReceived}. Then it is
    a L{LineReceiver} of linear cost, with everything that L{LineReceiver} promises.

    @cvar MAX_LENGTH: how many bytes may wait for their line end. If there are more,
        C{lineLengthExceeded} is called with them. It is also the limit of a line for
        C{lineReceived}, but not for L{blockReceived}: a line that has come whole needs
        no more memory.
    @ivar unfinished: the bytes since the last whole line; during a pause, all bytes
        that have come. Only read it.
    """

    # Two buffers. _block has whole lines for lineReceived; those before _blockStart are
    # done. Then comes unfinished, where no _soughtDelimiter begins before _searched.
    _block = b""
    _blockStart = 0
    unfinished: bytes | bytearray = b""
    _searched = 0
    _soughtDelimiter = b""

    # Whether a call of dataReceived is running.
    _receiving = False

    def blockReceived(self, block: bytes) -> None:
        """
        Receive whole lines. By default, they go to C{lineReceived} one by one.

        @param block: one or more lines, each with its delimiter.
        """
        self._block += block

    def dataReceived(self, data: bytes) -> Any:
        """
        Give the whole lines to L{blockReceived}, and keep the rest of the chunk.

        @param data: a chunk of any length, cut anywhere.
        @return: the result of C{lineReceived}, C{rawDataReceived} or
            C{lineLengthExceeded}, if it ended the loop.
        """
        if self._receiving or self.paused:
            self._keep(data)
            return None
        self._receiving = True
        try:
            if self.unfinished or self._block or not self.line_mode:
                self._keep(data)
            else:
                # Nothing waits, which is the usual case. The block is the chunk, or a
                # part of it, and is not copied twice.
                if data and data[-1:] == self.delimiter:
                    self.blockReceived(data)
                else:
                    end = self._linesEnd(data, 0)
                    if end < len(data):
                        self._keep(data[end:])
                        self._noteSearch()
                    if end:
                        self.blockReceived(data[:end])
            if self.unfinished or self._block:
                return self._handOn()
            return None
        finally:
            self._receiving = False

    def clearLineBuffer(self) -> bytes:
        """
        Clear both buffers.

        @return: their bytes.
        """
        waiting = self._block[self._blockStart :] + self.unfinished
        self._block = self.unfinished = b""
        self._blockStart = self._searched = 0
        return waiting

    def keepUnfinished(self, data: bytes) -> None:
        """
        Put bytes back, before all that wait.

        Unlike C{setLineMode}, this does not call L{blockReceived}: a running call of
        L{dataReceived} does this later, or the next one.

        @param data: the bytes.
        """
        self._keep(data + self.clearLineBuffer())

    def _keep(self, data: bytes) -> None:
        """
        Keep some bytes until they can be used.
        """
        if self.unfinished:
            self.unfinished += data
        else:
            # Unlike bytes, it grows in linear time, even by one byte at a time.
            self.unfinished = bytearray(data)

    def _linesEnd(self, data: bytes | bytearray, start: int) -> int:
        """
        Find where the last whole line ends in some bytes; 0 if there is none.
        """
        delimiter = self.delimiter
        size = len(delimiter)
        if size == 1 or (size and delimiter[0] not in delimiter[1:]):
            found = data.rfind(delimiter, start)
            return found + size if found >= 0 else 0
        # Delimiters may overlap, such as b"\n\n" in three line ends: then the first one
        # counts. An empty delimiter ends no line.
        end = 0
        while size and (found := data.find(delimiter, start)) >= 0:
            start = end = found + size
        return end

    def _noteSearch(self) -> None:
        """
        Note that all unfinished bytes were searched. The next search begins at their
        end, where the first part of a delimiter may be.
        """
        self._soughtDelimiter = self.delimiter
        self._searched = max(0, len(self.unfinished) - len(self.delimiter) + 1)

    def _handOn(self) -> Any:
        """
        Give on what waits, until the receiver pauses, closes or returns something.

        @return: what it has returned.
        """
        while (self._block or self.unfinished) and not self.paused:
            if not self.line_mode:
                why = self.rawDataReceived(self.clearLineBuffer())
                if why:
                    return why
            elif self._block:
                start, size = self._blockStart, len(self.delimiter)
                end = self._block.find(self.delimiter, start) if size else -1
                if end < 0:
                    # The delimiter has changed within this block.
                    self.keepUnfinished(b"")
                    continue
                if end - start > self.MAX_LENGTH:
                    return self.lineLengthExceeded(self.clearLineBuffer())
                line = self._block[start:end]
                self._blockStart = end + size
                if self._blockStart == len(self._block):
                    self._block, self._blockStart = b"", 0
                why = self.lineReceived(line)
                if why or getattr(self.transport, "disconnecting", False):
                    return why
            else:
                same = self.delimiter == self._soughtDelimiter
                end = self._linesEnd(self.unfinished, self._searched if same else 0)
                if not end:
                    self._noteSearch()
                    if len(self.unfinished) >= self.MAX_LENGTH + len(self.delimiter):
                        return self.lineLengthExceeded(self.clearLineBuffer())
                    return None
                with memoryview(self.unfinished) as whole:
                    block = bytes(whole[:end])
                self.unfinished = self.unfinished[end:]
                self._noteSearch()
                self.blockReceived(block)
        return None
