"""
C{upper-client ping}: measure round trips of known answers, as ping(8) does.
"""

from __future__ import annotations

from math import inf
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from upperproto.command.errors import NotConnected
from upperproto.command.findings.diagnoses import Fault
from upperproto.command.findings.records import Answered
from upperproto.command.findings.statistics import Pings
from upperproto.command.formats.formatter import Formatter
from upperproto.command.interrupt import leaveAtOnce, onInterrupt
from upperproto.command.options import Options
from upperproto.command.probe.probe import Probe
from upperproto.command.probe.randomtexts import unlike
from upperproto.command.route.connection import Connector

# How many characters a ping has, and how many seconds are from one to the next.
SIZE, INTERVAL = 56, 1.0

# How many pings are sent if the format prints only at the end.
SOME = 5


class Pinger:
    """
    Send one text after the other.

    @ivar pings: their statistics.
    """

    def __init__(
        self, options: Options, formatter: Formatter, connector: Connector, reactor: Any
    ) -> None:
        """
        @param options: the options of ping.
        @param formatter: prints the pings.
        @param connector: makes connections.
        @param reactor: tells the time.
        """
        self.pings = Pings()
        self._count = options.get("count", SOME if formatter.atTheEnd else inf)
        self._interval = options.get("interval", INTERVAL)
        self._size = options.get("size", SIZE)
        self._new = "new" in options
        self._formatter = formatter
        self._connector = connector
        self._reactor = reactor
        self._probe: Probe | None = None
        self._waiting: Deferred[Any] | None = None
        self._stopped = False

    def stop(self) -> None:
        """
        Send no more pings, and wait for no answer. The second call ends the process.
        """
        if self._stopped:
            leaveAtOnce()
        self._stopped = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def runUntilInterrupted(self) -> int:
        """
        L{run}, and L{stop} at Ctrl-C.

        @return: the exit status.
        """
        onInterrupt(lambda: self._reactor.callFromThread(self.stop))
        return await self.run()

    async def run(self) -> int:
        """
        Ping until the count is reached, or L{stop} is called.

        @return: the exit status.
        """
        now = self._connector.now
        started = now()
        try:
            await self._connector.resolve()
        except NotConnected as error:
            return self._formatter.failed(Fault(error.code, error.why))
        self._formatter.pingsBegin(self._size)
        while not self._stopped:
            begun = now()
            record = await self._unlessStopped(
                Deferred.fromCoroutine(self._ping(self.pings.sent + 1))
            )
            if record is None or self._stopped:
                break
            self.pings.add(record)
            self._formatter.pinged(record)
            if self.pings.sent == self._count:
                break
            rest = max(0.0, self._interval - (now() - begun))
            await self._unlessStopped(deferLater(self._reactor, rest, lambda: None))
        self.pings.elapsedSeconds = now() - started
        if self._probe is not None:
            self._probe.close()
        return self._formatter.pingsEnd(self.pings)

    async def _unlessStopped(self, waiting: Deferred[Any]) -> Any:
        self._waiting = waiting
        try:
            return await waiting
        except CancelledError:
            return None
        finally:
            self._waiting = None

    async def _ping(self, number: int) -> Answered:
        text = unlike(number, self._size)
        probe, self._probe = self._probe, None
        made = probe is None
        if probe is None:
            probe = Probe(self._connector, self._reactor)
            try:
                await probe.open()
            except Fault as fault:
                return Answered(number, text, fault=fault)
        record = await probe.ask(text, number)
        if not made:
            # The connection was made for an earlier ping.
            record.opened = record.resolveSeconds = None
        if record.fault is not None:
            probe.abort()
        elif self._new:
            probe.close()
        else:
            self._probe = probe
        return record
