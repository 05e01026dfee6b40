"""
What the two ways to use C{upper-client} have in common: one connection, from
when it can be spoken on until it has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IDelayedCall,
    IHandshakeListener,
    ISSLTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from zope.interface import implementer

from upperproto.command import standardio as stdio
from upperproto.command.errors import whyLost

# How long, in seconds, a TLS handshake may take: as long as Twisted lets a
# connection take to be made. A server that speaks no TLS may wait for ever.
HANDSHAKE = 30


class BadEnd(Exception):
    """
    A conversation has not ended as it should. The message says why, in one line.
    """


@implementer(IHandshakeListener)
class Conversation(Protocol):
    """
    Take standard input to a server.

    @ivar done: fires when the conversation has ended as it should; fails with
        L{BadEnd} when it has not.
    """

    # What the endpoints give us; TLS wraps it and forwards the rest.
    transport: Connection

    _handshake: IDelayedCall | None = None

    def __init__(
        self, reactor: Any, output: Callable[[bytes], None] = stdio.write
    ) -> None:
        """
        @param reactor: what waits for input and tells the time.
        @param output: what writes to standard output.
        """
        self.done: Deferred[None] = Deferred()
        self._reactor = reactor
        self._output = output
        self._input = stdio.StandardInput(self.inputReceived, self.inputEnded, reactor)

    def begin(self) -> None:
        """
        Speak: the server is there and, over TLS, is who it should be.
        """
        self._input.startReading()

    def inputReceived(self, data: bytes) -> None:
        """
        Receive a chunk of input. To be overridden.

        @param data: one byte at least.
        """

    def inputEnded(self, reason: Failure) -> None:
        """
        Go on without input. To be extended.

        @param reason: L{ConnectionDone} at the end of input, or the L{OSError}
            that ended it.
        """
        if isinstance(reason.value, OSError):
            self.end(f"cannot read standard input: {reason.value.strerror}")

    def write(self, output: bytes) -> None:
        """
        Write to standard output, unless the conversation has ended.

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
        End the conversation. Only the first end counts.

        @param problem: what is wrong, if something is.
        """
        if self.done.called:
            return
        self._input.stopReading()
        if problem:
            self.done.errback(BadEnd(problem))
        else:
            self.done.callback(None)

    def connectionMade(self) -> None:
        """
        Begin, unless there is a handshake first.
        """
        if ISSLTransport.providedBy(self.transport):
            self._handshake = self._reactor.callLater(HANDSHAKE, self._notInTime)
        else:
            self.begin()

    def handshakeCompleted(self) -> None:
        """
        Begin: the TLS handshake has succeeded.
        """
        # Twisted 24.3 tells so even where the name was found to be wrong; then
        # it has already given the connection up.
        if not self.transport.disconnecting:
            self._cancelHandshake()
            self.begin()

    def closed(self) -> None:
        """
        End with the connection, which the server has closed as it should. To be
        overridden where that is no fault.
        """
        self.end("the server closed the connection")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        End with the connection.
        """
        handshake = self._handshake is not None
        self._cancelHandshake()
        if reason.check(ConnectionDone) and not handshake:
            self.closed()
        else:
            self.end(whyLost(reason.value, self.transport, handshake))

    def _notInTime(self) -> None:
        self._handshake = None
        self.end(f"no TLS handshake within {HANDSHAKE} s: does the server speak TLS?")

    def _cancelHandshake(self) -> None:
        if self._handshake is not None:
            self._handshake.cancel()
            self._handshake = None
