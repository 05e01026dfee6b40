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
from upperproto.monitoring.output.fileoutput import (
    NamedFileOutput,
    isFile,
    openFile,
    outputTo,
)
from upperproto.monitoring.output.logoutput import LogOutput
from upperproto.monitoring.reopensignal import ReopenSignal

# How often, in seconds, the log says, at most, how many lines are lost.
TELL_INTERVAL = 1.0

# Its descriptor.
STANDARD_OUTPUT = 1


@implementer(IConnectionLog)
class AccessLog(ConnectionLog):
    """
    Write a line for each connection when it closes, in place of what Twisted's log
    says of it. What else is logged of a connection carries the name that it has in
    this line.

    The service is never held up: see
    L{upperproto.monitoring.output.logoutput.LogOutput}. A file that was moved away is
    made anew, at SIGUSR1 or when the next line is written.
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
        @param reactor: what is woken by SIGUSR1, and at the end of whose iterations
            lines are written.
        @param lines: whether Twisted's log has what is said.
        @param isQuiet: whether Twisted's log has nothing of a connection.
        """
        super().__init__(lines)
        self._target = target
        self._format = formatAccess
        self._isQuiet = isQuiet
        self._reactor = reactor
        self._signal = ReopenSignal(reactor, self.reopen)
        # Other processes write to the same file, and others have written before.
        self._prefix, self._numbers = "", count(1)
        self._output: LogOutput | None = None
        self._lostBefore = self._lostTold = 0
        self._nextTelling = 0.0
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
            self._output = self._open()
            self._signal.start()

    def stop(self) -> None:
        """
        Write what waits, as far as somebody takes it in time, and close the file.
        """
        if self._output is not None:
            self._signal.stop()
            self._output.close()
            self._lostBefore += self._output.lost
            self._output = None
            self._nextTelling = 0.0
            self._tellLoss()

    def reopen(self) -> None:
        """
        Open the file anew if it was moved away. Where that cannot be done, go on with
        the old one.
        """
        self._failure = ""
        if isinstance(self._output, NamedFileOutput):
            self._output.reopen()

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
        output.write(self._format(access).encode(), False)
        self._tellLoss()

    def _open(self) -> LogOutput:
        """
        Open what is written to.

        @raise OSError: where that cannot be done.
        """
        target = self._target
        if isinstance(target, int):
            return outputTo(target, _tellNothing, self._reactor)
        descriptor = openFile(target)
        try:
            if isFile(descriptor):
                return NamedFileOutput(
                    target,
                    descriptor,
                    _tellNothing,
                    self._reactor,
                    lambda why: self._reactor.callFromThread(self._tellReopened, why),
                )
            return LogOutput(descriptor, _tellNothing, self._reactor, isOwn=True)
        except BaseException:
            os.close(descriptor)
            raise

    def _tellReopened(self, why: str) -> None:
        """
        Say that the file was opened anew; or, once for each time and each reason, that
        it cannot be.
        """
        if not why:
            self._failure = ""
            self._log.info("The access log {path} was opened anew", path=self._target)
        elif why != self._failure:
            self._failure = why
            self._log.error(
                "The access log {path} cannot be opened anew: {why}; going on with"
                " the old file",
                path=self._target,
                why=why,
            )

    def _tellLoss(self) -> None:
        lost = self.lost
        if lost != self._lostTold and monotonic() >= self._nextTelling:
            self._nextTelling = monotonic() + TELL_INTERVAL
            self._log.warn(
                "{number} lines of the access log are lost: they could not be written"
                " ({lost} altogether)",
                number=lost - self._lostTold,
                lost=lost,
            )
            self._lostTold = lost


def _tellNothing(lost: int) -> bytes:
    # The log of the service tells of losses.
    return b""


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
