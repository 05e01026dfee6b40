"""
The access log: a line for each connection when it closes.
"""

from __future__ import annotations

import os
from itertools import count
from time import monotonic, time
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.logger import Logger
from zope.interface import implementer

from upperproto.interfaces import IConnectionLog, IServedConnection
from upperproto.monitoring.accessformats import Access, AccessFormat
from upperproto.monitoring.connectionlog import ConnectionLog
from upperproto.monitoring.logoutput import LogOutput
from upperproto.monitoring.reopensignal import ReopenSignal

# How often, in seconds, a line has it looked whether the file was moved away; and how
# often the log says, at most, how many lines are lost.
CHECK_INTERVAL = 1.0

# Its descriptor.
STANDARD_OUTPUT = 1

# Who was served is nothing for everybody to read.
_MODE = 0o640


@implementer(IConnectionLog)
class AccessLog(ConnectionLog):
    """
    Write a line for each connection when it closes, in place of what Twisted's log
    says of it. What else is logged of a connection carries the name that it has in
    this line.

    The service is never held up: see L{LogOutput}. A file that was moved away is made
    anew, at SIGUSR1 or when the next line is written.
    """

    _log = Logger()

    def __init__(
        self,
        target: str | int,
        formatAccess: AccessFormat,
        reactor: Any,
        lines: bool = False,
        isQuiet: bool = False,
    ) -> None:
        """
        @param target: the path of a file, to which lines are appended, or a descriptor.
        @param formatAccess: makes lines.
        @param reactor: what is woken by SIGUSR1.
        @param lines: whether Twisted's log has what is said.
        @param isQuiet: whether Twisted's log has nothing of a connection.
        """
        super().__init__(lines)
        self._target = target
        self._format = formatAccess
        self._isQuiet = isQuiet
        self._signal = ReopenSignal(reactor, self.reopen)
        # Other processes write to the same file, and others have written before.
        self._prefix, self._numbers = "", count(1)
        self._output: LogOutput | None = None
        self._descriptor = -1
        self._lostBefore = self._lostTold = 0
        self._nextCheck = self._nextTelling = 0.0
        self._failure = ""

    @property
    def lost(self) -> int:
        """
        How many lines could not be written, since the service was made.
        """
        now = 0 if self._output is None else self._output.lost
        return self._lostBefore + now

    def start(self) -> None:
        """
        Open the file, unless this was done.

        @raise OSError: where that cannot be done.
        """
        if self._output is None:
            self._prefix = os.urandom(4).hex()
            self._open()
            self._signal.start()

    def stop(self) -> None:
        """
        Write what waits, as far as somebody takes it in time, and close the file.
        """
        if self._output is not None:
            self._signal.stop()
            self._close(self._output, self._descriptor, wait=True)
            self._output = None
            self._nextTelling = 0.0
            self._tellLoss()

    def reopen(self) -> None:
        """
        Open the file anew if it was moved away. Where that cannot be done, go on with
        the old one.
        """
        self._failure = ""
        if self._output is not None:
            self._follow(self._output)

    def opened(self, connection: IServedConnection) -> None:
        """
        Give a connection its name.
        """
        connection.connectionID = self._newID()
        connection.mark = f"[{connection.connectionID}] "

    def closed(
        self, connection: IServedConnection, seconds: float, why: str, refused: bool
    ) -> None:
        """
        Write the line of a connection.
        """
        undelivered = connection.undeliveredBytes
        self._write(
            Access(
                connection.connectionID,
                time(),
                seconds,
                connection.peer,
                networkPeer(connection.transport),
                connection.tlsVersion,
                connection.identity,
                connection.receivedBytes,
                # Over TLS, what was undelivered may be counted in bytes of records.
                max(0, connection.answeredBytes - undelivered),
                undelivered,
                connection.invalidLines,
                refused,
                why,
            )
        )

    def refused(
        self, peer: IAddress, why: str, transport: object, seconds: float
    ) -> None:
        """
        Write the line of a connection that was closed before a conversation began.
        """
        network = peer if transport is None else networkPeer(transport)
        name = self._newID()
        self._write(
            Access(
                *(name, time(), seconds, peer, network, "", "", 0, 0, 0, 0, True, why)
            )
        )

    def truncated(self, connection: IServedConnection) -> None:
        """
        Log that a client has ended its TCP stream, but not its TLS one.
        """
        if not self._isQuiet:
            super().truncated(connection)

    def _newID(self) -> str:
        return f"{self._prefix}-{next(self._numbers)}"

    def _write(self, access: Access) -> None:
        output = self._output
        if output is None:
            # Nobody has started it.
            self._lostBefore += 1
            self._tellLoss()
            return
        now = monotonic()
        if now >= self._nextCheck:
            self._nextCheck = now + CHECK_INTERVAL
            output = self._follow(output)
        output.write(self._format(access).encode())
        self._tellLoss()

    def _open(self) -> LogOutput:
        """
        Open the file.

        @raise OSError: where that cannot be done. Then all is as before.
        """
        target = self._target
        # A pipe without a reader is an error, and so it is not waited for.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY
        descriptor = (
            target if isinstance(target, int) else os.open(target, flags, _MODE)
        )
        try:
            output = LogOutput(descriptor, lambda lost: b"")
        except BaseException:
            self._closeDescriptor(descriptor)
            raise
        self._output, self._descriptor = output, descriptor
        return output

    def _close(self, output: LogOutput, descriptor: int, wait: bool) -> None:
        output.close(wait)
        self._lostBefore += output.lost
        self._closeDescriptor(descriptor)

    def _closeDescriptor(self, descriptor: int) -> None:
        # One that was handed in is somebody else's.
        if not isinstance(self._target, int):
            os.close(descriptor)

    def _follow(self, output: LogOutput) -> LogOutput:
        """
        Open the file anew if it was moved away.

        @return: what is written to from now on.
        """
        if isinstance(self._target, int):
            return output
        descriptor = self._descriptor
        try:
            there = os.stat(self._target)
            ours = os.fstat(descriptor)
            if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
                return output
        except FileNotFoundError:
            pass
        except OSError as error:
            return self._goOn(output, error)
        try:
            new = self._open()
        except OSError as error:
            return self._goOn(output, error)
        self._failure = ""
        # Nobody waits for a file; a pipe that is stuck is not worth it.
        self._close(output, descriptor, wait=False)
        self._log.info("The access log {path} was opened anew", path=self._target)
        return new

    def _goOn(self, output: LogOutput, error: OSError) -> LogOutput:
        """
        Say, once for each time and each reason, that the file cannot be opened anew.
        """
        why = error.strerror or str(error)
        if why != self._failure:
            self._failure = why
            self._log.error(
                "The access log {path} cannot be opened anew: {why}; going on with"
                " the old file",
                path=self._target,
                why=why,
            )
        return output

    def _tellLoss(self) -> None:
        lost = self.lost
        if lost != self._lostTold and monotonic() >= self._nextTelling:
            self._nextTelling = monotonic() + CHECK_INTERVAL
            self._log.warn(
                "{number} lines of the access log are lost: they could not be written"
                " ({lost} altogether)",
                number=lost - self._lostTold,
                lost=lost,
            )
            self._lostTold = lost


def networkPeer(transport: Any) -> IAddress:
    """
    Say where a connection comes from, as the system has it: the client, or a proxy that
    speaks for it.

    @param transport: the connection's, perhaps on top of others (TLS).
    """
    while (below := getattr(transport, "transport", None)) is not None:
        transport = below
    address: IAddress = transport.getPeer()
    return address
