"""
Sockets that were bound by whoever started this process, such as systemd.
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
    Make sure that a descriptor is a socket that connections can be accepted from.

    @return: its family.
    @raise ValueError: if it is not.
    """
    try:
        inherited = socket.socket(fileno=descriptor)
    except OSError as error:
        # Two endpoints may have been told to take the same one, for example.
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
    Close an inherited socket that has been adopted, which duplicates it.

    Its number stays taken: others know of it, and would find another file there.

    @param descriptor: the socket's.
    """
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), descriptor, inheritable=False)


@implementer(IStreamServerEndpoint)
class InheritedEndpoint:
    """
    Listen on a socket that was handed over by systemd, which is checked at once.
    """

    def __init__(
        self,
        reactor: Any,
        domain: str,
        index: str | None = None,
        name: str | None = None,
    ) -> None:
        """
        @param reactor: what adopts the socket.
        @param domain: its family: C{INET}, C{INET6} or C{UNIX}.
        @param index: its place among those that were handed over, from 0 on.
        @param name: its name, in place of the index.
        @raise ValueError: if there is no such socket, or it is of no use.
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
    A listening socket on which other processes may listen, too.
    """

    def shutdown(self, how: int) -> None:
        """
        Go on: it would be the end for all of them.
        """


class InheritedUNIXPort(unix.Port):
    """
    Accept from a UNIX socket that was inherited, on reactors that cannot.

    Twisted's own port takes it for its own: it makes it open to everybody, with
    a backlog of 50, and at the end it shuts it down and removes it, although
    others may listen on it now and later.
    """

    def __init__(
        self, descriptor: int, factory: IProtocolFactory, reactor: Any
    ) -> None:
        """
        @param descriptor: the listening socket.
        @param factory: what serves the connections.
        @param reactor: what accepts them.
        """
        self.socket = _SharedSocket(fileno=os.dup(descriptor))
        super().__init__(self.socket.getsockname(), factory, reactor=reactor)

    def startListening(self) -> None:
        """
        Accept connections.
        """
        assert self.factory is not None
        self.factory.doStart()
        # What a port of Twisted's does when it has its socket; it deletes both names
        # at its end.
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
    Stands in for the reactor where endpoints listen: they take the sockets that
    this process has inherited, if there are any for them.
    """

    def __init__(self, reactor: Any, descriptors: Iterable[int] = ()) -> None:
        """
        @param reactor: what it stands in for.
        @param descriptors: listening sockets, one for each endpoint; none if
            the endpoints are to make their own.
        """
        self._reactor = reactor
        self._descriptors = iter(descriptors)
        # It is asked for the time with each chunk.
        self.seconds = reactor.seconds

    def __getattr__(self, name: str) -> Any:
        """
        All else is the reactor's own.
        """
        return getattr(self._reactor, name)

    def listenTCP(self, port: Any, factory: IProtocolFactory, **options: Any) -> Any:
        """
        Take the next socket, or listen as the reactor does.
        """
        for descriptor in self._descriptors:
            return self._take(descriptor, factory)
        return self._reactor.listenTCP(port, factory, **options)

    def listenUNIX(self, path: Any, factory: IProtocolFactory, **options: Any) -> Any:
        """
        Take the next socket, or listen as the reactor does.
        """
        for descriptor in self._descriptors:
            return self._take(descriptor, factory)
        return self._reactor.listenUNIX(path, factory, **options)

    def adoptStreamPort(
        self, descriptor: int, family: int, factory: IProtocolFactory
    ) -> Any:
        """
        Take the next socket, or the one that the endpoint knows of.
        """
        for each in self._descriptors:
            return self._take(each, factory)
        return self._adopt(descriptor, factory)

    def inheritDatagrams(self) -> socket.socket | None:
        """
        Take the next socket, if there is one: that of datagrams.
        """
        for descriptor in self._descriptors:
            inherited = socket.socket(fileno=os.dup(descriptor))
            release(descriptor)
            return inherited
        return None

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
