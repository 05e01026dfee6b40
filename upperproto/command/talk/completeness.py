"""
Check that all text was answered.

The end of a connection does not show that all answers came: a proxy without half-close
cuts them off, and the end looks the same. So the client counts.
"""

from __future__ import annotations

from upperproto.answercheck import AnswerScanner


class AnswerTracker:
    """
    Count the text that was sent, and the answers, on one connection.

    The answer to ASCII has as many bytes as the text. So bytes are counted first, which
    costs almost nothing. From the first line with other characters on, lines are
    counted. That takes a third of a second for each gigabyte; the service takes ten.
    The answer to a line with a line end has a line end, too.

    @ivar scanner: takes the notices out of the answers.
    """

    # The bytes of ASCII at the beginning of each side, and how many of those that were
    # sent are in whole lines.
    _asciiAsked = 0
    _asciiAnswered = 0
    _asciiLines = 0
    _ascii = True
    # The line ends in all that follows, and the last byte of each side.
    _linesAsked = 0
    _linesAnswered = 0
    _lastAsked = b"\n"
    _lastAnswered = b"\n"

    def __init__(self) -> None:
        """
        Begin with nothing sent.
        """
        self.scanner = AnswerScanner()

    def ask(self, text: bytes) -> None:
        """
        Count a chunk of text before it is sent.

        @param text: the chunk, cut anywhere.
        """
        if self._ascii and text.isascii():
            end = text.rfind(b"\n") + 1
            if end:
                self._asciiLines = self._asciiAsked + end
            self._asciiAsked += len(text)
            return
        if self._ascii:
            # If this line is not UTF-8, an error may be its whole answer. So the ASCII
            # at its beginning is not counted in bytes.
            self._ascii = False
            self._asciiAsked = self._asciiLines
            self._asciiAnswered = min(self._asciiAnswered, self._asciiAsked)
        self._linesAsked += text.count(b"\n")
        self._lastAsked = text[-1:]

    def answer(self, data: bytes) -> bytes:
        """
        Count a chunk that came.

        @param data: the chunk, cut anywhere.
        @return: its answers and errors, without the notices.
        """
        return self._note(self.scanner.feed(data))

    def end(self) -> bytes:
        """
        Count what was kept back: the stream has ended.

        @return: the rest of the answers.
        """
        return self._note(self.scanner.end())

    def waits(self) -> bool:
        """
        Tell whether some text has no answer yet.
        """
        return (
            self._asciiAnswered < self._asciiAsked
            or self._linesAnswered < self._linesAsked
        )

    def problem(self) -> str:
        """
        Say what is wrong with the answers after their end.

        @return: a clause; empty if all is right.
        """
        if not self.scanner.isUpper:
            return "the answers are not in upper case"
        if not self._settled():
            return "the server closed the connection before its last answer"
        # An error can end a line early. What follows it then begins another line.
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
        Tell whether all text has its answer.
        """
        if self._asciiAnswered < self._asciiAsked:
            return False
        if self._ascii:
            # An error is no answer to ASCII.
            return not self.scanner.errors
        if self._linesAnswered < self._linesAsked:
            return False
        if self._lastAsked == b"\n":
            return True
        # The last line has no end. If it is not UTF-8, its answer has an end.
        return self._lastAnswered != b"\n" or (
            self._linesAnswered > self._linesAsked and self.scanner.errors > 0
        )
