"""
The turn: what the reactor does between two looks at the clock, without what this
service has no use for.

Twisted runs each event in a logging context of its own, so that what is written
with C{twisted.python.log} meanwhile names the connection. That takes a fifth of
the time of a short round trip, and C{twisted.logger}, which is used here, does
without. And what is to be done when all events of a turn have been handled costs
a timer and another look for events.

To sleep and to be woken takes longer than a short answer does, above all in a
virtual machine. So while one event follows the other closely, the next is looked for
again and again, for L{CLOSELY} seconds at most, before the process sleeps. That is
what KVM does with its guests (halt polling). A client that asks again as soon as it
has been answered gets twice as many answers, for no more processor time each.

This module relies on these parts of C{EPollReactor}, unchanged from Twisted 24.3
to 26.10:

  - C{doIteration} is looked up for each turn;
  - C{_poller} tells of events, C{_selectables} has who they are for, and C{_reads}
    which descriptors are read;
  - C{_doReadOrWrite} handles any event, and C{_disconnectSelectable} what
    C{doRead} gives to end a connection.

Every other reactor keeps its own turn.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from time import monotonic
from typing import Any

from twisted.python import log

# An event that comes within so many seconds of the last one follows it closely.
CLOSELY = 0.0001


def shorten(reactor: Any) -> Turn | None:
    """
    Let a reactor take shorter turns from now on, if it is one that can.

    @param reactor: any reactor, or what stands in for one that does already.
    @return: its turn; nothing if it keeps its own.
    """
    turn = getattr(reactor, "doIteration", None)
    if isinstance(turn, Turn):
        return turn
    if not hasattr(select, "epoll"):
        return None
    from twisted.internet.epollreactor import EPollReactor

    if not isinstance(reactor, EPollReactor):
        return None
    turn = reactor.doIteration = Turn(reactor)  # type: ignore[method-assign]
    return turn


class Turn:
    """
    Wait for events, and handle them.
    """

    def __init__(self, reactor: Any) -> None:
        """
        @param reactor: an C{EPollReactor}.
        """
        self._reactor = reactor
        self._soon: list[Any] = []
        self._ending: list[Callable[[], object]] = []
        # Whether the last event came alone, and was not waited for for long.
        self._closely = False

    def atEnd(self, call: Callable[[], object]) -> None:
        """
        Do something at the end of this turn, before anything is waited for.

        @param call: what.
        """
        self._ending.append(call)

    def readSoon(self, transport: Any) -> None:
        """
        Read a new connection in this turn, after all events: a client that speaks
        first has often done so by then, and need not wait for the next.

        @param transport: what reads it.
        """
        self._soon.append(transport)

    def __call__(self, timeout: float | None) -> None:
        """
        Take a turn.

        @param timeout: for how many seconds to wait for an event at most; by
            default, for ever.
        """
        # Timers have been called since the last turn.
        self._end()
        reactor = self._reactor
        selectables, readable = reactor._selectables, reactor._POLL_IN
        for descriptor, event in self._wait(timeout):
            selectable = selectables.get(descriptor)
            if selectable is None:
                # An earlier event has closed it.
                continue
            if event == readable:
                self._read(selectable)
            else:
                log.callWithLogger(
                    selectable, reactor._doReadOrWrite, selectable, descriptor, event
                )
        if self._soon:
            soon, self._soon = self._soon, []
            for transport in soon:
                if transport.fileno() in reactor._reads:
                    self._read(transport)
        self._end()

    def _read(self, selectable: Any) -> None:
        try:
            why = selectable.doRead()
        except BaseException as error:
            log.callWithLogger(selectable, log.err)
            why = error
        if why:
            self._reactor._disconnectSelectable(selectable, why, True)

    def _wait(self, timeout: float | None) -> list[tuple[int, int]]:
        """
        Wait for events.

        @param timeout: as L{__call__} has it.
        """
        poll, most = self._reactor._poller.poll, len(self._reactor._selectables)
        events: list[tuple[int, int]] = []
        began = monotonic()
        if self._closely:
            until = began + (CLOSELY if timeout is None else min(CLOSELY, timeout))
            while not events and monotonic() < until:
                events = poll(0, most)
        if not events:
            events = poll(-1 if timeout is None else timeout, most)
        # Several at a time show that there is enough to do, and answers that are
        # sent together are cheaper.
        self._closely = len(events) == 1 and monotonic() - began < CLOSELY
        return events

    def _end(self) -> None:
        while self._ending:
            self._ending.pop()()
