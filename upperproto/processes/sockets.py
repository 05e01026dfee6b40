"""
The listening sockets that several processes share.

The parent binds every socket and accepts nothing. Each TCP port is bound once
for each worker (C{SO_REUSEPORT}, socket(7)), so that the kernel shares the
connections out; other sockets are bound once and accepted from by all. The
sockets outlive the workers: while one is started again, its connections wait.
"""

from __future__ import annotations

import socket
from typing import Any, NoReturn

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from upperproto.datagrams.listener import chooseAddress
from upperproto.datagrams.port import bindDatagrams, datagramAddress
from upperproto.ways.endpoints import addressName, setConnectionOptions


class CannotShare(Exception):
    """
    An endpoint wants more than sockets that listen.
    """


class Workers(Factory):
    """
    Stands where a port of the parent has its factory: the workers serve. The log
    names a port by it.
    """

    noisy = False

    def buildProtocol(self, address: object) -> NoReturn:
        """
        Refuse what would serve in the parent.
        """
        raise CannotShare


class SharedSockets:
    """
    Stands in for the reactor where endpoints listen: binds what they would, for
    each worker.

    Each socket is bound by the reactor first, so that whatever one process
    refuses, several refuse with the same words.

    @ivar sockets: for each endpoint, the socket of each worker.
    """

    _log = Logger()

    def __init__(self, workers: int, reactor: Any) -> None:
        """
        @param workers: how many there are.
        @param reactor: what binds the sockets.
        """
        self.sockets: list[list[socket.socket]] = []
        self._workers = workers
        self._reactor = reactor
        self._ports: list[Any] = []

    def listenTCP(
        self, port: int, factory: object, backlog: int = 50, interface: str = ""
    ) -> Any:
        """
        Bind a TCP port once for each worker.
        """
        first = self._reactor.listenTCP(
            port, factory, backlog=backlog, interface=interface
        )
        shared = self._take(first)
        # Only now: another service of the same user could have the port with
        # SO_REUSEPORT, and the first of ours must not share it.
        shared[0].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, True)
        while len(shared) < self._workers:
            another = socket.socket(shared[0].family, socket.SOCK_STREAM)
            shared.append(another)
            another.setblocking(False)
            another.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, True)
            another.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, True)
            another.bind(shared[0].getsockname())
            another.listen(backlog)
            setConnectionOptions(another)
        return first

    def listenSSL(
        self, port: int, factory: object, contextFactory: object, **options: Any
    ) -> Any:
        """
        Bind a TCP port once for each worker; TLS is theirs.
        """
        return self.listenTCP(port, factory, **options)

    def listenUNIX(self, *arguments: Any, **options: Any) -> Any:
        """
        Bind a UNIX socket once.
        """
        port = self._reactor.listenUNIX(*arguments, **options)
        self._take(port, self._workers)
        return port

    def adoptStreamPort(self, *arguments: Any) -> Any:
        """
        Take a socket that was inherited.
        """
        port = self._reactor.adoptStreamPort(*arguments)
        self._take(port, self._workers)
        return port

    def listenUDP(self, udp: int | str, interface: str) -> str:
        """
        Bind a UDP port once for each worker, after all else.

        @param udp: which, as L{chooseAddress} has it.
        @param interface: likewise.
        @return: the address, as people write it.
        """
        hosts = [port.getHost() for port in self._ports]
        host, number = chooseAddress(udp, hosts, interface)
        # Alone first: another service of the same user could share the port.
        first = bindDatagrams(host, number)
        self.sockets.append([first])
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, True)
        number = first.getsockname()[1]
        while len(self.sockets[-1]) < self._workers:
            self.sockets[-1].append(bindDatagrams(host, number, shared=True))
        return addressName(datagramAddress(first))

    def __getattr__(self, name: str) -> NoReturn:
        """
        All else cannot be shared.
        """
        raise CannotShare

    def _take(self, port: Any, times: int = 1) -> list[socket.socket]:
        """
        Accept nothing from a port, and share its socket.
        """
        port.stopReading()
        setConnectionOptions(port.socket)
        self._ports.append(port)
        self.sockets.append([port.socket] * times)
        return self.sockets[-1]

    def close(self) -> Deferred[Any]:
        """
        Close this process's copies, now.

        @return: fires when the ports of the reactor have stopped, too, and the UNIX
            sockets that were bound are gone from the file system.
        """
        stopping = [
            maybeDeferred(port.stopListening).addErrback(self._notStopped)
            for port in self._ports
        ]
        # Before the ports do it, which would shut down (shutdown(2)) what is not
        # theirs alone.
        for each in {each for shared in self.sockets for each in shared}:
            each.close()
        self._ports, self.sockets = [], []
        return gatherResults(stopping)

    def _notStopped(self, failure: Any) -> None:
        # Somebody has removed the UNIX socket, for example.
        self._log.warn("A port has not stopped in order: {error}", error=failure.value)
