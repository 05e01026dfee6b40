"""
C{upper-client} as a filter: send standard input to the server, and write its answers
to standard output.
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

# How many bytes to read in one call: as many as Twisted sends in one. A pipe gives at
# most the 64 KiB that it holds, a terminal one line.
CHUNK = FileDescriptor.SEND_LIMIT


class StandardInput(FileDescriptor):
    """
    Read standard input, of any kind, as a producer for a transport.

    epoll(7) refuses a file. Twisted then reads it without waiting.
    """

    def __init__(
        self,
        received: Callable[[bytes], None],
        ended: Callable[[Failure], None],
        reactor: Any,
    ) -> None:
        """
        @param received: is called with each chunk.
        @param ended: is called once, with C{ConnectionDone} at the end of input, or
            with the L{OSError} of a read that failed.
        @param reactor: waits for input.
        """
        super().__init__(reactor)
        self.connected = 1
        self._received = received
        self._ended = ended

    def fileno(self) -> int:
        """
        Get the descriptor to wait for.
        """
        return stdio.STDIN

    def doRead(self) -> Exception | None:
        """
        Read a chunk.

        @return: L{None}, or why the input has ended.
        """
        try:
            data = os.read(stdio.STDIN, CHUNK)
        except BlockingIOError:
            # Another process has set O_NONBLOCK, and one has read the input first.
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
        Read no more: the connection has ended.
        """
        self.stopReading()


class Filter(Session):
    """
    A session that reads standard input and writes standard output.
    """

    _inputHasEnded = False

    def __init__(
        self, reactor: Any, progress: Progress | None = None, **more: Any
    ) -> None:
        """
        @param reactor: waits for input and tells the time.
        @param progress: shows the progress, if the user wants that.
        @param more: more arguments of L{Session}.
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
        Send a chunk of standard input.

        @param data: at least one byte.
        """
        self._tracker.ask(data)
        self.send(data)
        if self._timer is None:
            self.expect(True)
        if self._progress is not None:
            self._progress.sent(len(data))

    def inputEnded(self, reason: Failure) -> None:
        """
        End our side of the connection. The server still answers the rest.

        @param reason: L{twisted.internet.error.ConnectionDone} at the end of input, or
            the L{OSError} that ended it.
        """
        if isinstance(reason.value, OSError):
            self.end(f"cannot read standard input: {reason.value.strerror}")
        self._inputHasEnded = True
        if self._verifier is not None:
            self._verifier.ask(b"", final=True)
        self.transport.unregisterProducer()
        # Wait at least for the end of the connection.
        self.expect(True)
        self.transport.loseWriteConnection()

    def received(self, data: bytes) -> None:
        """
        Write answers to standard output. Nothing is received until they are written.
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
        Check answers. An error line among them ends the session, too.
        """
        if self._verifier is None:
            return
        problem = self._verifier.answer(answers)
        if problem and self._tracker.scanner.errors:
            error = self._tracker.scanner.error.decode("utf-8", "backslashreplace")
            problem = f"an error line at byte {self._verifier.offset + 1}: {error}"
        if problem:
            self.end(problem)

    def end(self, problem: str = "") -> None:
        """
        End the session, and read no more input.
        """
        self._input.stopReading()
        super().end(problem)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Write what was kept back because it could become a notice.
        """
        self._pass(self._tracker.end())
        super().connectionLost(reason)

    def closed(self) -> None:
        """
        End the session: well, if all text was answered, else with an error.
        """
        if not self._inputHasEnded:
            gone = "the server closed the connection before the end of input"
            self.end(self.hint(gone))
            return
        problem = self._tracker.problem()
        if not problem and self._verifier is not None:
            problem = self._verifier.end()
        self.end(self.hint(problem) if problem else "")
