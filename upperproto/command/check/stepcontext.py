"""
What all steps of a check share: the way to connect, the limits of time, and what the
steps before have found.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from upperproto.command.findings.diagnoses import Fault
from upperproto.command.probe.probe import Probe
from upperproto.command.probe.randomtexts import unlike
from upperproto.command.route.addresses import Address
from upperproto.command.route.connection import Connector

if TYPE_CHECKING:
    from upperproto.tls.certificates.serverdetails import TLSDetails

# How many characters a text has by default.
LINE = 60

# How many characters of two answers are compared.
_SAME = 40

# How often, in seconds, a step looks whether a connection has ended while it waits.
LOOK_INTERVAL = 0.05

# How long, in seconds, a server that is ending may still take connections.
_MOMENT = 0.2


class Skip(Exception):
    """
    A step is not possible. The message says why.
    """


class Finding(NamedTuple):
    """
    The result of a step without a fault.

    @ivar detail: in words.
    @ivar measured: in numbers. Each name ends with its unit.
    """

    detail: str
    measured: dict[str, Any]


class StepContext:
    """
    The path to a server that is examined, and what the steps know of it.

    @ivar connector: makes connections.
    @ivar reactor: tells the time.
    @ivar slow: how long answers wait unread, in seconds.
    @ivar idle: how long silence lasts, in seconds; L{None} for no silence.
    @ivar addresses: the addresses of the server; after the step connect, only those
        that accept a connection.
    @ivar reachedAddress: the address of the last connection; empty before the first.
    @ivar faults: the codes of the faults that were found.
    @ivar broken: why no more steps are possible, or empty.
    @ivar tls: what the server showed in the TLS handshake.
    """

    def __init__(
        self, connector: Connector, reactor: Any, slow: float, idle: float | None
    ) -> None:
        """
        @param connector: makes connections.
        @param reactor: tells the time.
        @param slow: how long answers wait unread, in seconds.
        @param idle: how long silence lasts, in seconds.
        """
        self.connector = connector
        self.reactor = reactor
        self.slow = slow
        self.idle = idle
        self.addresses: Sequence[Address] = ()
        self.reachedAddress = ""
        self.faults: set[str] = set()
        self.broken = ""
        self.tls: TLSDetails | None = None
        self._probes: list[Probe] = []
        self._asked = 0

    @property
    def timeout(self) -> float:
        """
        How long each wait for the network may take, in seconds. Without a limit of the
        user, it is a minute: each step ends.
        """
        return self.connector.timeout or 60.0

    async def open(self, **how: Any) -> Probe:
        """
        Make a connection. It ends with the step.

        @param how: the arguments of L{Probe.open}.
        @raise Fault: if that fails.
        """
        probe = Probe(self.connector, self.reactor)
        self._probes.append(probe)
        how.setdefault("addresses", self.addresses[:1])
        try:
            opened = await probe.open(**how)
        except Fault as fault:
            if fault.code == "refused" and self.reachedAddress:
                raise Fault("gone", str(fault)) from fault
            raise
        self.reachedAddress = opened.address
        self.tls = opened.tls or self.tls
        return probe

    async def look(self, fault: Fault) -> Fault:
        """
        Check whether the server is still there after a lost connection.

        @param fault: the fault that was found.
        @return: the same fault, or that the server has gone.
        """
        if fault.code in ("cut", "closed"):
            self.endStep()
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
        Make a text that has not been sent before.
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
        Wait for the answers to many lines.

        @param probe: the connection of the requests.
        @param asked: the texts and their requests.
        @return: how many bytes the answers have.
        @raise Fault: at the first wrong answer; the message says which one it is.
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
        Say which of many answers is wrong.
        """
        if fault.code == "foreign":
            # It may be the answer to another one of these texts.
            for other, text in enumerate(texts):
                if text.upper().startswith(fault.answer[:_SAME]):
                    raise Fault(
                        "order",
                        f"the answer to line {other + 1} came in place of the one to"
                        f" line {number + 1}",
                    ) from fault
        raise Fault(fault.code, f"{number} of {len(texts)} answered, then: {fault}")
