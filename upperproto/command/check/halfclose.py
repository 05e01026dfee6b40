"""
The step halfclose of check: our side ends, and still all answers come.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

from twisted.internet.error import ConnectionDone

from upperproto.command.check.stepcontext import Finding, StepContext
from upperproto.command.findings.diagnoses import Fault
from upperproto.command.findings.durations import milliseconds

# How many lines each connection of halfclose sends before it ends its side.
_CONVERSATIONS = (1, 1, 1, 1, 1, 1000)


async def halfclose(context: StepContext) -> Finding:
    """
    End our side together with the last line, after one line and after many.
    """
    started = context.connector.now()
    for lines in _CONVERSATIONS:
        await _endWith(context, lines)
    taken = context.connector.now() - started
    lines = sum(_CONVERSATIONS)
    return Finding(
        f"all {lines} answers of {len(_CONVERSATIONS)} connections came after our end,"
        f" and then the end, in {milliseconds(taken)}",
        {
            "connections": len(_CONVERSATIONS),
            "lines": lines,
            "halfclose_seconds": round(taken, 6),
        },
    )


async def _endWith(context: StepContext, lines: int) -> None:
    """
    Send some lines and our end in one go.
    """
    probe = await context.open()
    client = probe.client
    transport: Any = client.transport
    _cork(transport)
    asked = []
    for _ in range(lines):
        text = context.text()
        asked.append((text, client.upper(text)))
    transport.loseWriteConnection()
    try:
        await context.collect(probe, asked)
    except Fault as fault:
        if fault.code in {"closed", "cut", "half"} - context.faults:
            raise Fault("halfclose-cut", str(fault)) from fault
        raise
    answered = context.connector.now()
    while client.reason is None:
        if context.connector.now() - answered > context.timeout:
            raise Fault(
                "halfclose-open",
                "all answers came, but the connection did not end within"
                f" {context.timeout:g} s",
            )
        await context.wait(0.002)
    if not isinstance(client.reason, ConnectionDone):
        raise Fault("cut", "all answers came, but the connection did not end in order")


def _cork(transport: Any) -> None:
    """
    Send our text and our end in one segment (TCP_CORK of tcp(7)). If the end were sent
    later, the answers could already have come, and the fault would not be seen.
    """
    below = getattr(transport, "transport", transport)
    # A UNIX socket has no segments.
    with suppress(AttributeError, OSError):
        below.getHandle().setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
