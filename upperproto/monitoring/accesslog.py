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
from upperproto.monitoring.output.recordqueue import LogOutput
from upperproto.monitoring.reopensignal import ReopenSignal

# The log says how many lines are lost, but only once in so many seconds.
TELL_INTERVAL = 1.0

# The descriptor of standard output.
STANDARD_OUTPUT = 1


@implementer(IConnectionLog)
class AccessLog(ConnectionLog):
    """
    Write a line for each connection when it closes. Twisted's log then has no lines
    about opened and closed connections. Its other lines about a connection have the
    name that the connection has in the access log.

    The service never waits for this log: see
    L{upperproto.monitoring.output.recordqueue.LogOutput}. If the file was moved away,
    a new one is made, at SIGUSR1 or when the next line is written.
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
        @param reactor: handles SIGUSR1. Lines are written at the end of its iterations.
        @param lines: whether Twisted's log has the lines that clients send and get.
        @param isQuiet: whether Twisted's log has nothing about connections.
        """
        super().__init__(lines)
        self._target = target
        self._format = formatAccess
        self._isQuiet = isQuiet
        self._reactor = reactor
        self._signal = ReopenSignal(reactor, self.reopen)
        # The prefix makes names unique: other processes write, or have written, to the
        # same file.
        self._prefix, self._numbers = "", count(1)
        self._output: LogOutput | None = None
        self._lostBefore = self._lostTold = 0
        self._nextTelling = 0.0
        self._failure = ""

    @property
    def lost(self) -> int:
        """
        The number of lines that could not be written, since the service was made.
        """
        now = 0 if self._output is None else self._output.lost
        return self._lostBefore + now

    def start(self) -> None:
        """
        Open the file, unless it is open.

        @raise OSError: if it cannot be opened.
        """
        if self._output is None:
            self._prefix = os.urandom(4).hex()
            self._output = self._open()
            self._signal.start()

    def stop(self) -> None:
        """
        Write the lines that wait, as far as this is possible in time, and close the
        file.
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
        Make a new file if the old one was moved away. If that fails, go on with the old
        file.
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
                # Over TLS, undelivered bytes may be counted as bytes of records.
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
        Write the line of a connection that was refused before it was served.
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
        Log that a client has ended its TCP stream without the end of its TLS stream.
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
        Open the output for the file or the descriptor.

        @raise OSError: if it cannot be opened.
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
        Log that a new file was opened, or that this is not possible. Each reason is
        logged only once, until a new file is opened or asked for.
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
    # The log of the service reports losses.
    return b""


def networkPeer(transport: Any) -> IAddress:
    """
    Get the address that the system gives for the peer of a connection: the address of
    the client, or of a proxy between them.

    @param transport: the transport of the connection. It may have others below (TLS).
    """
    while (below := getattr(transport, "transport", None)) is not None:
        transport = below
    address: IAddress = transport.getPeer()
    return address
