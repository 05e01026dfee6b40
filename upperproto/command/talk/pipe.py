"""
C{upper-client} as a filter: standard input goes to the server as it is, and its
answers to standard output as they come.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from upperproto.command import standardio as stdio
from upperproto.command.talk.completeness import AnswerTracker
from upperproto.command.talk.progress import Progress
from upperproto.command.talk.session import Session

# As much as Twisted sends in one call, where a file has it. A pipe gives at most
# the 64 KiB that it holds, a terminal one line.
CHUNK = FileDescriptor.SEND_LIMIT


class StandardInput(FileDescriptor):
    """
    Read standard input, whatever it is, as a producer for a transport.

    Twisted polls what epoll(7) refuses, such as a file, by itself.
    """

    def __init__(
        self,
        received: Callable[[bytes], None],
        ended: Callable[[Failure], None],
        reactor: Any,
    ) -> None:
        """
        @param received: is called with each chunk.
        @param ended: is called once at the end of input, with C{ConnectionDone},
            or with the L{OSError} of a read that failed.
        @param reactor: what waits for input.
        """
        super().__init__(reactor)
        self.connected = 1
        self._received = received
        self._ended = ended

    def fileno(self) -> int:
        """
        The descriptor to wait for.
        """
        return stdio.STDIN

    def doRead(self) -> Exception | None:
        """
        Read what is there.

        @return: what ends the input, if it has ended.
        """
        try:
            data = os.read(stdio.STDIN, CHUNK)
        except BlockingIOError:
            # Somebody else had set O_NONBLOCK, and somebody took the input.
            return None
        except OSError as error:
            return error
        if not data:
            return CONNECTION_DONE
        self._received(data)
        return None

    def connectionLost(self, reason: Failure) -> None:
        """
        Pass the end of input on.
        """
        super().connectionLost(reason)
        self._ended(reason)

    def stopProducing(self) -> None:
        """
        Read no more: nobody wants the input any longer.
        """
        self.stopReading()


class Filter(Session):
    """
    A session without a person.
    """

    _inputHasEnded = False

    def __init__(
        self, reactor: Any, progress: Progress | None = None, **more: Any
    ) -> None:
        """
        @param reactor: what waits for input and tells the time.
        @param progress: shows how far it is.
        @param more: for L{Session}.
        """
        super().__init__(reactor, **more)
        self._tracker = AnswerTracker()
        self._progress = progress
        self._input = StandardInput(self.inputReceived, self.inputEnded, reactor)

    def connectionMade(self) -> None:
        """
        Read input as fast as the server takes it.
        """
        self.transport.registerProducer(self._input, True)
        self._input.startReading()

    def inputReceived(self, data: bytes) -> None:
        """
        Send a chunk.

        @param data: one byte at least.
        """
        self._tracker.ask(data)
        self.send(data)
        if self._timer is None:
            self.expect(True)
        if self._progress is not None:
            self._progress.sent(len(data))

    def inputEnded(self, reason: Failure) -> None:
        """
        Send what is left, and end our side: now the server answers the rest.

        @param reason: L{twisted.internet.error.ConnectionDone} at the end of input, or
            the L{OSError} that ended it.
        """
        if isinstance(reason.value, OSError):
            self.end(f"cannot read standard input: {reason.value.strerror}")
        self._inputHasEnded = True
        if self._verifier is not None:
            self._verifier.ask(b"", final=True)
        self.transport.unregisterProducer()
        # Now the end is waited for, if nothing else is.
        self.expect(True)
        self.transport.loseWriteConnection()

    def received(self, data: bytes) -> None:
        """
        Write answers. Until they are out, nothing more is received.
        """
        answers = self._tracker.answer(data)
        self._pass(answers)
        if self._progress is not None:
            self._progress.received(len(answers))
        self.expect(self._inputHasEnded or self._tracker.waits())

    def _pass(self, answers: bytes) -> None:
        if answers:
            self.write(answers)
            self.verify(answers)

    def verify(self, answers: bytes) -> None:
        """
        An error is no answer, either, although it comes among them.
        """
        problem = "" if self._verifier is None else self._verifier.answer(answers)
        if problem and self._verifier is not None and self._tracker.scanner.errors:
            error = self._tracker.scanner.error.decode("utf-8", "backslashreplace")
            problem = f"an error line at byte {self._verifier.offset + 1}: {error}"
        if problem:
            self.end(problem)

    def end(self, problem: str = "") -> None:
        """
        Read no more input.
        """
        self._input.stopReading()
        super().end(problem)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Write what may still have been a notice.
        """
        self._pass(self._tracker.end())
        super().connectionLost(reason)

    def closed(self) -> None:
        """
        End: well, if everything has been answered.
        """
        if not self._inputHasEnded:
            gone = "the server closed the connection before the end of input"
            self.end(self.hint(gone))
            return
        problem = self._tracker.problem()
        if not problem and self._verifier is not None:
            problem = self._verifier.end()
        self.end(self.hint(problem) if problem else "")
