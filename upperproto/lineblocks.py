"""
Whole lines out of chunks: a L{LineReceiver} that hands on all whole lines of a
chunk in one call.

L{LineReceiver} copies what is left of its buffer for each line, so that a chunk
of short lines costs the square of its length (U{Twisted issue
6357<https://github.com/twisted/twisted/issues/6357>}), and it searches an
unfinished line again with each chunk. L{BlockReceiver} remembers where its
search stopped, and splits nothing that nobody asked it to split.
"""

from __future__ import annotations

from twisted.protocols.basic import LineReceiver


class BlockReceiver(LineReceiver):
    """
    A L{LineReceiver} that receives all whole lines of a chunk as one block.

    Override L{blockReceived}. A subclass that overrides C{lineReceived} instead
    is a L{LineReceiver} of linear cost, with its raw mode, its pauses, its
    C{clearLineBuffer} and its C{lineLengthExceeded}. One thing is left out: the
    undocumented return value by which C{lineReceived} could end the loop.

    @cvar delimiter: what ends a line; by default C{\\n}.
    @cvar MAX_LENGTH: how many bytes may wait for their line end; when there are
        more, C{lineLengthExceeded} is called with them. It bounds each line for
        C{lineReceived}, too, but not for L{blockReceived}: a line that has come
        whole costs no more memory.
    """

    delimiter = b"\n"

    # What has not been handed on. First come whole lines on their way to
    # lineReceived: _block from _next on. Then _buffer, in which no delimiter
    # begins before _searched.
    _block = b""
    _next = 0
    _buffer: bytes | bytearray = b""  # type: ignore[assignment] # bytes, there.
    _searched = 0

    def blockReceived(self, block: bytes) -> None:
        """
        Receive whole lines. By default, they go to C{lineReceived} one by one.

        @param block: one or more lines, each with its delimiter.
        """
        self._block = block

    def dataReceived(self, data: bytes) -> None:
        """
        Hand on the lines that a chunk ends, and keep its rest.

        @param data: a chunk of any length, cut anywhere.
        """
        if self._busyReceiving or self.paused:
            self._keep(data)
            return
        self._busyReceiving = True
        try:
            if self._buffer or self._block or not self.line_mode:
                self._keep(data)
            else:
                # Nothing waits, as between any two chunks of whole lines: the
                # block is cut out of the chunk, or is the chunk.
                end = self._linesEnd(data, 0)
                if end < len(data):
                    self._keep(data[end:])
                    self._searched = self._seam()
                if end:
                    self.blockReceived(data[:end])
            if self._buffer or self._block:
                self._handOn()
        finally:
            self._busyReceiving = False

    def clearLineBuffer(self) -> bytes:
        """
        Forget what has been received and not handed on.

        @return: what it was.
        """
        waiting = self._block[self._next :] + self._buffer
        self._block = self._buffer = b""
        self._next = self._searched = 0
        return waiting

    def _keep(self, data: bytes) -> None:
        """
        Keep some bytes until they can be handed on.
        """
        if self._buffer:
            self._buffer += data
        else:
            # Unlike bytes, it grows in linear time, a byte at a time as well.
            self._buffer = bytearray(data)

    def _linesEnd(self, data: bytes | bytearray, start: int) -> int:
        """
        Where the last whole line ends in some bytes; 0 if none does.
        """
        if len(self.delimiter) == 1:
            return data.rfind(self.delimiter, start) + 1
        # Those that follow one another may overlap, as do b"\n\n" in three line
        # ends: then the first ones count.
        end = 0
        while (found := data.find(self.delimiter, start)) >= 0:
            start = end = found + len(self.delimiter)
        return end

    def _seam(self) -> int:
        """
        Where the next search begins when all of the buffer has been searched:
        a delimiter may have begun at its end.
        """
        return max(0, len(self._buffer) - len(self.delimiter) + 1)

    def _handOn(self) -> None:
        """
        Hand on what waits, until whoever receives it pauses or closes.
        """
        while (self._block or self._buffer) and not self.paused:
            if not self.line_mode:
                self.rawDataReceived(self.clearLineBuffer())
            elif self._block:
                end = self._block.index(self.delimiter, self._next)
                if end - self._next > self.MAX_LENGTH:
                    self.lineLengthExceeded(self.clearLineBuffer())
                    return
                line = self._block[self._next : end]
                self._next = end + len(self.delimiter)
                if self._next == len(self._block):
                    self._block, self._next = b"", 0
                self.lineReceived(line)
                if getattr(self.transport, "disconnecting", False):
                    return
            else:
                end = self._linesEnd(self._buffer, self._searched)
                if not end:
                    self._searched = self._seam()
                    if len(self._buffer) >= self.MAX_LENGTH + len(self.delimiter):
                        self.lineLengthExceeded(self.clearLineBuffer())
                    return
                with memoryview(self._buffer) as whole:
                    block = bytes(whole[:end])
                self._buffer = self._buffer[end:]
                self._searched = self._seam()
                self.blockReceived(block)
