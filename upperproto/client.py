"""
UpperClient: the client for programs, a protocol of Twisted.
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

from upperproto.answercheck import NOTICE, firstDifference
from upperproto.lineblocks import BlockReceiver

# How many bytes a notice may have at most.
_NOTICE_MOST = 16384


class UpperError(Exception):
    """
    The server answered with an error. The message is the server's.
    """


class WrongAnswer(UpperError):
    """
    The answer of the server is not the upper case of the text.

    @ivar text: the text.
    @ivar answer: the answer that came.
    @ivar index: the first character of the answer that is wrong or missing.
    """

    def __init__(self, text: str, answer: str, index: int) -> None:
        """
        @param text: the text.
        @param answer: the answer that came.
        @param index: the first character of the answer that is wrong or missing.
        """
        self.text, self.answer, self.index = text, answer, index
        expected = text.upper()
        if index == len(answer):
            # A server that gives up within a line ends the line first. Its error
            # begins on the next line.
            message = f"{index} of {len(expected)} characters were answered"
        else:
            due = repr(expected[index]) if index < len(expected) else "the end"
            message = f"{answer[index]!r} came at character {index + 1}, not {due}"
        super().__init__(message)

    def __reduce__(self) -> tuple[type[WrongAnswer], tuple[str, str, int]]:
        """
        Copy and pickle it by its arguments, not by its message.
        """
        return type(self), (self.text, self.answer, self.index)


class TooLong(UpperError):
    """
    The server sent a line that is longer than any answer to the text.
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

    Many requests may wait at the same time. The answers come in the order of the
    requests, and each is compared with the upper case of its text. If you have many
    texts, wait for L{whenReady} before each request.

    The service can answer any text. So an error line, such as C{error: too many
    connections}, is the last line before it closes. The request that waits for the next
    answer fails with it. When the connection has ended, all other requests fail with an
    L{UpperError} of the same message, which says more than C{ConnectionDone}. Each
    request that fails has an exception of its own.
    """

    transport: ITransport

    delimiter = b"\n"

    # The error line that came last, and the reason why the connection ended.
    _lastWord: UpperError | None = None
    _gone: BaseException | None = None

    _connected = False

    def __init__(self, maxWaiting: int = 1 << 20) -> None:
        """
        Begin without a request.

        @param maxWaiting: how many bytes of text may wait for their answers before
            L{whenReady} makes the next request wait.
        """
        self.maxWaiting = maxWaiting
        self.waitingBytes = 0
        self._requests: deque[_Request] = deque()
        self._held: deque[Deferred[None]] = deque()

    def connectionMade(self) -> None:
        """
        Begin. Nagle's algorithm is off: a small request does not wait until the one
        before it is acknowledged.
        """
        self._connected = True
        self._boundLength()
        # A UNIX socket has no such option. In Twisted 24.3 its transport still has
        # the method.
        noDelay = getattr(self.transport, "setTcpNoDelay", None)
        if noDelay is not None:
            with suppress(OSError):
                noDelay(True)

    def upper(self, text: str) -> Deferred[str]:
        """
        Ask for the upper case of a text.

        If you cancel the result, the request is still sent, and its answer is dropped.

        @param text: one line of any length, without its line end.
        @return: fires with the upper case. It fails with L{UpperError} if the server
            answers with an error; with its subclass L{WrongAnswer} if the answer is
            wrong or only a part; with L{UnicodeDecodeError} if the answer is not UTF-8;
            or with the reason why the connection ended.
        @raise ValueError: if the text has a line end; its subclass
            L{UnicodeEncodeError} if the text has lone surrogates, which UTF-8 does not
            have.
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
        Wait until less than C{maxWaiting} bytes of text wait for their answers. That
        limits the memory of both sides.

        @return: fires when the next request may be made, in the order of the calls. It
            also fires when the connection ends: after that, a request fails at once.
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
        Receive a notice, such as C{server: name=a}, or an error that no request failed
        with. Override it to use them; by default they are ignored.

        @param kind: the word before the colon.
        @param text: the text after the colon.
        """

    def unaskedReceived(self, line: bytes) -> None:
        """
        Receive a line that no request has asked for. Override it to use such lines; by
        default they are ignored.

        @param line: the line, without its end.
        """

    def blockReceived(self, block: bytes) -> None:
        """
        Give each answer to its request.
        """
        for line in block[:-1].split(b"\n"):
            self._lineReceived(line)
        self._release()

    def lineLengthExceeded(self, line: bytes) -> None:
        """
        Close the connection: no answer is as long as this line.
        """
        self._lastWord = TooLong(f"{len(line)} bytes came without a line end")
        transport = self.transport
        getattr(transport, "abortConnection", transport.loseConnection)()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Fail all requests that have no answer.
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
        Fire the results of L{whenReady}, one by one: each may make a request.
        """
        while self._held and self._hasRoom():
            self._held.popleft().callback(None)

    def _whyGone(self) -> BaseException:
        """
        Make the exception of one request after the connection has ended.
        """
        why = self._gone if self._lastWord is None else self._lastWord
        assert why is not None
        return copy(why)

    def _boundLength(self) -> None:
        """
        Limit the length of the next line.
        """
        asked = self._requests[0].size if self._requests else 0
        # An upper case has at most three times as many bytes as its text.
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
        Tell whether a line that looks like a notice is an echo of the text.
        """
        return bool(self._requests) and line == self._requests[0].text.encode()

    def _nextRequest(self) -> _Request:
        """
        Remove the request that the next answer is for.
        """
        request = self._requests.popleft()
        self.waitingBytes -= request.size
        self._boundLength()
        return request
