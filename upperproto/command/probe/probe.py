"""
One connection that texts are asked on, and how long each answer takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from upperproto.command.errors import NotConnected
from upperproto.command.findings.faults import Fault, notAnswered
from upperproto.command.findings.records import Answered
from upperproto.command.probe.client import ProbeClient
from upperproto.command.route.addresses import Address
from upperproto.command.route.connection import Connector, Opened

# How long, in seconds, the end of a connection may take that is not needed any more.
_FAREWELL = 1.0


class Probe:
    """
    A connection.

    @ivar client: its protocol.
    @ivar opened: how it was made.
    @ivar resolveSeconds: how long the name took.
    """

    def __init__(self, connector: Connector, reactor: Any) -> None:
        """
        @param connector: what makes connections.
        @param reactor: what tells the time.
        """
        self.client = ProbeClient()
        self.opened: Opened | None = None
        self.resolveSeconds: float | None = None
        self._connector = connector
        self._reactor = reactor

    async def open(self, addresses: Sequence[Address] = (), **how: Any) -> Opened:
        """
        Connect.

        @param addresses: those to try; by default the name is looked up.
        @param how: more for L{Connector.connect}.
        @raise Fault: where that fails.
        """
        connector = self._connector
        try:
            if not addresses and connector.target.host is not None:
                started = connector.now()
                addresses = await connector.resolve()
                self.resolveSeconds = connector.now() - started
            self.opened = await connector.connect(self.client, addresses, **how)
        except NotConnected as error:
            raise Fault(error.code, error.why) from error
        return self.opened

    async def ask(self, text: str, number: int = 0) -> Answered:
        """
        Ask for the upper case of a text.

        @param text: it.
        @param number: of the record.
        @return: the record, also where something is wrong.
        """
        record = Answered(number, text, opened=self.opened)
        record.resolveSeconds = self.resolveSeconds
        # What was made for this one was not made for the next.
        now = self._connector.now
        started = now()
        answered = self.client.upper(text)
        ended: list[float] = []

        def note(result: Any) -> Any:
            ended.append(now())
            return result

        answered.addBoth(note)
        try:
            record.answer = await self.settle(answered)
            record.rttSeconds = ended[0] - started
            # What comes in the same piece has been received now.
            await deferLater(self._reactor, 0, lambda: None)
            if self.client.unasked:
                line = repr(self.client.unasked[0].decode("utf-8", "replace")[:40])
                raise Fault("much", f"a line came that nobody had asked for: {line}")
        except Fault as fault:
            record.fault = fault
        record.instance = self.client.instance
        return record

    async def settle(self, answered: Deferred[str]) -> str:
        """
        Wait for an answer, as long as something comes in time.

        @param answered: the request.
        @return: the answer, which is right.
        @raise Fault: where it is not, or does not come.
        """
        client = self.client
        secure = self.opened is not None and self.opened.tls is not None
        # To await a request itself does not do: while its callbacks run, Twisted's
        # Deferred cannot be awaited if it has failed (seen in 24.3 and 26.10).
        outcome: list[str | Failure] = []
        waiting: list[Deferred[None]] = []

        def note(result: str | Failure) -> None:
            outcome.append(result)
            if waiting:
                waiting.pop().callback(None)

        answered.addBoth(note)
        received = -1
        while not outcome:
            if received == client.receivedBytes:
                raise notAnswered(None, client, secure)
            received = client.receivedBytes
            waiting.append(Deferred())
            await self._orTimeout(waiting)
        [result] = outcome
        if isinstance(result, Failure):
            raise notAnswered(result.value, client, secure)
        return result

    def close(self) -> None:
        """
        End the connection in peace, and do not wait for it.
        """
        if self.opened is not None and self.client.reason is None:
            self.client.transport.loseConnection()
            self._reactor.callLater(_FAREWELL, self.abort)

    def abort(self) -> None:
        """
        End the connection at once.
        """
        if self.opened is not None and self.client.reason is None:
            transport: Any = self.client.transport
            with suppress(AttributeError):
                transport.abortConnection()

    async def _orTimeout(self, waiting: list[Deferred[None]]) -> None:
        """
        Wait until something fires, or as long as one wait may take.

        @param waiting: what is waited for. It is not in it any more when it has
            fired.
        """

        def giveUp() -> None:
            if waiting:
                waiting.pop().callback(None)

        timer = self._connector.callLater(giveUp)
        try:
            await waiting[0]
        finally:
            waiting.clear()
            if timer is not None and timer.active():
                timer.cancel()
