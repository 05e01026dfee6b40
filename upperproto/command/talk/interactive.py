"""
C{upper-client} on a terminal: send the lines that a person types, show the answers.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from upperproto.answercheck import MAY_BE_NOTICE, NOTICE
from upperproto.command import standardio as stdio
from upperproto.command.talk.keyboard import Keyboard
from upperproto.command.talk.session import Session

ANSWER = "Received from server: "
NOTE = "Notice from server: "
LEAVE = b"q"

# How long, in seconds, we wait for the end of the connection after q: a TLS server may
# have to send its close_notify.
FAREWELL = 1

# After how many seconds without a byte the hint about TLS is shown.
SILENCE = 5

# After how many seconds the prompt is shown again after a line that nobody asked for
# (the server may close the connection after it), and after how many seconds the
# beginning of a line is shown that may become a notice.
_PAUSE = 0.1


class Terminal(Session):
    """
    Send one message for each line, and wait for its answer before the next one. A
    server that knows no lines could take two messages for one.
    """

    _prompt: IDelayedCall | None = None
    _silence: IDelayedCall | None = None
    _keeping: IDelayedCall | None = None

    def __init__(self, reactor: Any, keyboard: Keyboard, **more: Any) -> None:
        """
        @param reactor: tells the time.
        @param keyboard: reads the lines.
        @param more: more arguments of L{Session}.
        """
        super().__init__(reactor, **more)
        self._keyboard = keyboard
        self._decoder = getincrementaldecoder("utf-8")("surrogateescape")
        # The last message, and whether it still waits for its answer.
        self._message = b""
        self._asking = False
        self._leaving = False
        # Where the cursor is: behind the prompt, or within a line of the server.
        self._atPrompt = False
        self._inLine = False
        # Whether that line is a notice; and its beginning, while that is not known.
        self._isNotice = False
        self._kept = b""

    def connectionMade(self) -> None:
        """
        Ask for the first message.
        """
        self._keyboard.start(self.lineReceived, self.inputEnded)
        self._next()

    def lineReceived(self, line: bytes) -> None:
        """
        Send a message, or leave.

        @param line: the line that was typed.
        """
        self._atPrompt = False
        if line == LEAVE:
            self._leave()
        elif not self.done.called:
            self._message, self._asking = line, True
            if not self._asked:
                self._silence = self._reactor.callLater(SILENCE, self._tellOfTLS)
            self.send(line + b"\n")
            self.expect(True)

    def inputEnded(self, problem: str) -> None:
        """
        Leave, on a new line.

        @param problem: why the input cannot be read; empty at its end.
        """
        if self._atPrompt:
            self._newLine()
        if problem:
            self.end(problem)
        else:
            self._leave()

    def received(self, data: bytes) -> None:
        """
        Show answers as they come.
        """
        _cancel(self._silence)
        _cancel(self._keeping)
        *lines, begun = (self._kept + data).split(b"\n")
        self._kept = b""
        for line in lines:
            self._show(line, True)
        if not self._inLine and MAY_BE_NOTICE.match(begun):
            self._kept = begun
            self._keeping = self._reactor.callLater(_PAUSE, self._showKept)
        elif begun:
            self._show(begun, False)

    def end(self, problem: str = "") -> None:
        """
        End the session, and restore the terminal.
        """
        _cancel(self._prompt)
        _cancel(self._silence)
        _cancel(self._keeping)
        if not self.done.called:
            self._newLine()
            self._keyboard.stop()
        super().end(problem)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        End the session: well, if the person has left, else with an error.
        """
        self._showKept()
        if self._leaving:
            self.end()
        super().connectionLost(reason)

    def _next(self) -> None:
        """
        Ask for the next message.
        """
        self._atPrompt = True
        self._keyboard.ask()

    def _show(self, answer: bytes, whole: bool) -> None:
        """
        Show an answer or a part of one.
        """
        if not self._inLine:
            # A line that nobody asked for may come while the prompt is shown.
            self._newLine()
            self._isNotice = self._beginsNotice(answer)
            self.write((NOTE if self._isNotice else ANSWER).encode())
        self._inLine = not whole
        text = stdio.escaped(self._decoder.decode(answer, whole))
        self.write(text.encode() + b"\n" * whole)
        if not self._isNotice:
            self.verify(answer + b"\n" * whole)
        if not whole or self._leaving:
            return
        if not self._asking:
            self._showPromptAgain()
        elif not self._isNotice:
            self._asking = False
            self.expect(False)
            self._next()

    def _showKept(self) -> None:
        """
        Show the beginning of a line that did not become a notice in time.
        """
        kept, self._kept = self._kept, b""
        if kept:
            self._show(kept, False)

    def _beginsNotice(self, line: bytes) -> bool:
        """
        Tell whether a line is a notice: no answer, no error and no echo.
        """
        found = NOTICE.match(line)
        return found is not None and found[1] != b"error" and line != self._message

    def _showPromptAgain(self) -> None:
        """
        Show the prompt and the typed text again, unless more comes soon.
        """
        _cancel(self._prompt)
        self._prompt = self._reactor.callLater(_PAUSE, self._promptIsDue)

    def _promptIsDue(self) -> None:
        if not self._asking and not self._leaving:
            self._atPrompt = True
            self._keyboard.showAgain()

    def _tellOfTLS(self) -> None:
        """
        Show the hint that the server may speak TLS: nothing has come.
        """
        hint = self.hint("no answer yet")
        if hint != "no answer yet":
            self.write(f"({hint})\n".encode())

    def _newLine(self) -> None:
        """
        Go to a new line, if the cursor is not at the beginning of one.
        """
        if self._atPrompt or self._inLine:
            self.write(b"\n")
            self._atPrompt = self._inLine = False

    def _leave(self) -> None:
        """
        Close the connection, as the person wants.
        """
        if not self._leaving:
            self._leaving = True
            self.transport.loseConnection()
            self._reactor.callLater(FAREWELL, self.end)


def _cancel(call: IDelayedCall | None) -> None:
    if call is not None and call.active():
        call.cancel()
