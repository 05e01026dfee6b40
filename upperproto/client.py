"""
A conversation from the other side: the client for programs.
"""

from __future__ import annotations

import sys
from collections import deque

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import ITransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from upperproto.lineblocks import BlockReceiver

# How an error begins; no answer can, because none holds a lower-case ASCII letter.
ERROR = b"error: "


class UpperError(Exception):
    """
    The server has answered with an error. The message is its reason.
    """


class UpperClient(BlockReceiver):
    """
    Ask an upper-case service for the upper case of texts.

    Any number of requests may be under way: the answers come in their order.

    The service answers any text. So an error line is its last word before it
    closes, such as C{error: too many connections}. It fails the request that is
    waiting for the next answer; when the connection goes, those behind it and
    all later ones fail with the same L{UpperError}, which says more than the
    C{ConnectionDone} with which they would fail otherwise.
    """

    transport: ITransport

    delimiter = b"\n"
    # An answer is as long as its text makes it.
    MAX_LENGTH = sys.maxsize

    # Why the next request fails, once that is known.
    _lastWord: UpperError | None = None
    _gone: Failure | None = None

    def __init__(self) -> None:
        """
        Begin with nothing asked.
        """
        # For each request how many characters its answer has, and what waits.
        self._waiting: deque[tuple[int, Deferred[str]]] = deque()

    def upper(self, text: str) -> Deferred[str]:
        """
        Ask for the upper case of a text.

        To cancel the result only means not to wait: the answer is dropped when
        it comes.

        @param text: one line of any length, without its line end.
        @return: fires with the upper case. It fails with L{UpperError}, where
            the server answers with an error or with a part only; with
            L{UnicodeDecodeError}, where the answer is not UTF-8; or with the
            reason why the connection went.
        @raise ValueError: if the text holds a line end, or as
            L{UnicodeEncodeError} if it holds lone surrogates, which UTF-8 does
            not have.
        """
        if "\n" in text:
            raise ValueError(f"a line end at index {text.index(chr(10))} of the text")
        line = text.encode("utf-8") + b"\n"
        if self._gone is not None:
            return fail(self._gone)
        answered: Deferred[str] = Deferred()
        self._waiting.append((len(text.upper()), answered))
        self.transport.write(line)
        return answered

    def blockReceived(self, block: bytes) -> None:
        """
        Hand answers to those who asked.
        """
        for line in block[:-1].split(b"\n"):
            self._answer(line)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Fail what has not been answered.
        """
        self._gone = reason if self._lastWord is None else Failure(self._lastWord)
        while self._waiting:
            _, answered = self._waiting.popleft()
            answered.errback(self._gone)

    def _answer(self, line: bytes) -> None:
        """
        Hand one line to who asked first; drop it if nobody did.
        """
        error = None
        if line.startswith(ERROR):
            error = UpperError(line.removeprefix(ERROR).decode("utf-8", "replace"))
        self._lastWord = error
        if not self._waiting:
            return
        length, answered = self._waiting.popleft()
        if error is not None:
            answered.errback(error)
            return
        try:
            answer = line.decode("utf-8")
        except UnicodeDecodeError:
            answered.errback()
            return
        if len(answer) < length:
            # A server that gives up within a line ends it first, so that its
            # error begins on a line of its own.
            short = f"{len(answer)} of {length} characters were answered"
            answered.errback(UpperError(short))
        else:
            answered.callback(answer)
