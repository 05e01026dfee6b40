"""
What the two ways to talk have in common: one connection, from when it can be
spoken on until it has ended.
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
from upperproto.command.errors import (
    ASK_WITH_TLS,
    TLS_ALERT,
    SessionError,
    otherServer,
    whyLost,
)
from upperproto.command.talk.verification import Verifier

# The first bytes of an answer tell what kind of server it is.
_BEGINNING = 16


class Session(Protocol):
    """
    Take what somebody says to a server.

    @ivar done: fires when the session has ended as it should; fails with
        L{SessionError} when it has not.
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
        @param reactor: what tells the time.
        @param output: what writes to standard output.
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
        Send something.
        """
        self._asked = True
        if self._verifier is not None:
            self._verifier.ask(data)
        self.transport.write(data)

    def dataReceived(self, data: bytes) -> None:
        """
        Recognise a server of another kind, and pass on what comes from all others.
        """
        if len(self._beginning) < _BEGINNING:
            self._beginning += data[:_BEGINNING]
            if self._beginning.startswith(TLS_ALERT) and not self._isSecure():
                self.end(otherServer(self._beginning))
        if not self.done.called:
            self.received(data)

    def received(self, data: bytes) -> None:
        """
        Receive a part of the answers. To be overridden.
        """

    def verify(self, answers: bytes) -> None:
        """
        Check answers, if that was asked for, and end at the first fault.

        @param answers: a chunk of them, without notices.
        """
        problem = "" if self._verifier is None else self._verifier.answer(answers)
        if problem:
            self.end(problem)

    def write(self, output: bytes) -> None:
        """
        Write to standard output, unless the session has ended.

        @param output: what.
        """
        if self.done.called:
            return
        try:
            self._output(output)
        except BrokenPipeError:
            # Whoever read it has had enough, as C{head} has.
            self.end()
        except OSError as error:
            self.end(f"cannot write standard output: {error.strerror}")

    def end(self, problem: str = "") -> None:
        """
        End the session. Only the first end counts.

        @param problem: what is wrong, if something is.
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
        Wait for an answer as long as one may take, from now on.

        @param waiting: whether one is waited for at all.
        """
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        if waiting and self._timeout is not None and not self.done.called:
            self._timer = self._reactor.callLater(self._timeout, self._notInTime)

    def closed(self) -> None:
        """
        End with the connection, which the server has closed as it should. To be
        overridden where that is no fault.
        """
        self.end(self.hint("the server closed the connection"))

    def hint(self, problem: str) -> str:
        """
        Add what the beginning of the answers lets one guess of the server.
        """
        if self._asked and not self._beginning and not self._isSecure():
            return (
                f"{problem}, and nothing came; if the server speaks TLS, {ASK_WITH_TLS}"
            )
        other = otherServer(self._beginning)
        return f"{problem}: {other}" if other else problem

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        End with the connection.
        """
        if reason.check(ConnectionDone):
            self.closed()
        else:
            self.end(self.hint(whyLost(reason.value, self.transport).words))

    def _isSecure(self) -> bool:
        return bool(ISSLTransport.providedBy(self.transport))

    def _notInTime(self) -> None:
        self.end(self.hint(f"no answer within {self._timeout:g} s"))
