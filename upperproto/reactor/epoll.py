"""
A reactor on epoll(7) that makes fewer system calls for each answer.

A round trip takes six of them on C{EPollReactor}. Here it takes three: to wait for the
request, to read it, and to send the answer (see L{upperproto.reactor.transports}). A
connection that is accepted, asks once and closes takes 12 in place of 18: it is read in
the iteration that has accepted it. (All are counted by C{strace -c}.)

The answers of an iteration are sent together, at its end. A client that waits for its
answer sleeps, and to wake it is most of what a short send costs. Sends that follow each
other closely find the next client, or the next core, awake already: at 100 connections
that makes 1.3 times as many round trips.

The time of the reactor is monotonic: timeouts mean what they say when the system's
clock is set.

These private parts of C{EPollReactor} are used, unchanged from Twisted 24.3 to 26.10;
the tests of C{tests.reactor.test_epoll} would notice their end:

  - C{_poller} tells of events, C{_selectables} has who they are for, and C{_reads}
    which descriptors are read;
  - C{_doReadOrWrite} handles any event, and C{_disconnectSelectable} what C{doRead}
    and C{doWrite} give to end a connection.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from select import EPOLLIN, EPOLLOUT
from time import monotonic, time
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import UnsupportedAddressFamily
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.main import installReactor
from twisted.python import log
from twisted.python.threadable import isInIOThread
from zope.interface import implementer

from upperproto.interfaces import IIterationEnd, IUNIXAdoption
from upperproto.reactor.ports import InheritedUNIXPort, TCPPort, UNIXPort
from upperproto.reactor.transports import LARGEST_READ, TCPServer


@implementer(IUNIXAdoption, IIterationEnd)
class UpperReactor(EPollReactor):
    """
    Wait for events, handle them, and send what was written meanwhile.

    @ivar writeAfterEvents: has C{doWrite} of a transport called after the events of
        this iteration, or before the next waits for any, if it is C{queued} by then.
    """

    def __init__(self) -> None:
        """
        Begin with no connection.
        """
        self._wallClockAtZero = time() - monotonic()
        # The events of this iteration.
        self._events: list[tuple[int, int]] = []
        # What is to be called at its end, unless the reactor waits.
        self._ending: list[Callable[[], object]] = []
        self._waiting = True
        # What is to be sent from at its end.
        self._writing: deque[TCPServer] = deque()
        self.writeAfterEvents: Callable[[TCPServer], object] = self._writing.append
        # Once it has seen so much freed, the C library keeps the memory of a large read
        # for the next (mallopt(3)). A read of a few bytes that makes room for 256 KiB
        # takes 6 us then, and 35 without.
        bytes(4 * LARGEST_READ)
        super().__init__()

    def seconds(self) -> float:
        """
        Get the time, in seconds since 1970 as they were counted when the reactor was
        made. It is not moved when the system's clock is set.
        """
        return self._wallClockAtZero + monotonic()

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
            # The only way to make a port of a socket (24.3 to 26.10).
            listening = TCPPort._fromListeningDescriptor(
                self, fileDescriptor, addressFamily, factory
            )
        else:
            raise UnsupportedAddressFamily(addressFamily)
        listening.startListening()
        return listening

    def readAfterEvents(self, transport: TCPServer) -> None:
        """
        Read a new connection in this iteration, after its events, if it is still read
        by then.
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
            # What timers have written.
            self._write()
            # Whoever heard of it may have set another one, or have stopped the reactor.
            timeout = 0
        selectables, reads = self._selectables, self._reads
        # In this order: a signal handler may call callAtEnd at any time.
        self._waiting = True
        if self._ending:
            self._end()
        self._events = self._poller.poll(
            -1 if timeout is None else timeout, len(selectables)
        )
        self._waiting = False
        # Those that readAfterEvents appends meanwhile are handled, too.
        for descriptor, event in self._events:
            selectable = selectables.get(descriptor)
            if selectable is None:
                # An earlier event has closed it.
                continue
            if event == EPOLLIN:
                if descriptor not in reads:
                    # An earlier event has paused it.
                    continue
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
                            # Who has answered a client that has ended its side closes
                            # now: a client that comes next finds a place.
                            self._writeFrom(selectable)
                    continue
            log.callWithLogger(
                selectable, self._doReadOrWrite, selectable, descriptor, event
            )
        if self._ending:
            self._end()
        if self._writing:
            self._write()

    doIteration = doPoll

    def getWriters(self) -> list[Any]:
        """
        Get all that wait to send.
        """
        return [*super().getWriters(), *self._queued()]

    def removeAll(self) -> list[Any]:
        """
        Read from nobody and send to nobody any more.

        @return: all who were read from or sent to.
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

    def _write(self) -> None:
        """
        Send from all that are queued. Those that write again meanwhile have to wait for
        the next iteration.
        """
        for _ in range(len(self._writing)):
            transport = self._writing.popleft()
            # Otherwise it was closed.
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
        # Its context is made where it is needed: two of them for each connection take a
        # twentieth of the time of a short one.
        try:
            self._disconnectSelectable(selectable, why, isRead)
        except BaseException:
            log.callWithLogger(selectable, log.err)


def install() -> None:
    """
    Make this the reactor of the process.
    """
    installReactor(UpperReactor())
