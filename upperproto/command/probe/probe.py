"""
A connection on which texts are sent, and how long each answer takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from upperproto.command.errors import NotConnected
from upperproto.command.findings.diagnoses import Fault, notAnswered
from upperproto.command.findings.records import Answered
from upperproto.command.probe.recordingclient import ProbeClient
from upperproto.command.route.addresses import Address
from upperproto.command.route.connection import Connector, Opened

# How long, in seconds, a connection may take to end.
_FAREWELL = 1.0


class Probe:
    """
    One connection to the server.

    @ivar client: its protocol.
    @ivar opened: how it was made; L{None} before that.
    @ivar resolveSeconds: how long the name took, if it was looked up.
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

        @param addresses: the addresses to try; by default the name is looked up.
        @param how: more arguments of L{Connector.connect}.
        @raise Fault: if that fails.
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

        @param text: one line.
        @param number: of the record.
        @return: the record. A fault stands in it, too.
        """
        record = Answered(number, text, opened=self.opened)
        record.resolveSeconds = self.resolveSeconds
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
            # After this, all of the same chunk has been received.
            await deferLater(self._reactor, 0, lambda: None)
            if self.client.unasked:
                line = repr(self.client.unasked[0].decode("utf-8", "replace")[:40])
                raise Fault("much", f"a line came that is no answer to a text: {line}")
        except Fault as fault:
            record.fault = fault
        record.instance = self.client.instance
        return record

    async def settle(self, answered: Deferred[str]) -> str:
        """
        Wait for an answer. The time starts again with each chunk that comes.

        @param answered: the request.
        @return: the right answer.
        @raise Fault: if the answer is wrong, or does not come.
        """
        client = self.client
        # The request itself is not awaited: a failed Deferred of Twisted cannot be
        # awaited while its callbacks run (seen in 24.3 and 26.10).
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
                raise notAnswered(None, client)
            received = client.receivedBytes
            waiting.append(Deferred())
            await self._orTimeout(waiting)
        [result] = outcome
        if isinstance(result, Failure):
            raise notAnswered(result.value, client)
        return result

    def close(self) -> None:
        """
        End the connection in order, and do not wait for the end.
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
        Wait until a Deferred fires, or until the time for one wait is over.

        @param waiting: holds the Deferred until it fires.
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
