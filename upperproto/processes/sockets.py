"""
The listening sockets that several processes share.

The parent binds every socket and accepts nothing. It binds each TCP port once for each
worker (C{SO_REUSEPORT}, socket(7)), and the kernel gives each worker its part of the
connections. Other sockets are bound once, and all workers accept from them. The sockets
stay when a worker ends, and new connections to them wait until it is started again.
"""

from __future__ import annotations

import socket
from typing import Any, NoReturn

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from upperproto.datagrams.port import bindDatagrams, datagramAddress
from upperproto.datagrams.service import chooseAddress
from upperproto.ways.endpoints import addressName
from upperproto.ways.socketoptions import setConnectionOptions


class CannotShare(Exception):
    """
    An endpoint needs more than a listening socket, so workers cannot share it.
    """


class Workers(Factory):
    """
    The factory of the parent's ports, which accept nothing. The log names ports by it.
    """

    noisy = False

    def buildProtocol(self, address: object) -> NoReturn:
        """
        Refuse to serve a connection in the parent.
        """
        raise CannotShare


class SharedSockets:
    """
    Bind a socket for each worker, in place of the reactor, for endpoints that listen.

    The reactor binds the first socket. So an address that cannot be bound gives the
    same error with one process and with several.

    @ivar sockets: for each endpoint, the socket of each worker.
    """

    _log = Logger()

    def __init__(self, workers: int, reactor: Any) -> None:
        """
        @param workers: the number of workers.
        @param reactor: binds the sockets.
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
        # Not before the first socket is bound: another service of the same user may
        # have the port with SO_REUSEPORT, and must not share it with us.
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
        Bind a TCP port once for each worker. The workers speak TLS.
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
        Share a socket that was inherited.
        """
        port = self._reactor.adoptStreamPort(*arguments)
        self._take(port, self._workers)
        return port

    def listenUDP(self, udp: int | str, interface: str) -> str:
        """
        Bind a UDP port once for each worker, after all other sockets.

        @param udp: see C{port} of L{chooseAddress}.
        @param interface: see L{chooseAddress}.
        @return: the address, in the form that people write.
        """
        hosts = [port.getHost() for port in self._ports]
        host, number = chooseAddress(udp, hosts, interface)
        # At first without SO_REUSEPORT, as in listenTCP.
        first = bindDatagrams(host, number)
        self.sockets.append([first])
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, True)
        number = first.getsockname()[1]
        while len(self.sockets[-1]) < self._workers:
            self.sockets[-1].append(bindDatagrams(host, number, shared=True))
        return addressName(datagramAddress(first))

    def __getattr__(self, name: str) -> NoReturn:
        """
        Refuse everything else: it cannot be shared.
        """
        raise CannotShare

    def _take(self, port: Any, times: int = 1) -> list[socket.socket]:
        """
        Share the socket of a port, which accepts nothing in this process.
        """
        port.stopReading()
        setConnectionOptions(port.socket)
        self._ports.append(port)
        self.sockets.append([port.socket] * times)
        return self.sockets[-1]

    def close(self) -> Deferred[Any]:
        """
        Close the sockets of this process, now.

        @return: fires when the reactor's ports have stopped, and the UNIX sockets are
            removed from the file system.
        """
        stopping = [
            maybeDeferred(port.stopListening).addErrback(self._notStopped)
            for port in self._ports
        ]
        # Close them before the ports do it. A port would also shut down (shutdown(2))
        # its socket, which the workers still use.
        for each in {each for shared in self.sockets for each in shared}:
            each.close()
        self._ports, self.sockets = [], []
        return gatherResults(stopping)

    def _notStopped(self, failure: Any) -> None:
        # For example, somebody has removed the UNIX socket.
        self._log.warn("A port has not stopped in order: {error}", error=failure.value)
