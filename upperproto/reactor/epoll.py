"""
A reactor on epoll(7) that makes fewer system calls for each answer.

A round trip takes six system calls with C{EPollReactor}. Here it takes three: one waits
for the request, one reads it, and one sends the answer (see
L{upperproto.reactor.transports}). A connection that asks once and closes takes 12
calls in place of 18, because it is read in the iteration that accepts it. (C{strace -c}
counted all these.)

The answers of an iteration are sent together, at its end, or after an event that takes
long. A client that waits for its answer sleeps, and most of the cost of a short send is
to wake that client. When the sends follow each other closely, the next client, or the
next core, is awake already. With 100 connections this makes 1.3 times as many round
trips.

The reactor uses these private parts of C{EPollReactor}. They are the same from Twisted
24.3 to 26.10, and the tests of C{tests.reactor.test_epoll} fail if they go away:

  - C{_poller} gives the events, C{_selectables} maps descriptors to transports, and
    C{_reads} has the descriptors that are read;
  - C{_doReadOrWrite} handles any event, and C{_disconnectSelectable} ends a connection
    with the reason that C{doRead} or C{doWrite} returned.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from select import EPOLLIN, EPOLLOUT
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import UnsupportedAddressFamily
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.main import installReactor
from twisted.python import log
from twisted.python.threadable import isInIOThread
from zope.interface import implementer

from upperproto.interfaces import IIterationEnd, IUNIXAdoption
from upperproto.reactor.clock import MonotonicClock
from upperproto.reactor.ports import (
    InheritedUNIXPort,
    ListeningSocket,
    TCPPort,
    UNIXPort,
)
from upperproto.reactor.readsize import LARGEST_READ
from upperproto.reactor.transports import TCPServer


@implementer(IUNIXAdoption, IIterationEnd)
class UpperReactor(MonotonicClock, EPollReactor):
    """
    A reactor that waits for events, handles them, and then sends what was written.

    @ivar writeAfterEvents: makes the reactor call C{doWrite} of a transport after the
        events of this iteration, or before the next iteration waits for events. The
        reactor calls it only if the transport is still C{queued} then.
    @ivar isLate: whether an event of this iteration has taken long, so that others have
        waited.
    """

    def __init__(self) -> None:
        """
        Make a reactor without connections.
        """
        self.isLate = False
        # The events of this iteration, and the descriptors of those that were handled
        # before their turn. (A new connection may have such a descriptor by now.)
        self._events: list[tuple[int, int]] = []
        self._handled: set[int] = set()
        # The calls to make at its end, unless the reactor waits for events.
        self._ending: list[Callable[[], object]] = []
        self._waiting = True
        # The transports that send at its end.
        self._writing: deque[TCPServer] = deque()
        self.writeAfterEvents: Callable[[TCPServer], object] = self._writing.append
        # After the process frees a block of this size once, the C library keeps the
        # memory of a large read for the next read (mallopt(3)). Then a read of a few
        # bytes into a buffer of 256 KiB takes 6 us, and otherwise 35 us.
        bytes(4 * LARGEST_READ)
        super().__init__()

    def listenTCP(
        self,
        port: Any,
        factory: IProtocolFactory,
        backlog: int = 50,
        interface: str = "",
    ) -> TCPPort:
        """
        Listen on a TCP port: see C{IReactorTCP}.
        """
        listening = TCPPort(port, factory, backlog, interface, self)
        listening.startListening()
        return listening

    def listenUNIX(
        self,
        address: Any,
        factory: IProtocolFactory,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: int = 0,
    ) -> UNIXPort:
        """
        Listen on a UNIX socket: see C{IReactorUNIX}.
        """
        listening = UNIXPort(address, factory, backlog, mode, self, wantPID)
        listening.startListening()
        return listening

    def adoptStreamPort(
        self, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory
    ) -> TCPPort:
        """
        Listen on a socket that listens already: see C{IReactorSocket}.
        """
        listening: TCPPort
        if addressFamily == socket.AF_UNIX:
            listening = InheritedUNIXPort(fileDescriptor, factory, self)
        elif addressFamily in (socket.AF_INET, socket.AF_INET6):
            # Twisted 24.3 to 26.10 has no other way to make a port from a socket, and
            # keeps that socket here until it listens.
            listening = TCPPort._fromListeningDescriptor(
                self, fileDescriptor, addressFamily, factory
            )
            adopted = listening._preexistingSocket
            assert adopted is not None
            listening._preexistingSocket = ListeningSocket(adopted)
        else:
            raise UnsupportedAddressFamily(addressFamily)
        listening.startListening()
        return listening

    def readAfterEvents(self, transport: TCPServer) -> None:
        """
        Read a new connection in this iteration, after its events, unless it is paused
        or closed then.
        """
        self._events.append((transport.fileno(), EPOLLIN))

    def callAtEnd(self, call: Callable[[], object]) -> bool:
        """
        Call something at the end of this iteration: see L{IIterationEnd}.
        """
        if self._waiting or not isInIOThread():
            return False
        if call not in self._ending:
            self._ending.append(call)
        return True

    def doPoll(self, timeout: float | None) -> None:
        """
        Wait for events, and handle them.

        @param timeout: for how many seconds to wait at most; by default, for ever.
        """
        if self._writing:
            # Timers have written this.
            self._finishEvents()
            # The send may have called code that set a timer or stopped the reactor.
            timeout = 0
        # In this order: a signal handler may call callAtEnd at any time.
        self._waiting = True
        if self._ending:
            self._end()
        self._events = self._poller.poll(
            -1 if timeout is None else timeout, len(self._selectables)
        )
        self._waiting = False
        handle, handled = self._handle, self._handled
        handled.clear()
        # The loop also handles the events that readAfterEvents appends meanwhile.
        for descriptor, event in self._events:
            if descriptor not in handled:
                handle(descriptor, event)
                if self.isLate:
                    self._catchUp()
        self._finishEvents()

    doIteration = doPoll

    def getWriters(self) -> list[Any]:
        """
        Get all transports that wait to send.
        """
        return [*super().getWriters(), *self._queued()]

    def removeAll(self) -> list[Any]:
        """
        Stop reading and sending for all transports.

        @return: the transports that were read from or sent to.
        """
        queued = self._queued()
        self._writing.clear()
        return list({*super().removeAll(), *queued})

    def _queued(self) -> set[TCPServer]:
        return {transport for transport in self._writing if transport.queued}

    def _end(self) -> None:
        while self._ending:
            try:
                self._ending.pop()()
            except BaseException:
                log.err()

    def _handle(self, descriptor: int, event: int) -> None:
        """
        Handle an event, unless an earlier one has closed or paused its transport.
        """
        selectable = self._selectables.get(descriptor)
        if selectable is None:
            return
        if event == EPOLLIN:
            if descriptor not in self._reads:
                return
            protocol = getattr(selectable, "protocol", None)
            if not getattr(protocol, "logContext", True):
                try:
                    why = selectable.doRead()
                except BaseException as error:
                    log.callWithLogger(selectable, log.err)
                    why = error
                if why:
                    self._disconnect(selectable, why, True)
                    if isinstance(selectable, TCPServer) and (
                        selectable.queued and selectable.disconnecting
                    ):
                        # The client ended its side and has its answer. Close now, to
                        # make room for the next client.
                        self._writeFrom(selectable)
                return
        log.callWithLogger(
            selectable, self._doReadOrWrite, selectable, descriptor, event
        )

    def _catchUp(self) -> None:
        """
        An event has taken long. Send what was written, and handle the events of the
        transports that are not slow, so that these need not wait for others like it.
        """
        self._finishEvents()
        for descriptor, event in self._poller.poll(0, len(self._selectables)):
            selectable = self._selectables.get(descriptor)
            if not getattr(selectable, "isSlow", False):
                self._handled.add(descriptor)
                self._handle(descriptor, event)
        self._finishEvents()

    def _finishEvents(self) -> None:
        """
        Make the calls for the end of an iteration, and then send from all queued
        transports. One that writes again meanwhile waits for the next time.
        """
        self.isLate = False
        if self._ending:
            self._end()
        for _ in range(len(self._writing)):
            transport = self._writing.popleft()
            # A transport that is not queued any more was closed.
            if transport.queued:
                self._writeFrom(transport)

    def _writeFrom(self, transport: TCPServer) -> None:
        if getattr(transport.protocol, "logContext", True):
            log.callWithLogger(
                transport,
                self._doReadOrWrite,
                transport,
                transport.fileno(),
                EPOLLOUT,
            )
            return
        try:
            why = transport.doWrite()
        except BaseException as error:
            log.callWithLogger(transport, log.err)
            why = error
        if why:
            self._disconnect(transport, why, False)

    def _disconnect(self, selectable: Any, why: Any, isRead: bool) -> None:
        # A log context is made only for an error: two contexts for each connection take
        # a twentieth of the time of a short connection.
        try:
            self._disconnectSelectable(selectable, why, isRead)
        except BaseException:
            log.callWithLogger(selectable, log.err)


def install() -> None:
    """
    Make this the reactor of the process.
    """
    installReactor(UpperReactor())
