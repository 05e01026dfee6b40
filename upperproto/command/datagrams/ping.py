"""
C{upper-client ping} over UDP: send datagrams, and count their answers.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from upperproto.command.datagrams.client import DatagramClient, unlike
from upperproto.command.errors import NotConnected
from upperproto.command.findings.diagnoses import Fault
from upperproto.command.findings.records import Answered
from upperproto.command.findings.statistics import Pings
from upperproto.command.formats.formatter import Formatter
from upperproto.command.options import Options
from upperproto.command.probe.ping import Pinger
from upperproto.command.route.connection import Connector

# The timeout, in seconds, if the user wants none: a lost datagram never comes.
MOST_SECONDS = 600.0


class DatagramPinger(Pinger):
    """
    Send one datagram after the other, and do not wait for the answers between them.
    """

    def __init__(
        self, options: Options, formatter: Formatter, connector: Connector, reactor: Any
    ) -> None:
        """
        @param options: the options of ping.
        @param formatter: prints the pings.
        @param connector: looks up the name.
        @param reactor: sends, and tells the time.
        """
        super().__init__(options, formatter, connector, reactor)
        self.pings = Pings(duplicates=0, reordered=0)
        # How many pings have no result yet, and what fires when all have one.
        self._open = 0
        self._settled: Deferred[None] | None = None

    async def run(self) -> int:
        """
        Ping until the count is reached, or L{Pinger.stop} is called.

        @return: the exit status.
        """
        try:
            [address, *_] = await self._connector.resolve()
        except NotConnected as error:
            return self._formatter.failed(Fault(error.code, error.why))
        self._formatter.pingsBegin(self._size)
        self.pings.address = str(address)
        started = self._reactor.seconds()
        client = DatagramClient(self._reactor, address)
        sent = 0
        while not self._stopped and sent < self._count:
            sent += 1
            self._open += 1
            self._send(client, sent)
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

    def _send(self, client: DatagramClient, number: int) -> None:
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
