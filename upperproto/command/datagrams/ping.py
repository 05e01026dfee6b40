"""
C{upper-client ping} over UDP: what becomes of each datagram.
"""

from __future__ import annotations

from contextlib import suppress
from math import inf
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from upperproto.command.datagrams.client import DatagramClient, unlike
from upperproto.command.errors import NotConnected
from upperproto.command.findings.faults import Fault, notConnected
from upperproto.command.findings.formatter import Formatter
from upperproto.command.findings.records import Answered, Pings
from upperproto.command.interrupt import leaveAtOnce, onInterrupt
from upperproto.command.options import Options
from upperproto.command.probe.ping import INTERVAL, SIZE, SOME
from upperproto.command.route.connection import Connector

# What stands for no limit, in seconds: a datagram that is lost never comes.
MOST_SECONDS = 600.0


class DatagramPinger:
    """
    Send one datagram after the other, without waiting for the answers.

    @ivar pings: what has become of them.
    """

    def __init__(
        self, options: Options, formatter: Formatter, connector: Connector, reactor: Any
    ) -> None:
        """
        @param options: those of ping.
        @param formatter: what prints.
        @param connector: what looks up names.
        @param reactor: what sends and tells the time.
        """
        self.pings = Pings(duplicates=0, reordered=0)
        self._count = options.get("count", SOME if formatter.atTheEnd else inf)
        self._interval = options.get("interval", INTERVAL)
        self._size = options.get("size", SIZE)
        self._formatter = formatter
        self._connector = connector
        self._reactor = reactor
        self._waiting: Deferred[Any] | None = None
        # How many are not settled, and what waits for them in the end.
        self._open = 0
        self._settled: Deferred[None] | None = None
        self._stopped = False

    def stop(self) -> None:
        """
        Send no more, and wait for nothing.
        """
        if self._stopped:
            leaveAtOnce()
        self._stopped = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def run(self) -> int:
        """
        Ping until the count is reached, or L{stop} is called.

        @return: the status of the process.
        """
        try:
            [address, *_] = await self._connector.resolve()
        except NotConnected as error:
            return self._formatter.failed(notConnected(error))
        self._formatter.pingsBegin(self._size)
        self.pings.address = str(address)
        started = self._reactor.seconds()
        client = DatagramClient(self._reactor, address)
        sent = 0
        while not self._stopped and sent < self._count:
            sent += 1
            self._open += 1
            self._ping(client, sent)
            if sent < self._count:
                rest = deferLater(self._reactor, self._interval, lambda: None)
                await self._unlessStopped(rest)
        if self._open and not self._stopped:
            self._settled = Deferred()
            await self._unlessStopped(self._settled)
        client.close()
        self.pings.duplicates = client.duplicates
        self.pings.reordered = client.reordered
        self.pings.elapsedSeconds = self._reactor.seconds() - started
        return self._formatter.pingsEnd(self.pings)

    def _ping(self, client: DatagramClient, number: int) -> None:
        text = unlike(number, self._size)
        record = Answered(number, text)

        def note(result: float | Failure) -> None:
            if isinstance(result, Failure):
                result.trap(Fault)
                record.fault = result.value  # type: ignore[assignment] # Trapped.
            else:
                record.rttSeconds, record.answer = result, text.upper()
            self.pings.add(record)
            self._formatter.pinged(record)
            self._open -= 1
            if not self._open and self._settled is not None:
                self._settled.callback(None)

        seconds = self._connector.timeout or MOST_SECONDS
        client.ask(number, text, seconds).addBoth(note)

    async def _unlessStopped(self, waiting: Deferred[Any]) -> None:
        self._waiting = waiting
        with suppress(CancelledError):
            await waiting
        self._waiting = None


async def ping(
    options: Options, formatter: Formatter, connector: Connector, reactor: Any
) -> int:
    """
    Ping, until Ctrl-C or as often as was asked.

    @param options: those of ping.
    @param formatter: what prints.
    @param connector: what looks up names.
    @param reactor: what sends and tells the time.
    @return: the status of the process.
    """
    pinger = DatagramPinger(options, formatter, connector, reactor)
    onInterrupt(lambda: reactor.callFromThread(pinger.stop))
    return await pinger.run()
