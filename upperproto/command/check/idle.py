"""
The step idle of check: nothing is said for some time.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionDone

from upperproto.command.check.examinedpath import LOOK_INTERVAL, Finding, Path
from upperproto.command.findings.diagnoses import Fault
from upperproto.command.findings.durations import milliseconds


async def idle(path: Path) -> Finding:
    """
    Be silent, and then ask again.
    """
    assert path.idle is not None
    probe = await path.open()
    record = await probe.ask(path.text())
    if record.fault is not None:
        raise record.fault
    now = path.connector.now
    started = now()
    client = probe.client
    while client.reason is None and now() - started < path.idle:
        await path.wait(min(LOOK_INTERVAL, path.idle))
    silence = now() - started
    if client.reason is not None:
        how = "closed" if isinstance(client.reason, ConnectionDone) else "cut off"
        said = f" (error: {client.error})" if client.error else ""
        raise Fault("idle-cut", f"{how} after {silence:.1f} s of silence{said}")
    record = await probe.ask(path.text())
    if record.fault is not None:
        raise Fault("idle-dead", f"after {path.idle:g} s of silence: {record.fault}")
    return Finding(
        f"after {path.idle:g} s of silence still answered in"
        f" {milliseconds(record.rttSeconds)}",
        {"idle_seconds": path.idle, "rtt_seconds": round(record.rttSeconds or 0, 6)},
    )
