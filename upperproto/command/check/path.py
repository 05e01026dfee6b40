"""
The path that is examined: what one step has found out, and the next one needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from upperproto.command.findings.faults import Fault
from upperproto.command.probe.probe import Probe
from upperproto.command.probe.texts import unlike
from upperproto.command.route.addresses import Address
from upperproto.command.route.connection import Connector

if TYPE_CHECKING:
    from upperproto.tls.peer import TLSDetails

# How many characters a line has where its length does not matter.
LINE = 60

# If so many characters are the same, two answers are taken for the same.
_SAME = 40

# How long, in seconds, a server that ends may still take connections.
_MOMENT = 0.2


class Skip(Exception):
    """
    A step cannot be made. The message says why.
    """


class Finding(NamedTuple):
    """
    What a step that is ok has found.

    @ivar detail: in words.
    @ivar measured: in numbers, by names that end with their unit.
    """

    detail: str
    measured: dict[str, Any]


class Path:
    """
    The way to a server.

    @ivar connector: what makes connections.
    @ivar reactor: what tells the time.
    @ivar slow: how long answers wait unread, in seconds.
    @ivar idle: how long silence lasts, in seconds; L{None} for no silence.
    @ivar addresses: the server's that connections can be made to, once they have
        been tried.
    @ivar reached: whether a connection could ever be made.
    @ivar reachedAddress: where the last one led to.
    @ivar faults: the codes of those that were found.
    @ivar broken: why the steps that are left cannot be made, or nothing.
    @ivar tls: what the server has shown.
    """

    def __init__(
        self, connector: Connector, reactor: Any, slow: float, idle: float | None
    ) -> None:
        """
        @param connector: what makes connections.
        @param reactor: what tells the time.
        @param slow: how long answers wait unread, in seconds.
        @param idle: how long silence lasts, in seconds.
        """
        self.connector = connector
        self.reactor = reactor
        self.slow = slow
        self.idle = idle
        self.addresses: Sequence[Address] = ()
        self.reached = False
        self.reachedAddress = ""
        self.faults: set[str] = set()
        self.broken = ""
        self.tls: TLSDetails | None = None
        self._probes: list[Probe] = []
        self._asked = 0

    @property
    def timeout(self) -> float:
        """
        How long each wait for the network may take, in seconds, also where no
        limit was set: a step has its end.
        """
        return self.connector.timeout or 60.0

    async def open(self, **how: Any) -> Probe:
        """
        Make a connection, which ends with the step.

        @param how: for L{Probe.open}.
        @raise Fault: where that fails.
        """
        probe = Probe(self.connector, self.reactor)
        self._probes.append(probe)
        how.setdefault("addresses", self.addresses[:1])
        try:
            opened = await probe.open(**how)
        except Fault as fault:
            if fault.code == "refused" and self.reached:
                raise Fault("gone", str(fault)) from fault
            raise
        self.reached = True
        self.reachedAddress = opened.address
        self.tls = opened.tls or self.tls
        return probe

    async def look(self, fault: Fault) -> Fault:
        """
        Look whether the server is still there, after a connection was lost.

        @return: the fault, or that it has gone.
        """
        if fault.code in ("cut", "closed"):
            self.endStep()
            # One that ends needs a moment.
            await self.wait(_MOMENT)
            try:
                await self.open(plain=True)
            except Fault as found:
                if found.code == "gone":
                    return Fault("gone", f"{fault}; then: {found}")
        return fault

    def endStep(self) -> None:
        """
        End all connections.
        """
        probes, self._probes = self._probes, []
        for probe in probes:
            probe.abort()

    def text(self, size: int = LINE) -> str:
        """
        Make a text that has not been asked before.
        """
        self._asked += 1
        return unlike(self._asked, size)

    def wait(self, seconds: float) -> Deferred[None]:
        """
        Wait.
        """
        return deferLater(self.reactor, seconds, lambda: None)

    async def collect(
        self, probe: Probe, asked: Sequence[tuple[str, Deferred[str]]]
    ) -> int:
        """
        Wait for the answers to lines that were sent ahead.

        @param asked: the texts and their requests.
        @return: how many bytes they have.
        @raise Fault: at the first that is not right; its message says which.
        """
        size = 0
        for number, (_, answered) in enumerate(asked):
            try:
                answer = await probe.settle(answered)
            except Fault as fault:
                for _, left in asked[number + 1 :]:
                    left.addErrback(lambda _: None)
                self._explain(fault, number, [text for text, _ in asked])
            size += len(answer.encode())
        return size

    def _explain(self, fault: Fault, number: int, texts: list[str]) -> NoReturn:
        """
        Say which of many answers is not right.
        """
        if fault.code == "foreign":
            # It may be the answer to another one of them, at least its beginning.
            for other, text in enumerate(texts):
                if text.upper().startswith(fault.answer[:_SAME]):
                    raise Fault(
                        "order",
                        f"the answer to line {other + 1} came in place of the one to"
                        f" line {number + 1}",
                    ) from fault
        raise Fault(fault.code, f"{number} of {len(texts)} answered, then: {fault}")
