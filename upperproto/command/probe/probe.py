"""
One connection that texts are asked on, and how long each answer takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from upperproto.command.errors import NotConnected
from upperproto.command.findings.faults import Fault, notAnswered, notConnected
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
            raise notConnected(error) from error
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
                line = ascii(self.client.unasked[0].decode("utf-8", "replace")[:40])
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
        client, timeout = self.client, self._connector.timeout
        secure = self.opened is not None and self.opened.tls is not None
        received = client.receivedBytes
        while timeout is not None and not await self._fires(answered, timeout):
            if received == client.receivedBytes:
                answered.addErrback(lambda _: None)
                raise notAnswered(None, client, secure)
            received = client.receivedBytes
        try:
            return await answered
        except CancelledError:
            raise
        except Exception as error:
            raise notAnswered(error, client, secure) from error

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

    def _fires(self, answered: Deferred[str], seconds: float) -> Deferred[bool]:
        """
        Wait until something has fired, or for some seconds.
        """
        fired: Deferred[bool] = Deferred()
        timer = self._reactor.callLater(seconds, lambda: fired.callback(False))

        def fire(result: Any) -> Any:
            if not fired.called:
                timer.cancel()
                fired.callback(True)
            return result

        answered.addBoth(fire)
        return fired
