"""
C{upper-client check}: do all steps, one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout

from upperproto.command.check import (
    answers,
    connecting,
    halfclose,
    idle,
    reconnect,
    slowreader,
)
from upperproto.command.check.stepcontext import Finding, Skip, StepContext
from upperproto.command.findings.diagnoses import Fault
from upperproto.command.findings.records import Report, Step
from upperproto.command.formats.formatter import Formatter
from upperproto.command.options import STEPS, Options
from upperproto.command.route.connection import Connector

# How long, in seconds, answers wait unread by default.
SLOW = 3.0

# The least time, in seconds, after which a step is given up.
_STEP = 60.0

Steps = Mapping[str, Callable[[StepContext], Coroutine[Any, Any, Finding]]]

_MAKE: Steps = {
    "resolve": connecting.resolve,
    "connect": connecting.connect,
    "tls": connecting.tls,
    "answer": answers.answer,
    "order": answers.order,
    "bulk": answers.bulk,
    "longline": answers.longline,
    "halfclose": halfclose.halfclose,
    "slowreader": slowreader.slowreader,
    "quiet": answers.quiet,
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
    context = StepContext(
        connector, reactor, options.get("slow", SLOW), options.get("idle")
    )
    only, skip = options.get("only", STEPS), options.get("skip", ())
    report = Report()
    started = connector.now()
    for name in STEPS:
        if name not in only or name in skip:
            continue
        if name == "idle" and context.idle is None:
            if "only" in options:
                report.steps.append(Step(name, "skip", "without --idle"))
                formatter.stepped(report.steps[-1])
            continue
        step = await _make(name, context, steps[name])
        report.steps.append(step)
        formatter.stepped(step)
    report.elapsedSeconds = connector.now() - started
    report.tls = context.tls
    report.address = context.reachedAddress
    return formatter.examined(report)


async def _make(
    name: str,
    context: StepContext,
    make: Callable[[StepContext], Coroutine[Any, Any, Finding]],
) -> Step:
    """
    Do one step.
    """
    if context.broken:
        return Step(name, "skip", context.broken)
    step = Step(name, "ok")
    now = context.connector.now
    started = now()
    limit = max(_STEP, 6 * context.timeout) + context.slow + (context.idle or 0.0)
    making = Deferred.fromCoroutine(make(context))
    making.addTimeout(limit, context.reactor)
    try:
        step.detail, step.measured = await making
    except Skip as why:
        step.status, step.detail = "skip", str(why)
    except Fault as fault:
        step.status, step.fault = "FAIL", await context.look(fault)
        context.faults.add(step.fault.code)
    except DeferredTimeout:
        step.status = "FAIL"
        step.fault = Fault("slow", f"the step did not end within {limit:g} s")
    finally:
        context.endStep()
    step.elapsedSeconds = now() - started
    return step
