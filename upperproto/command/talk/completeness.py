"""
Whether everything that was asked has been answered.

A server that ends its side has not necessarily answered everything: a proxy
that does not know half-closed connections cuts the answers off, and the end
looks as clean as any. So the client counts.
"""

from __future__ import annotations

from upperproto.expected import AnswerScanner


class AnswerTracker:
    """
    What has been asked and answered on one connection.

    ASCII text is answered byte for byte, so as long as there is no other, bytes
    are counted, which costs next to nothing. From the first line that has other
    characters on, lines are: that takes a third of a second for each gigabyte,
    where the service itself takes ten. A line that was sent with its end is
    answered by a line with its end.

    @ivar scanner: what takes the notices out of the answers.
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

    def __init__(self) -> None:
        """
        Begin with nothing asked.
        """
        self.scanner = AnswerScanner()

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

    def answer(self, data: bytes) -> bytes:
        """
        Note what has come.

        @param data: a chunk, cut anywhere.
        @return: what of it is answers and errors.
        """
        return self._note(self.scanner.feed(data))

    def end(self) -> bytes:
        """
        Note that nothing more comes.

        @return: the rest of the answers.
        """
        return self._note(self.scanner.end())

    def waits(self) -> bool:
        """
        Tell whether something that was asked has not been answered yet.
        """
        return (
            self._asciiAnswered < self._asciiAsked
            or self._linesAnswered < self._linesAsked
        )

    def problem(self) -> str:
        """
        Say what is wrong with the answers, now that they are at their end.

        @return: a clause, or nothing.
        """
        if not self.scanner.isUpper:
            return "the answers are not in upper case: this is no upper-case service"
        if not self._settled():
            return "the server closed the connection before its last answer"
        # An error can end a line, and what follows it then begins another one.
        most = self._linesAsked + 2 * self.scanner.errors
        tail = self._lastAnswered != b"\n" and self._lastAsked == b"\n"
        if self._linesAnswered > most or tail:
            return "the server has answered more than it was asked"
        return ""

    def _note(self, answers: bytes) -> bytes:
        inBytes = min(len(answers), self._asciiAsked - self._asciiAnswered)
        self._asciiAnswered += inBytes
        if inBytes < len(answers):
            self._linesAnswered += answers.count(b"\n", inBytes)
            self._lastAnswered = answers[-1:]
        return answers

    def _settled(self) -> bool:
        """
        Tell whether everything asked has been answered.
        """
        if self._asciiAnswered < self._asciiAsked:
            return False
        if self._ascii:
            # An error is no answer to it.
            return not self.scanner.errors
        if self._linesAnswered < self._linesAsked:
            return False
        if self._lastAsked == b"\n":
            return True
        # The last line is unfinished. If it is broken, its answer ends all the same.
        return self._lastAnswered != b"\n" or (
            self._linesAnswered > self._linesAsked and self.scanner.errors > 0
        )
