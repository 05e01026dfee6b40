"""
C{upper-client check}: do all steps, one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout

from upperproto.command.check import (
    exchange,
    halfclose,
    idle,
    network,
    reconnect,
    slowreader,
)
from upperproto.command.check.examinedpath import Finding, Path, Skip
from upperproto.command.findings.diagnoses import Fault
from upperproto.command.findings.records import Report, Step
from upperproto.command.formats.formatter import Formatter
from upperproto.command.options import STEPS, Options
from upperproto.command.route.connection import Connector

# How long, in seconds, answers wait unread by default.
SLOW = 3.0

# The least time, in seconds, after which a step is given up.
_STEP = 60.0

Steps = Mapping[str, Callable[[Path], Coroutine[Any, Any, Finding]]]

_MAKE: Steps = {
    "resolve": network.resolve,
    "connect": network.connect,
    "tls": network.tls,
    "answer": exchange.answer,
    "order": exchange.order,
    "bulk": exchange.bulk,
    "longline": exchange.longline,
    "halfclose": halfclose.halfclose,
    "slowreader": slowreader.slowreader,
    "quiet": exchange.quiet,
    "idle": idle.idle,
    "reconnect": reconnect.reconnect,
}


async def check(
    options: Options,
    formatter: Formatter,
    connector: Connector,
    reactor: Any,
    steps: Steps = _MAKE,
) -> int:
    """
    Examine the path to a server.

    @param options: the options of check.
    @param formatter: prints the steps.
    @param connector: makes connections.
    @param reactor: tells the time.
    @param steps: the function of each step.
    @return: the exit status.
    """
    path = Path(connector, reactor, options.get("slow", SLOW), options.get("idle"))
    only, skip = options.get("only", STEPS), options.get("skip", ())
    report = Report()
    started = connector.now()
    for name in STEPS:
        if name not in only or name in skip:
            continue
        if name == "idle" and path.idle is None:
            if "only" in options:
                report.steps.append(Step(name, "skip", "without --idle"))
                formatter.stepped(report.steps[-1])
            continue
        step = await _make(name, path, steps[name])
        report.steps.append(step)
        formatter.stepped(step)
    report.elapsedSeconds = connector.now() - started
    report.tls = path.tls
    report.address = path.reachedAddress
    return formatter.examined(report)


async def _make(
    name: str, path: Path, make: Callable[[Path], Coroutine[Any, Any, Finding]]
) -> Step:
    """
    Do one step.
    """
    if path.broken:
        return Step(name, "skip", path.broken)
    step = Step(name, "ok")
    now = path.connector.now
    started = now()
    limit = max(_STEP, 6 * path.timeout) + path.slow + (path.idle or 0.0)
    making = Deferred.fromCoroutine(make(path))
    making.addTimeout(limit, path.reactor)
    try:
        step.detail, step.measured = await making
    except Skip as why:
        step.status, step.detail = "skip", str(why)
    except Fault as fault:
        step.status, step.fault = "FAIL", await path.look(fault)
        path.faults.add(step.fault.code)
    except DeferredTimeout:
        step.status = "FAIL"
        step.fault = Fault("slow", f"the step did not end within {limit:g} s")
    finally:
        path.endStep()
    step.elapsedSeconds = now() - started
    return step
