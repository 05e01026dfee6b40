"""
C{upper-client} on a terminal: a conversation with a person.

The terminal stays as it is: its driver edits the line and hands it over when it
is whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from upperproto.command import standardio as stdio
from upperproto.command.session import Conversation

PROMPT = b" -> "
ANSWER = b"Received from server: "
LEAVE = b"q"

# How long, in seconds, the farewell may take: a TLS server may owe us its own.
FAREWELL = 1


class Terminal(Conversation):
    """
    Send one message a line, and the next when it has been answered, because a
    server that knows no lines takes two messages for one if they come together.
    """

    def __init__(
        self, reactor: Any, output: Callable[[bytes], None] = stdio.write
    ) -> None:
        """
        @param reactor: what waits for input and tells the time.
        @param output: what writes to standard output.
        """
        super().__init__(reactor, output)
        # What has been typed: messages, and the beginning of one more.
        self._messages: deque[bytes] = deque()
        self._typed = b""
        # Whether the last message still has no whole answer.
        self._asking = False
        self._leaving = False
        # Where the cursor is, if not at the beginning of a line.
        self._atPrompt = False
        self._inAnswer = False

    def begin(self) -> None:
        """
        Ask for the first message.
        """
        super().begin()
        self._next()

    def inputReceived(self, data: bytes) -> None:
        """
        Take what was typed: a line, or the part of one that Ctrl-D hands over.
        """
        *lines, self._typed = (self._typed + data).split(b"\n")
        if lines:
            self._atPrompt = False
            self._messages.extend(lines)
            self._next()

    def inputEnded(self, reason: Failure) -> None:
        """
        Leave when everything has been answered.
        """
        super().inputEnded(reason)
        if self._atPrompt:
            self._newLine()
        if self._typed:
            self._messages.append(self._typed)
        self._messages.append(LEAVE)
        self._next()

    def dataReceived(self, data: bytes) -> None:
        """
        Show answers as they come.
        """
        *lines, begun = data.split(b"\n")
        for line in lines:
            self._show(line + b"\n")
            self._inAnswer = False
            if self._asking:
                self._asking = False
                self._next()
        if begun:
            self._show(begun)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Say at once that the server has gone, unless we have.
        """
        if self._leaving:
            self.end()
        self._newLine()
        super().connectionLost(reason)

    def _next(self) -> None:
        """
        Send the next message if there is one, or ask for it.
        """
        if self._asking:
            return
        if not self._messages:
            self.write(PROMPT)
            self._atPrompt = True
            return
        message = self._messages.popleft()
        if message == LEAVE:
            self._leave()
        else:
            self._asking = True
            self.transport.write(message + b"\n")

    def _show(self, answer: bytes) -> None:
        """
        Show an answer or a part of one.
        """
        if not self._inAnswer:
            # A server may have something to say that nobody asked for.
            self._newLine()
            self.write(ANSWER)
            self._inAnswer = True
        self.write(answer)

    def _newLine(self) -> None:
        """
        Leave a line that has been begun.
        """
        if self._atPrompt or self._inAnswer:
            self.write(b"\n")
            self._atPrompt = self._inAnswer = False

    def _leave(self) -> None:
        """
        Take our leave.
        """
        self._leaving = True
        self._input.stopReading()
        self.transport.loseConnection()
        self._reactor.callLater(FAREWELL, self.end)
