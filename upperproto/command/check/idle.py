"""
The step idle of check: nothing is said for some time.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionDone

from upperproto.command.check.stepcontext import LOOK_INTERVAL, Finding, StepContext
from upperproto.command.findings.diagnoses import Fault
from upperproto.command.findings.durations import milliseconds


async def idle(context: StepContext) -> Finding:
    """
    Be silent, and then ask again.
    """
    assert context.idle is not None
    probe = await context.open()
    record = await probe.ask(context.text())
    if record.fault is not None:
        raise record.fault
    now = context.connector.now
    started = now()
    client = probe.client
    while client.reason is None and now() - started < context.idle:
        await context.wait(min(LOOK_INTERVAL, context.idle))
    silence = now() - started
    if client.reason is not None:
        how = "closed" if isinstance(client.reason, ConnectionDone) else "cut off"
        said = f" (error: {client.error})" if client.error else ""
        raise Fault("idle-cut", f"{how} after {silence:.1f} s of silence{said}")
    record = await probe.ask(context.text())
    if record.fault is not None:
        raise Fault("idle-dead", f"after {context.idle:g} s of silence: {record.fault}")
    return Finding(
        f"after {context.idle:g} s of silence still answered in"
        f" {milliseconds(record.rttSeconds)}",
        {"idle_seconds": context.idle, "rtt_seconds": round(record.rttSeconds or 0, 6)},
    )
