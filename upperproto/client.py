"""
A conversation from the other side: the client for programs.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from copy import copy
from typing import NamedTuple

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import ITransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from upperproto.expected import NOTICE, firstDifference
from upperproto.lineblocks import BlockReceiver

# How many bytes a notice may have.
_NOTICE_MOST = 16384


class UpperError(Exception):
    """
    The server has answered with an error. The message is its reason.
    """


class WrongAnswer(UpperError):
    """
    The server has answered with something else than the upper case of the text.

    @ivar text: what was asked.
    @ivar answer: what came.
    @ivar index: the first character of the answer that is wrong or missing.
    """

    def __init__(self, text: str, answer: str, index: int) -> None:
        """
        @param text: what was asked.
        @param answer: what came.
        @param index: the first character of the answer that is wrong or missing.
        """
        self.text, self.answer, self.index = text, answer, index
        expected = text.upper()
        if index == len(answer):
            # A server that gives up within a line ends it first, so that its
            # error begins on a line of its own.
            message = f"{index} of {len(expected)} characters were answered"
        else:
            due = repr(expected[index]) if index < len(expected) else "the end"
            message = f"{answer[index]!r} came at character {index + 1}, not {due}"
        super().__init__(message)

    def __reduce__(self) -> tuple[type[WrongAnswer], tuple[str, str, int]]:
        """
        Be copied by what it was made of.
        """
        return type(self), (self.text, self.answer, self.index)


class TooLong(UpperError):
    """
    The server sends a line that is longer than any answer to what was asked.
    """


class _Request(NamedTuple):
    """
    A text that waits for its answer.
    """

    text: str
    size: int
    answered: Deferred[str]


class UpperClient(BlockReceiver):
    """
    Ask an upper-case service for the upper case of texts.

    Any number of requests may be under way: the answers come in their order, and
    each is compared with the upper case of its text. Whoever has many asks for
    L{whenReady} before each.

    The service answers any text. So an error line is its last word before it
    closes, such as C{error: too many connections}. It fails the request that is
    waiting for the next answer; when the connection goes, those behind it and
    all later ones fail with an L{UpperError} of the same message, which says more
    than the C{ConnectionDone} with which they would fail otherwise. Each request
    that fails has an exception of its own.
    """

    transport: ITransport

    delimiter = b"\n"

    # Why the next request fails, once that is known.
    _lastWord: UpperError | None = None
    _gone: BaseException | None = None

    _connected = False

    def __init__(self, maxWaiting: int = 1 << 20) -> None:
        """
        Begin with nothing asked.

        @param maxWaiting: how many bytes of text may wait for their answers before
            L{whenReady} holds the next request back.
        """
        self.maxWaiting = maxWaiting
        self.waitingBytes = 0
        self._requests: deque[_Request] = deque()
        self._held: deque[Deferred[None]] = deque()

    def connectionMade(self) -> None:
        """
        Begin. A small request does not wait for the acknowledgement of the one
        before it (Nagle's algorithm).
        """
        self._connected = True
        self._boundLength()
        # A UNIX socket has none, though Twisted 24.3 gives its transport the method.
        noDelay = getattr(self.transport, "setTcpNoDelay", None)
        if noDelay is not None:
            with suppress(OSError):
                noDelay(True)

    def upper(self, text: str) -> Deferred[str]:
        """
        Ask for the upper case of a text.

        To cancel the result only means not to wait: the answer is dropped when
        it comes.

        @param text: one line of any length, without its line end.
        @return: fires with the upper case. It fails with L{UpperError}, where
            the server answers with an error; with L{WrongAnswer}, which is one,
            where it answers something else or a part only; with
            L{UnicodeDecodeError}, where the answer is not UTF-8; or with the
            reason why the connection went.
        @raise ValueError: if the text holds a line end, or as
            L{UnicodeEncodeError} if it holds lone surrogates, which UTF-8 does
            not have.
        @raise RuntimeError: before the connection is made.
        """
        if "\n" in text:
            raise ValueError(f"a line end at index {text.index(chr(10))} of the text")
        line = text.encode("utf-8") + b"\n"
        self._requireConnection("upper()")
        if self._gone is not None:
            return fail(self._whyGone())
        self.transport.write(line)
        answered: Deferred[str] = Deferred()
        self._requests.append(_Request(text, len(line), answered))
        self.waitingBytes += len(line)
        self._boundLength()
        return answered

    def whenReady(self) -> Deferred[None]:
        """
        Wait until another request may be made: less than C{maxWaiting} bytes of
        text wait for their answers. That bounds the memory of both sides.

        @return: fires then, in the order of the calls; and when the connection
            goes, because then a request fails at once.
        @raise RuntimeError: before the connection is made.
        """
        self._requireConnection("whenReady()")
        if self._hasRoom() and not self._held:
            return succeed(None)
        held: Deferred[None] = Deferred()
        self._held.append(held)
        return held

    def noticeReceived(self, kind: str, text: str) -> None:
        """
        Receive a notice, such as C{server: name=a}, or an error that no request has
        failed with. To be overridden; by default it is skipped.

        @param kind: the word before its colon.
        @param text: what follows.
        """

    def unaskedReceived(self, line: bytes) -> None:
        """
        Receive a line that nobody has asked for. To be overridden; by default it is
        dropped.

        @param line: it, without its end.
        """

    def blockReceived(self, block: bytes) -> None:
        """
        Hand answers to those who asked.
        """
        for line in block[:-1].split(b"\n"):
            self._lineReceived(line)
        self._release()

    def lineLengthExceeded(self, line: bytes) -> None:
        """
        Give a server up that sends what can be no answer.
        """
        self._lastWord = TooLong(f"{len(line)} bytes came without a line end")
        transport = self.transport
        getattr(transport, "abortConnection", transport.loseConnection)()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Fail what has not been answered.
        """
        self._gone = reason.value
        self.waitingBytes = 0
        while self._requests:
            self._requests.popleft().answered.errback(self._whyGone())
        self._release()

    def _requireConnection(self, call: str) -> None:
        if not self._connected:
            raise RuntimeError(f"{call} before the connection was made")

    def _hasRoom(self) -> bool:
        return self._gone is not None or self.waitingBytes < self.maxWaiting

    def _release(self) -> None:
        """
        Let those go on who wait, one by one: each may make a request.
        """
        while self._held and self._hasRoom():
            self._held.popleft().callback(None)

    def _whyGone(self) -> BaseException:
        """
        Make an exception for one request.
        """
        why = self._gone if self._lastWord is None else self._lastWord
        assert why is not None
        return copy(why)

    def _boundLength(self) -> None:
        """
        Bound what may come before the next line end.
        """
        asked = self._requests[0].size if self._requests else 0
        # No upper case is more than three times as long, in bytes, as its text.
        self.MAX_LENGTH = _NOTICE_MOST + 3 * asked

    def _lineReceived(self, line: bytes) -> None:
        """
        Take an answer or a notice.
        """
        notice = NOTICE.match(line)
        if notice is not None and not self._isEcho(line):
            kind = notice[1].decode("ascii")
            text = line[notice.end() :].decode("utf-8", "replace")
            if kind == "error":
                self._lastWord = UpperError(text)
                if self._requests:
                    self._nextRequest().answered.errback(UpperError(text))
                    return
            self.noticeReceived(kind, text)
            return
        self._lastWord = None
        if not self._requests:
            self.unaskedReceived(line)
            return
        request = self._nextRequest()
        try:
            answer = line.decode("utf-8")
        except UnicodeDecodeError as error:
            request.answered.errback(error)
            return
        index = firstDifference(request.text, answer)
        if index is None:
            request.answered.callback(answer)
        else:
            request.answered.errback(WrongAnswer(request.text, answer, index))

    def _isEcho(self, line: bytes) -> bool:
        """
        Whether a line is no notice, but what was asked.
        """
        return bool(self._requests) and line == self._requests[0].text.encode()

    def _nextRequest(self) -> _Request:
        """
        Take the request whose turn it is to be answered.
        """
        request = self._requests.popleft()
        self.waitingBytes -= request.size
        self._boundLength()
        return request
