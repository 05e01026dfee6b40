"""
Inherited sockets: the process that started this one has bound them, such as systemd.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.defer import Deferred, execute
from twisted.internet.interfaces import IProtocolFactory, IStreamServerEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from upperproto.interfaces import IUNIXAdoption
from upperproto.ways import systemd

FAMILIES = {
    "INET": socket.AF_INET,
    "INET6": socket.AF_INET6,
    "UNIX": socket.AF_UNIX,
}


def checkSocket(descriptor: int) -> socket.AddressFamily:
    """
    Check that a descriptor is a listening stream socket.

    @return: its family.
    @raise ValueError: if it is not.
    """
    try:
        inherited = socket.socket(fileno=descriptor)
    except OSError as error:
        # For example, two endpoints have the same index.
        raise ValueError(f"descriptor {descriptor} is no socket any more") from error
    try:
        if inherited.type != socket.SOCK_STREAM:
            raise ValueError("the socket is not a stream")
        if not inherited.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise ValueError(
                "the socket does not listen (with Accept=yes, systemd hands over"
                " connections)"
            )
        return socket.AddressFamily(inherited.family)
    finally:
        inherited.detach()


def release(descriptor: int) -> None:
    """
    Close an inherited socket. Its port has a copy.

    The number of the descriptor stays in use. Otherwise the next file would get it, and
    code that knows the number would take that file for the socket.
    """
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), descriptor, inheritable=False)


@implementer(IStreamServerEndpoint)
class InheritedEndpoint:
    """
    Listen on a socket of systemd. The constructor checks it.
    """

    def __init__(
        self,
        reactor: Any,
        domain: str,
        index: str | None = None,
        name: str | None = None,
    ) -> None:
        """
        @param reactor: adopts the socket.
        @param domain: its family: C{INET}, C{INET6} or C{UNIX}.
        @param index: its place among the sockets of systemd, from 0 on.
        @param name: its name, in place of the index.
        @raise ValueError: if there is no such socket, or it does not listen.
        """
        if domain not in FAMILIES:
            raise ValueError(f"the domain is one of {', '.join(FAMILIES)}")
        self._reactor = reactor
        self._descriptor = systemd.findSocket(index, name)
        self._family = FAMILIES[domain]
        family = checkSocket(self._descriptor)
        if family != self._family:
            raise ValueError(f"the domain of the socket is {family.name[3:]}")

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """
        Adopt the socket.
        """
        return execute(self._listen, protocolFactory)

    def _listen(self, factory: IProtocolFactory) -> Any:
        checkSocket(self._descriptor)
        os.set_blocking(self._descriptor, False)
        port = self._reactor.adoptStreamPort(self._descriptor, self._family, factory)
        release(self._descriptor)
        return port


class _SharedSocket(socket.socket):
    """
    A listening socket that other processes may use, too.
    """

    def shutdown(self, how: int) -> None:
        """
        Do nothing: it would stop the other processes from accepting.
        """


class InheritedUNIXPort(unix.Port):
    """
    Accept from an inherited UNIX socket, on reactors that are not L{IUNIXAdoption}.

    Twisted's own port changes the socket: it gives everybody access, and sets a backlog
    of 50. At the end it shuts the socket down and removes its path, although other
    processes may listen on it now or later.
    """

    def __init__(
        self, descriptor: int, factory: IProtocolFactory, reactor: Any
    ) -> None:
        """
        @param descriptor: the listening socket.
        @param factory: serves the connections.
        @param reactor: accepts them.
        """
        self.socket = _SharedSocket(fileno=os.dup(descriptor))
        super().__init__(self.socket.getsockname(), factory, reactor=reactor)

    def startListening(self) -> None:
        """
        Accept connections.
        """
        assert self.factory is not None
        self.factory.doStart()
        # As tcp.Port does when it has its socket. At its end, it deletes both of them.
        self.fileno = self.socket.fileno  # type: ignore[method-assign]
        self.connected = True
        self.numberAccepts = 100
        self.startReading()

    def connectionLost(self, reason: Failure) -> None:
        """
        Close this process's copy of the socket.
        """
        tcp.Port.connectionLost(self, reason)


@implementer(IUNIXAdoption)
class Inheriting:
    """
    Take the place of the reactor for endpoints that listen: use the inherited sockets,
    if there are any.
    """

    def __init__(self, reactor: Any, descriptors: Iterable[int] = ()) -> None:
        """
        @param reactor: the reactor.
        @param descriptors: listening sockets, one for each endpoint; none if the
            endpoints make their own.
        """
        self._reactor = reactor
        self._descriptors = iter(descriptors)
        # It is called for each chunk, and __getattr__ is slow.
        self.seconds = reactor.seconds

    def __getattr__(self, name: str) -> Any:
        """
        Get everything else from the reactor.
        """
        return getattr(self._reactor, name)

    def listenTCP(self, port: Any, factory: IProtocolFactory, **options: Any) -> Any:
        """
        Take the next socket, or listen as the reactor does.
        """
        inherited = next(self._descriptors, None)
        if inherited is not None:
            return self._take(inherited, factory)
        return self._reactor.listenTCP(port, factory, **options)

    def listenUNIX(self, path: Any, factory: IProtocolFactory, **options: Any) -> Any:
        """
        Take the next socket, or listen as the reactor does.
        """
        inherited = next(self._descriptors, None)
        if inherited is not None:
            return self._take(inherited, factory)
        return self._reactor.listenUNIX(path, factory, **options)

    def adoptStreamPort(
        self, descriptor: int, family: int, factory: IProtocolFactory
    ) -> Any:
        """
        Take the next socket, or the one that the endpoint has.
        """
        inherited = next(self._descriptors, None)
        if inherited is not None:
            return self._take(inherited, factory)
        return self._adopt(descriptor, factory)

    def inheritDatagrams(self) -> socket.socket | None:
        """
        Take the socket for datagrams, which is the last, if there is one.
        """
        inherited = next(self._descriptors, None)
        if inherited is None:
            return None
        datagrams = socket.socket(fileno=os.dup(inherited))
        release(inherited)
        return datagrams

    def _take(self, descriptor: int, factory: IProtocolFactory) -> Any:
        port = self._adopt(descriptor, factory)
        release(descriptor)
        return port

    def _adopt(self, descriptor: int, factory: IProtocolFactory) -> Any:
        family = checkSocket(descriptor)
        os.set_blocking(descriptor, False)
        if family != socket.AF_UNIX or IUNIXAdoption.providedBy(self._reactor):
            return self._reactor.adoptStreamPort(descriptor, family, factory)
        port = InheritedUNIXPort(descriptor, factory, self._reactor)
        port.startListening()
        return port
