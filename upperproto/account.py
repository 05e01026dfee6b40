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
    are counted, which costs next to nothing. From the first chunk that has
    other characters on, lines are: that takes a third of a second for each
    gigabyte, where the service itself takes ten.
    """

    # How many bytes at the beginning of each side are known to be ASCII. Then
    # come lines; the end of the last one may be missing.
    _asciiAsked = 0
    _asciiAnswered = 0
    _linesAsked = 0
    _linesAnswered = 0
    _ascii = True
    _lastAsked = b"\n"
    _lastAnswered = b"\n"

    def ask(self, text: bytes) -> None:
        """
        Note what is sent, before it is.

        @param text: a chunk, cut anywhere.
        """
        if self._ascii and text.isascii():
            self._asciiAsked += len(text)
        else:
            self._ascii = False
            self._linesAsked += text.count(b"\n")
            self._lastAsked = text[-1:]

    def answer(self, text: bytes) -> None:
        """
        Note what has come.

        @param text: a chunk, cut anywhere.
        """
        byBytes = min(len(text), self._asciiAsked - self._asciiAnswered)
        self._asciiAnswered += byBytes
        if byBytes < len(text):
            self._linesAnswered += text.count(b"\n", byBytes)
            self._lastAnswered = text[-1:]

    def settled(self) -> bool:
        """
        Tell whether everything asked has been answered.
        """
        if self._asciiAnswered < self._asciiAsked:
            return False
        asked = self._linesAsked + (self._lastAsked != b"\n")
        answered = self._linesAnswered + (self._lastAnswered != b"\n")
        # An answer to text that is not UTF-8 may have a line more than the
        # text; to ASCII text, anything more is not an answer.
        return answered == 0 if self._ascii else answered >= asked
