"""
The base class of the two protocols of talk: one connection, until it has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure

from upperproto.command import standardio as stdio
from upperproto.command.errors import SessionError, whyLost
from upperproto.command.otherprotocols import ASK_WITH_TLS, TLS_ALERT, otherServer
from upperproto.command.talk.verification import Verifier

# How many first bytes of the answers are kept, to recognise other kinds of server.
_BEGINNING = 16


class Session(Protocol):
    """
    Send text to a server, and receive its answers.

    @ivar done: fires when the session has ended well; else fails with L{SessionError}.
    """

    # What the endpoints give us; TLS wraps it and forwards the rest.
    transport: Connection

    _timer: IDelayedCall | None = None

    def __init__(
        self,
        reactor: Any,
        output: Callable[[bytes], None] = stdio.write,
        verify: bool = False,
        timeout: float | None = None,
    ) -> None:
        """
        @param reactor: tells the time.
        @param output: writes to standard output.
        @param verify: whether to check each byte of the answers.
        @param timeout: how long an answer may take, in seconds.
        """
        self.done: Deferred[None] = Deferred()
        self._reactor = reactor
        self._output = output
        self._verifier = Verifier() if verify else None
        self._timeout = timeout
        self._beginning = b""
        self._asked = False

    def send(self, data: bytes) -> None:
        """
        Send text.
        """
        self._asked = True
        if self._verifier is not None:
            self._verifier.ask(data)
        self.transport.write(data)

    def dataReceived(self, data: bytes) -> None:
        """
        Pass on what comes, unless it is an alert of TLS.
        """
        if len(self._beginning) < _BEGINNING:
            self._beginning += data[:_BEGINNING]
            if self._beginning.startswith(TLS_ALERT) and not self._isSecure():
                self.end(otherServer(self._beginning))
        if not self.done.called:
            self.received(data)

    def received(self, data: bytes) -> None:
        """
        Receive a part of the answers. Subclasses override it.
        """

    def verify(self, answers: bytes) -> None:
        """
        Check answers, if the user wants that, and end at the first wrong byte.

        @param answers: a chunk of the answers, without notices.
        """
        problem = "" if self._verifier is None else self._verifier.answer(answers)
        if problem:
            self.end(problem)

    def write(self, output: bytes) -> None:
        """
        Write to standard output, unless the session has ended.

        @param output: the bytes to write.
        """
        if self.done.called:
            return
        try:
            self._output(output)
        except BrokenPipeError:
            # The reader wants no more, such as C{head}.
            self.end()
        except OSError as error:
            self.end(f"cannot write standard output: {error.strerror}")

    def end(self, problem: str = "") -> None:
        """
        End the session. Only the first end counts.

        @param problem: what is wrong; empty if nothing is.
        """
        if self.done.called:
            return
        self.expect(False)
        if problem:
            self.done.errback(SessionError(problem))
        else:
            self.done.callback(None)

    def expect(self, waiting: bool) -> None:
        """
        Start the time limit of an answer anew, or stop it.

        @param waiting: whether an answer must come.
        """
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        if waiting and self._timeout is not None and not self.done.called:
            self._timer = self._reactor.callLater(self._timeout, self._notInTime)

    def closed(self) -> None:
        """
        End with an error: the server has closed the connection in order. A subclass
        overrides it if that can be right.
        """
        self.end(self.hint("the server closed the connection"))

    def hint(self, problem: str) -> str:
        """
        Add to a message what the first bytes show about the server.
        """
        if self._asked and not self._beginning and not self._isSecure():
            return (
                f"{problem}, and nothing came; if the server speaks TLS, {ASK_WITH_TLS}"
            )
        other = otherServer(self._beginning)
        return f"{problem}: {other}" if other else problem

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        End the session with the connection.
        """
        if reason.check(ConnectionDone):
            self.closed()
        else:
            self.end(self.hint(whyLost(reason.value, self.transport).words))

    def _isSecure(self) -> bool:
        return bool(ISSLTransport.providedBy(self.transport))

    def _notInTime(self) -> None:
        self.end(self.hint(f"no answer within {self._timeout:g} s"))
