"""
C{upper-client} on a terminal: a conversation with a person.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from upperproto.command import standardio as stdio
from upperproto.command.talk.keyboard import Keyboard
from upperproto.command.talk.session import Session
from upperproto.expected import MAY_BE_NOTICE, NOTICE

ANSWER = "Received from server: "
NOTE = "Notice from server: "
LEAVE = b"q"

# How long, in seconds, the farewell may take: a TLS server may owe us its own.
FAREWELL = 1

# How long, in seconds, nothing at all has come when TLS is thought of.
SILENCE = 5

# How long, in seconds, the prompt stays away after the server has said something
# unasked: it may be its last word; and how long the beginning of a line is kept that
# may become a notice.
_PAUSE = 0.1


class Terminal(Session):
    """
    Send one message a line, and the next when it has been answered, because a
    server that knows no lines takes two messages for one if they come together.
    """

    _prompt: IDelayedCall | None = None
    _silence: IDelayedCall | None = None
    _keeping: IDelayedCall | None = None

    def __init__(self, reactor: Any, keyboard: Keyboard, **more: Any) -> None:
        """
        @param reactor: what tells the time.
        @param keyboard: what takes lines from the person.
        @param more: for L{Session}.
        """
        super().__init__(reactor, **more)
        self._keyboard = keyboard
        self._decoder = getincrementaldecoder("utf-8")("surrogateescape")
        # The last message, and whether it still has no whole answer.
        self._message = b""
        self._asking = False
        self._leaving = False
        # Where the cursor is, if not at the beginning of a line.
        self._atPrompt = False
        self._inLine = False
        # Whether that line is a notice; and its beginning, while that is open.
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
        Send a message.

        @param line: what was typed.
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

        @param problem: why there is no more input, if not because of its end.
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
        Leave the terminal as it was.
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
        Say at once that the server has gone, unless we have.
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
            # A server may have something to say that nobody asked for.
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
        Show what has not become a notice.
        """
        kept, self._kept = self._kept, b""
        if kept:
            self._show(kept, False)

    def _beginsNotice(self, line: bytes) -> bool:
        """
        Whether a line is no answer, and no error, and no echo either.
        """
        found = NOTICE.match(line)
        return found is not None and found[1] != b"error" and line != self._message

    def _showPromptAgain(self) -> None:
        """
        Show the line again that the person is typing, unless more comes.
        """
        _cancel(self._prompt)
        self._prompt = self._reactor.callLater(_PAUSE, self._promptIsDue)

    def _promptIsDue(self) -> None:
        if not self._asking and not self._leaving:
            self._atPrompt = True
            self._keyboard.showAgain()

    def _tellOfTLS(self) -> None:
        """
        Nothing has come: the server may wait for something else.
        """
        hint = self.hint("no answer yet")
        if hint != "no answer yet":
            self.write(f"({hint})\n".encode())

    def _newLine(self) -> None:
        """
        Leave a line that has been begun.
        """
        if self._atPrompt or self._inLine:
            self.write(b"\n")
            self._atPrompt = self._inLine = False

    def _leave(self) -> None:
        """
        Take our leave.
        """
        if not self._leaving:
            self._leaving = True
            self.transport.loseConnection()
            self._reactor.callLater(FAREWELL, self.end)


def _cancel(call: IDelayedCall | None) -> None:
    if call is not None and call.active():
        call.cancel()
