"""
The real reactor, its ports and its transports on sockets without a kernel.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT
from typing import Any

from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Factory, Protocol

from tests.memory import Client, MemorySocket
from upperproto.reactor.epoll import UpperReactor
from upperproto.reactor.ports import TCPPort


class OneProtocolFactory(Factory):
    """
    A factory of one protocol, which is made already.
    """

    noisy = False

    def __init__(self, protocol: Any) -> None:
        """
        @param protocol: the protocol.
        """
        self._protocol = protocol

    def buildProtocol(self, addr: object) -> Any:
        """
        Give it.
        """
        return self._protocol


class MemoryListener:
    """
    A listening socket: as much of L{socket.socket} as a port uses.

    @ivar waiting: the connections that wait to be accepted.
    @ivar error: what keeps it from accepting; 0 for nothing.
    @ivar number: its descriptor.
    """

    def __init__(self, number: int) -> None:
        """
        @param number: a file descriptor.
        """
        self.number = number
        self.waiting: list[MemorySocket] = []
        self.error = 0

    def fileno(self) -> int:
        """
        Give its descriptor.
        """
        return self.number

    def bind(self, address: object) -> None:
        """
        Agree.
        """

    def listen(self, backlog: int) -> None:
        """
        Agree.
        """

    def getsockname(self) -> tuple[str, int]:
        """
        Give an address.
        """
        return "192.0.2.2", 5000

    def accept(self) -> tuple[MemorySocket, tuple[str, int]]:
        """
        Accept the connection that has waited longest.
        """
        if not self.waiting:
            raise BlockingIOError(errno.EWOULDBLOCK, "nobody waits")
        if self.error:
            raise OSError(self.error, "no")
        accepted = self.waiting.pop(0)
        return accepted, ("192.0.2.1", accepted.fileno())

    def shutdown(self, how: int) -> None:
        """
        Agree.
        """

    def close(self) -> None:
        """
        Agree.
        """


class MemoryPoller:
    """
    What L{select.epoll} would tell of sockets in memory.

    @ivar sockets: the sockets, by their descriptors.
    @ivar controls: the calls of C{epoll_ctl}.
    @ivar timeouts: for how long each call of C{epoll_wait} would have waited.
    """

    def __init__(self) -> None:
        """
        Begin with no socket.
        """
        self.sockets: dict[int, Any] = {}
        self.controls: list[str] = []
        self.timeouts: list[float] = []
        self._wanted: dict[int, int] = {}

    def register(self, number: int, events: int) -> None:
        """
        Tell of the events of a socket from now on.
        """
        assert number not in self._wanted
        self.controls.append("add")
        self._wanted[number] = events

    def modify(self, number: int, events: int) -> None:
        """
        Tell of other events of it.
        """
        assert number in self._wanted
        self.controls.append("modify")
        self._wanted[number] = events

    def unregister(self, number: int) -> None:
        """
        Tell of none of them.
        """
        self.controls.append("delete")
        del self._wanted[number]

    def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
        """
        Tell of the events that there are.
        """
        self.timeouts.append(timeout)
        # A connection that was closed is in the set of epoll(7) no more.
        events = [
            (number, self._event(self.sockets[number]) & (wanted | EPOLLHUP | EPOLLERR))
            for number, wanted in self._wanted.items()
        ]
        return [(number, event) for number, event in events if event][:most]

    def _event(self, socket: Any) -> int:
        if isinstance(socket, MemoryListener):
            return EPOLLIN if socket.waiting else 0
        event = 0
        if socket.inbound or socket.clientEnded or socket.cut:
            event |= EPOLLIN
        if len(socket.outbound) < socket.window or socket.cut:
            event |= EPOLLOUT
        if socket.cut or (socket.clientEnded and socket.ended):
            event |= EPOLLHUP
        return event


class MemoryPort(TCPPort):
    """
    A port of the reactor, on a socket in memory.
    """

    reactor: MemoryReactor
    socket: Any

    def createInternetSocket(self) -> Any:
        """
        Make the socket.
        """
        return self.reactor.newSocket(MemoryListener)

    def _readable(self) -> bool:
        return bool(self.socket.waiting)


class MemoryReactor(UpperReactor):
    """
    The reactor, whose connections are in memory, and whose time passes on demand.

    @ivar poller: what tells it of events.
    @ivar now: its time.
    """

    def __init__(self) -> None:
        """
        Begin with no connection.
        """
        super().__init__()
        self._poller.close()
        self._poller = self.poller = MemoryPoller()
        self.now = 0.0

    def installWaker(self) -> None:
        """
        Have none: there are no threads and no signals here.
        """

    def seconds(self) -> float:
        """
        Get the time.
        """
        return self.now

    def newSocket(self, make: Callable[[int], Any]) -> Any:
        """
        Make a socket that the reactor can poll.

        @param make: makes it, given its descriptor.
        """
        # A port of Twisted 24.3 sets flags of those that it accepts.
        number = os.open(os.devnull, os.O_RDONLY)
        self.poller.sockets[number] = made = make(number)
        return made

    def close(self) -> None:
        """
        Give the descriptors of the sockets back.
        """
        for number in self.poller.sockets:
            os.close(number)

    def listen(self, factory: IProtocolFactory) -> MemoryPort:
        """
        Make a port, and listen on it.
        """
        port = MemoryPort(5000, factory, reactor=self)
        port.startListening()
        return port

    def knock(self, port: MemoryPort, window: int = 65536) -> MemorySocket:
        """
        Let a connection wait to be accepted.

        @param port: where.
        @param window: how many bytes the kernels take before the client reads.
        """
        made: MemorySocket
        made = self.newSocket(lambda number: MemorySocket(number, window))
        port.socket.waiting.append(made)
        return made

    def connect(self, protocol: Protocol, window: int = 65536) -> Client:
        """
        Connect a client to a server, which has been asked nothing yet.

        @param protocol: the server's.
        @param window: how many bytes the kernels take before the client reads.
        @return: the client's end.
        """
        port = self.listen(OneProtocolFactory(protocol))
        socket = self.knock(port, window)
        self.iterate(0)
        port.stopListening()
        self.iterate(0)
        self.poller.controls.clear()
        self.poller.timeouts.clear()
        transport: Any = protocol.transport
        return Client(socket, protocol, transport)

    def iterateUntilIdle(self) -> None:
        """
        Let everything happen that can happen now.
        """
        for _ in range(10):
            self.iterate(0)
