"""
The ports that L{upperproto.reactor.epoll.UpperReactor} listens on.
"""

from __future__ import annotations

import os
import select
import socket
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.interfaces import IDelayedCall, IProtocolFactory
from twisted.python import log
from twisted.python.failure import Failure

from upperproto.reactor.transports import TCPServer, UNIXServer

# For how many seconds a port that cannot accept is left alone.
ACCEPT_AGAIN = 0.1

# How many connections are accepted in one iteration. A client that is cut off keeps its
# descriptor until the next iteration: these must fit into what
# L{upperproto.limits.descriptors} leaves to spare.
ACCEPTS = 32


class TCPPort(tcp.Port):
    """
    A TCP port that accepts a bounded number of connections in one iteration. What
    Twisted does for each of them takes a tenth of the time of a short one.

    It waits a little after an accept that failed for want of descriptors or memory:
    the connection stays in the queue, so that the reactor would call again at once, and
    the same error would be logged, for as long as the shortage lasts.
    """

    transport = TCPServer

    # An UpperReactor.
    reactor: Any

    _again: IDelayedCall | None = None
    # Tells whether connections wait.
    _poll: select.poll | None = None

    @property
    def protocol(self) -> IProtocolFactory | None:
        """
        What the reactor asks whether it has a use for a log context, as it asks the
        protocol of a transport.
        """
        return self.factory

    def doRead(self) -> None:
        """
        Accept the connections that wait.
        """
        try:
            for _ in range(ACCEPTS):
                try:
                    accepted, address = self.socket.accept()
                except BlockingIOError:
                    return
                except OSError:
                    self._cannotAccept()
                    return
                self._begin(accepted, address)
                if not self._readable():
                    # To accept in vain takes 7 us, and to ask takes a half.
                    return
        except BaseException:
            # As in Twisted: the port goes on.
            log.err()

    def _begin(self, accepted: socket.socket, address: Any) -> None:
        """
        Let a connection begin, as Twisted does.
        """
        if isinstance(address, tuple) and len(address) == 4 and address[3]:
            # A link-local address of IPv6 names its interface.
            numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
            address = (socket.getnameinfo(address, numeric)[0], *address[1:])
        assert self.factory is not None
        protocol = self.factory.buildProtocol(self._buildAddr(address))
        if protocol is None:
            accepted.close()
            return
        number = self.sessionno
        self.sessionno = number + 1
        protocol.makeConnection(
            self.transport(accepted, protocol, address, self, number, self.reactor)
        )

    def _cannotAccept(self) -> None:
        """
        Let Twisted meet the error, too: it says so in the log, and where there are no
        more descriptors, it uses one that it has spared to close what waits.
        """
        made = self.sessionno
        self.numberAccepts = 1
        super().doRead()
        if self.sessionno == made and self._readable():
            self.stopReading()
            self._again = self.reactor.callLater(ACCEPT_AGAIN, self.startReading)

    def loseConnection(self, *arguments: Any) -> Any:
        """
        Refuse new connections.

        @return: fires when they are refused.
        """
        self._poll = None
        if self._again is not None and self._again.active():
            self._again.cancel()
        return super().loseConnection(*arguments)

    stopListening = loseConnection

    def _readable(self) -> bool:
        """
        Whether a connection waits.
        """
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self.fileno(), select.POLLIN)
        return bool(self._poll.poll(0))


class UNIXPort(unix.Port, TCPPort):
    """
    A UNIX port that accepts as a L{TCPPort} does.
    """

    transport = UNIXServer


class InheritedUNIXPort(UNIXPort):
    """
    A UNIX socket that was bound by whoever started this process.

    Twisted's own port takes it for its own: it makes it open to everybody, with
    a backlog of 50, and at the end it shuts it down and removes it, although
    others may listen on it now and later.

    C{_shouldShutdown} is what keeps a TCP port of Twisted's from doing so, and
    C{_getLogPrefix} names the factory in the log (seen in 24.3 to 26.10);
    C{tests.reactor.test_ports} would notice their end.
    """

    _shouldShutdown = False

    def __init__(
        self, descriptor: int, factory: IProtocolFactory, reactor: Any
    ) -> None:
        """
        @param descriptor: the listening socket.
        @param factory: what serves the connections.
        @param reactor: what accepts them.
        """
        self.socket = socket.fromfd(descriptor, socket.AF_UNIX, socket.SOCK_STREAM)
        super().__init__(self.socket.getsockname(), factory, reactor=reactor)

    def startListening(self) -> None:
        """
        Accept connections.
        """
        assert self.factory is not None
        prefix, host = self._getLogPrefix(self.factory), self.getHost()
        log.msg(f"{prefix} starting on {os.fsdecode(host.name)!r}")
        self.factory.doStart()
        # What a port of Twisted's does when it has its socket.
        self.fileno = self.socket.fileno  # type: ignore[method-assign]
        self.connected = True
        self.numberAccepts = ACCEPTS
        self.startReading()

    def connectionLost(self, reason: Failure) -> None:
        """
        Close this process's copy of the socket.
        """
        tcp.Port.connectionLost(self, reason)
