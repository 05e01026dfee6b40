"""
The step reconnect of check: many connections, one after the other.
"""

from __future__ import annotations

from collections import Counter

from upperproto.command.check.stepcontext import Finding, StepContext
from upperproto.command.findings.diagnoses import Fault
from upperproto.command.findings.durations import milliseconds

# How many connections are made.
CONNECTIONS = 20


async def reconnect(context: StepContext) -> Finding:
    """
    Make many connections, one after the other.
    """
    instances: Counter[str] = Counter()
    times, failed = [], []
    started = context.connector.now()
    for number in range(CONNECTIONS):
        try:
            probe = await context.open()
            record = await probe.ask(context.text())
            if record.fault is not None:
                raise record.fault
        except Fault as fault:
            failed.append(f"{number + 1}: {fault}")
            if len(failed) == 3:
                break
            continue
        assert probe.opened is not None
        times.append(probe.opened.connectSeconds + (record.rttSeconds or 0.0))
        if record.instance:
            instances[record.instance] += 1
        probe.close()
    if failed:
        good = len(times)
        raise Fault(
            "unsteady",
            f"{good} connections of {good + len(failed)} worked; {'; '.join(failed)}",
        )
    taken = context.connector.now() - started
    said = (
        f"{CONNECTIONS} connections in {milliseconds(taken)}, first answers in"
        f" {milliseconds(min(times))} to {milliseconds(max(times))}"
    )
    if instances:
        each = ", ".join(f"{k}: {n}" for k, n in sorted(instances.items()))
        said += f", {len(instances)} instances ({each})"
    return Finding(
        said,
        {
            "connections": CONNECTIONS,
            "reconnect_seconds": round(taken, 6),
            "instances": dict(instances),
        },
    )
