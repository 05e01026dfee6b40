"""
The step slowreader of check: answers wait unread, and none is lost.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from upperproto.command.check.stepcontext import LOOK_INTERVAL, Finding, StepContext
from upperproto.command.findings.diagnoses import Fault

# How many characters a line of slowreader has, and how many bytes are sent at most.
_SLOW_LINE = 1 << 13
_MOST_UNREAD = 32 << 20

# The faults of missing answers.
_LOSSES = {"closed", "cut", "half", "silent", "foreign", "order", "torn", "wrong"}


@implementer(IPushProducer)
class _Brake:
    """
    Remember whether the transport takes more.
    """

    paused = False

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def stopProducing(self) -> None:
        self.paused = True


async def slowreader(context: StepContext) -> Finding:
    """
    Send as much as the path takes, and read nothing for some time.
    """
    probe = await context.open()
    client = probe.client
    transport: Any = client.transport
    brake = _Brake()
    asked: list[tuple[str, Deferred[str]]] = []
    sent = 0
    transport.registerProducer(brake, True)
    transport.pauseProducing()
    started = context.connector.now()
    while context.connector.now() - started < context.slow:
        if brake.paused or sent >= _MOST_UNREAD or client.reason is not None:
            await context.wait(LOOK_INTERVAL)
            continue
        text = context.text(_SLOW_LINE)
        asked.append((text, client.upper(text)))
        sent = client.waitingBytes
        await context.wait(0)
    transport.unregisterProducer()
    transport.resumeProducing()
    try:
        received = await context.collect(probe, asked)
    except Fault as fault:
        # A fault that a quick reader has seen, too, has another cause.
        if fault.code in _LOSSES - context.faults:
            raise Fault("slowreader-lost", str(fault)) from fault
        raise
    return Finding(
        f"after {context.slow:g} s unread, all {len(asked)} answers to {sent >> 10} KiB"
        " came",
        {
            "unread_seconds": context.slow,
            "sent_bytes": sent,
            "received_bytes": received,
            "lines": len(asked),
        },
    )
