"""
C{upper-client check} over UDP: its steps.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from upperproto.command.check import connecting, runner
from upperproto.command.check.stepcontext import Finding, Skip, StepContext
from upperproto.command.datagrams.client import DatagramClient, unlike
from upperproto.command.findings.diagnoses import Fault
from upperproto.command.findings.durations import milliseconds
from upperproto.command.formats.formatter import Formatter
from upperproto.command.options import STEPS, Options
from upperproto.command.route.connection import Connector

# How many bytes a text has; how many texts the step order sends, and how many seconds
# apart; how many sockets the step reconnect makes.
SIZE, MANY, GAP, SOCKETS = 56, 100, 0.005, 20

# The length that every path must carry in one piece (the least MTU of IPv6, without
# headers), and the length that most paths carry (Ethernet, without headers of IPv4).
LEAST_WHOLE, USUAL_WHOLE = 1232, 1472


@asynccontextmanager
async def _client(context: StepContext) -> AsyncIterator[DatagramClient]:
    if not context.addresses:
        await connecting.resolve(context)
    client = DatagramClient(context.reactor, context.addresses[0])
    try:
        yield client
    finally:
        client.close()


async def answer(context: StepContext) -> Finding:
    """
    Send one text.
    """
    async with _client(context) as client:
        context.broken = "no right answer"
        seconds = await client.ask(1, unlike(1, SIZE), context.timeout)
        context.broken, context.reachedAddress = "", str(context.addresses[0])
    return Finding(f"in {milliseconds(seconds)}", {"rtt_seconds": round(seconds, 6)})


async def order(context: StepContext) -> Finding:
    """
    Send many texts, and count lost, doubled and reordered answers.
    """
    answers: list[Deferred[bool]] = []
    async with _client(context) as client:
        for number in range(1, MANY + 1):
            asked = client.ask(number, unlike(number, SIZE), context.timeout)
            answers.append(asked.addCallbacks(lambda _: True, lambda _: False))
            await context.wait(GAP)
        came = sum(await gatherResults(answers))
    counts = {
        "lost": MANY - came,
        "duplicates": client.duplicates,
        "reordered": client.reordered,
    }
    said = f"of {MANY} datagrams: "
    said += ", ".join(f"{count} {name}" for name, count in counts.items())
    if any(counts.values()):
        raise Fault("unsteady-datagrams", said)
    return Finding(said, {"sent": MANY, **counts})


async def longline(context: StepContext) -> Finding:
    """
    Send texts that fill a packet.
    """
    async with _client(context) as client:
        await client.ask(1, unlike(1, LEAST_WHOLE), context.timeout)
        try:
            usual = min(context.timeout, 1.0)
            await client.ask(2, unlike(2, USUAL_WHOLE), usual)
            size, more = USUAL_WHOLE, ""
        except Fault as fault:
            size, more = LEAST_WHOLE, f"; of {USUAL_WHOLE} bytes: {fault}"
    return Finding(f"datagrams of {size} bytes pass whole{more}", {"bytes": size})


async def idle(context: StepContext) -> Finding:
    """
    Send a text from the same port after silence.
    """
    seconds = context.idle or 0.0
    async with _client(context) as client:
        await client.ask(1, unlike(1, SIZE), context.timeout)
        await context.wait(seconds)
        try:
            await client.ask(2, unlike(2, SIZE), context.timeout)
        except Fault as fault:
            raise Fault("idle-dead", f"after {seconds:g} s: {fault}") from fault
    return Finding(f"answered after {seconds:g} s", {"idle_seconds": seconds})


async def reconnect(context: StepContext) -> Finding:
    """
    Send texts from many ports.
    """
    times = []
    for number in range(1, SOCKETS + 1):
        async with _client(context) as client:
            try:
                times.append(
                    await client.ask(number, unlike(number, SIZE), context.timeout)
                )
            except Fault as fault:
                said = f"{len(times)} of {number} ports were answered; then: {fault}"
                raise Fault("unsteady", said) from fault
    least, most = milliseconds(min(times)), milliseconds(max(times))
    return Finding(f"{SOCKETS} ports, answers in {least} to {most}", {"ports": SOCKETS})


async def _notOverUDP(context: StepContext) -> Finding:
    raise Skip("not over UDP")


MAKE: runner.Steps = {
    **dict.fromkeys(STEPS, _notOverUDP),
    "resolve": connecting.resolve,
    "answer": answer,
    "order": order,
    "longline": longline,
    "idle": idle,
    "reconnect": reconnect,
}


async def check(
    options: Options, formatter: Formatter, connector: Connector, reactor: Any
) -> int:
    """
    Examine a path over UDP.

    @param options: the options of check.
    @param formatter: prints the steps.
    @param connector: looks up the name.
    @param reactor: sends, and tells the time.
    @return: the exit status.
    """
    return await runner.check(options, formatter, connector, reactor, MAKE)
