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

# A port that cannot accept is not tried again for so many seconds.
ACCEPT_AGAIN = 0.1

# The largest number of connections that one iteration accepts. A client that is cut off
# keeps its descriptor until the next iteration, so this number must fit into the spare
# descriptors that L{upperproto.limits.descriptorlimit} leaves.
ACCEPTS = 32


class ListeningSocket(socket.socket):
    """
    A listening socket that does not block, and keeps its family and its type.

    C{socket.accept} asks for both each time, and each time the standard library makes
    enums of them. That takes a twentieth of the time of a short connection.
    """

    family = socket.AF_UNSPEC
    type = socket.SOCK_STREAM

    def __init__(self, original: socket.socket) -> None:
        """
        @param original: a socket. It is of no use any more.
        """
        family, kind, protocol = original.family, original.type, original.proto
        super().__init__(family, kind, protocol, original.detach())
        self.setblocking(False)
        self.family, self.type = family, kind


class TCPPort(tcp.Port):
    """
    A TCP port that accepts a limited number of connections in one iteration. The steps
    of Twisted that it leaves out take a tenth of the time of a short connection.

    An accept fails when the process has no more descriptors or memory. Then the port
    waits a little before the next try. The connection stays in the queue, so without
    this wait the reactor would call the port again at once, and log the same error
    again and again until the shortage ends.
    """

    transport = TCPServer

    # An UpperReactor.
    reactor: Any

    _again: IDelayedCall | None = None
    # Shows whether connections wait.
    _poll: select.poll | None = None

    @property
    def protocol(self) -> IProtocolFactory | None:
        """
        The reactor asks this, to learn whether it needs a log context, as it asks the
        protocol of a transport.
        """
        return self.factory

    def createInternetSocket(self) -> socket.socket:
        """
        Create the socket to listen on.
        """
        return ListeningSocket(super().createInternetSocket())

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
                    # An accept that finds no connection takes 7 us, and this question
                    # takes 0.5 us.
                    return
        except BaseException:
            # The port goes on, as a port of Twisted does.
            log.err()

    def _begin(self, accepted: socket.socket, address: Any) -> None:
        """
        Make the protocol and the transport of a new connection, as Twisted does.
        """
        if isinstance(address, tuple) and len(address) == 4 and address[3]:
            # This adds the name of the interface to a link-local address of IPv6.
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
        Let Twisted try to accept, too, so that it handles the error. It logs the error.
        If there are no more descriptors, it uses its spare one to close the connections
        that wait.
        """
        made = self.sessionno
        self.numberAccepts = 1
        super().doRead()
        if self.sessionno == made and self._readable():
            self.stopReading()
            self._again = self.reactor.callLater(ACCEPT_AGAIN, self.startReading)

    def loseConnection(self, *arguments: Any) -> Any:
        """
        Stop listening: refuse new connections.

        @return: fires when the port is closed.
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
    A port on a UNIX socket that this process inherits: its parent has bound it.

    Twisted's own UNIX port treats such a socket as its own. It gives everybody access,
    sets the backlog to 50, and at the end it shuts the socket down and removes it.
    But other processes may listen on the same socket, now and later.

    C{_shouldShutdown} stops a TCP port of Twisted from shutting the socket down, and
    C{_getLogPrefix} names the factory in the log. Both are private, and the same from
    Twisted 24.3 to 26.10; C{tests.reactor.test_ports} fails if they go away.
    """

    _shouldShutdown = False

    def __init__(
        self, descriptor: int, factory: IProtocolFactory, reactor: Any
    ) -> None:
        """
        @param descriptor: the listening socket.
        @param factory: serves the connections.
        @param reactor: tells the port when to accept them.
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
        # A port of Twisted does the same when it has its socket.
        self.fileno = self.socket.fileno  # type: ignore[method-assign]
        self.connected = True
        self.numberAccepts = ACCEPTS
        self.startReading()

    def connectionLost(self, reason: Failure) -> None:
        """
        Close this process's copy of the socket.
        """
        tcp.Port.connectionLost(self, reason)
