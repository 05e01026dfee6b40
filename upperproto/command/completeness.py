"""
Whether everything that was asked has been answered.

A server that ends its side has not necessarily answered everything: a proxy
that does not know half-closed connections cuts the answers off, and the end
looks as clean as any. So the client keeps account.
"""

from __future__ import annotations


class Account:
    """
    What has been asked and answered on one connection.

    ASCII text is answered byte for byte, so as long as there is no other, bytes
    are counted, which costs next to nothing. From the first line that has other
    characters on, lines are: that takes a third of a second for each gigabyte,
    where the service itself takes ten.
    """

    # Bytes at the beginning of each side, while they are ASCII; and how many of
    # those asked are in whole lines.
    _asciiAsked = 0
    _asciiAnswered = 0
    _asciiLines = 0
    _ascii = True
    # Line ends in what follows, and how it ends.
    _linesAsked = 0
    _linesAnswered = 0
    _lastAsked = b"\n"
    _lastAnswered = b"\n"

    def ask(self, text: bytes) -> None:
        """
        Note what is sent, before it is.

        @param text: a chunk, cut anywhere.
        """
        if self._ascii and text.isascii():
            end = text.rfind(b"\n") + 1
            if end:
                self._asciiLines = self._asciiAsked + end
            self._asciiAsked += len(text)
            return
        if self._ascii:
            # Where a line turns out not to be UTF-8, an error may be all of its
            # answer: its ASCII beginning is not counted in bytes.
            self._ascii = False
            self._asciiAsked = self._asciiLines
            self._asciiAnswered = min(self._asciiAnswered, self._asciiAsked)
        self._linesAsked += text.count(b"\n")
        self._lastAsked = text[-1:]

    def answer(self, text: bytes) -> None:
        """
        Note what has come.

        @param text: a chunk, cut anywhere.
        """
        inBytes = min(len(text), self._asciiAsked - self._asciiAnswered)
        self._asciiAnswered += inBytes
        if inBytes < len(text):
            self._linesAnswered += text.count(b"\n", inBytes)
            self._lastAnswered = text[-1:]

    def settled(self) -> bool:
        """
        Tell whether everything asked has been answered.
        """
        if self._asciiAnswered < self._asciiAsked:
            return False
        asked = self._linesAsked + (self._lastAsked != b"\n")
        answered = self._linesAnswered + (self._lastAnswered != b"\n")
        # Text that is not UTF-8 may be answered by more lines than it has. ASCII
        # text may not: anything more is not its answer.
        return answered == 0 if self._ascii else answered >= asked
