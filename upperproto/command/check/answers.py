"""
Steps of check about answers: one, many, much, a long line, no line end.
"""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred

from upperproto.command.check.stepcontext import Finding, Skip, StepContext
from upperproto.command.findings.diagnoses import Fault, notAnswered
from upperproto.command.findings.durations import milliseconds

LINES = 1000
BULK = 16 << 20
LONG_LINE = 1 << 20

# How many characters a line of the bulk has, and how many bytes of text may wait for
# their answers.
_BULK_LINE = 1 << 15
_UNDER_WAY = 2 << 20

# After how many seconds without an answer the server is one that answers lines only.
_QUIET = 3.0


async def answer(context: StepContext) -> Finding:
    """
    Ask for a known answer, and once more, to see that nothing else comes.
    """
    try:
        probe = await context.open()
        record = await probe.ask(context.text())
        if record.fault is None:
            again = await probe.ask(context.text())
            record.fault = again.fault
        if record.fault is not None:
            raise record.fault
    except Fault:
        context.broken = "no right answer"
        raise
    measured = {"rtt_seconds": round(record.rttSeconds or 0.0, 6)}
    said = f"in {milliseconds(record.rttSeconds)}"
    if record.instance:
        return Finding(
            f"{said}, served by {record.instance}",
            {**measured, "instance": record.instance},
        )
    return Finding(said, measured)


async def order(context: StepContext) -> Finding:
    """
    Send many lines before the first answer is read.
    """
    probe = await context.open()
    started = context.connector.now()
    asked = []
    for _ in range(LINES):
        text = context.text()
        asked.append((text, probe.client.upper(text)))
    await context.collect(probe, asked)
    taken = context.connector.now() - started
    return Finding(
        f"{LINES} lines sent at once were answered in order in {milliseconds(taken)}",
        {"lines": LINES, "order_seconds": round(taken, 6)},
    )


async def bulk(context: StepContext) -> Finding:
    """
    Send a lot of text, and read the answers at the same time.
    """
    probe = await context.open()
    client = probe.client
    started = context.connector.now()
    sent = received = 0
    waiting: deque[tuple[str, Deferred[str]]] = deque()
    while sent < BULK or waiting:
        while sent < BULK and client.waitingBytes < _UNDER_WAY:
            text = context.text(_BULK_LINE)
            before = client.waitingBytes
            waiting.append((text, client.upper(text)))
            if client.waitingBytes == before:
                # The connection has ended, and the request has failed.
                break
            sent += client.waitingBytes - before
        _, answered = waiting.popleft()
        try:
            received += len((await probe.settle(answered)).encode()) + 1
        except Fault as fault:
            for _, left in waiting:
                left.addErrback(lambda _: None)
            mebibytes = received / (1 << 20)
            raise Fault(
                fault.code, f"after {mebibytes:.1f} MiB of answers: {fault}"
            ) from fault
    taken = context.connector.now() - started
    rate = received / (1 << 20) / taken if taken else 0.0
    return Finding(
        f"{sent >> 20} MiB up and {received >> 20} MiB down at once, exact, in"
        f" {taken:.1f} s ({rate:.1f} MiB/s down)",
        {
            "sent_bytes": sent,
            "received_bytes": received,
            "bulk_seconds": round(taken, 6),
            "received_bytes_per_second": round(received / taken) if taken else None,
        },
    )


async def longline(context: StepContext) -> Finding:
    """
    Send one long line in one piece.
    """
    probe = await context.open()
    text = context.text(LONG_LINE)
    text = text[: len(text) * LONG_LINE // len(text.encode())]
    started = context.connector.now()
    try:
        await probe.settle(probe.client.upper(text))
    except Fault as fault:
        received = probe.client.receivedBytes
        raise Fault(
            fault.code, f"after {received} bytes of its answer: {fault}"
        ) from fault
    taken = context.connector.now() - started
    size = len(text.encode()) + 1
    return Finding(
        f"a line of {size} bytes in {milliseconds(taken)}",
        {"line_bytes": size, "longline_seconds": round(taken, 6)},
    )


async def quiet(context: StepContext) -> Finding:
    """
    Send text without a line end, and wait.
    """
    probe = await context.open()
    client = probe.client
    text = context.text()
    expected = text.upper().encode()
    started = context.connector.now()
    client.transport.write(text.encode())
    limit = min(_QUIET, context.timeout)
    # A notice may come first, so not all that came is the answer.
    while client.reason is None and len(client.unfinished) < len(expected):
        if client.unasked or context.connector.now() - started > limit:
            break
        await context.wait(0.002)
    taken = context.connector.now() - started
    if client.unfinished == expected:
        return Finding(
            f"text without a line end was answered after {milliseconds(taken)}",
            {"quiet_seconds": round(taken, 6)},
        )
    came = client.unfinished or client.unasked or client.error
    if came or client.reason is not None:
        raise notAnswered(client.reason, client)
    client.transport.write(b"\n")
    while client.reason is None and not client.unasked:
        if context.connector.now() - started > limit + context.timeout:
            break
        await context.wait(0.002)
    if client.unasked and client.unasked[0] == expected:
        raise Skip(f"the server answers lines only (waited {limit:g} s)")
    raise notAnswered(client.reason, client)
