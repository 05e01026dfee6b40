"""
Steps of check about half-close, slow readers, silence and new connections.
"""

from __future__ import annotations

import socket
from collections import Counter
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from upperproto.command.check.path import Finding, Path
from upperproto.command.findings.faults import Fault
from upperproto.command.findings.formatter import milliseconds

CONNECTIONS = 20

# How many lines each connection of halfclose sends before it ends its side.
_CONVERSATIONS = (1, 1, 1, 1, 1, 1000)

# How many characters a line of slowreader has, and how many bytes are sent at most.
_SLOW_LINE = 1 << 13
_MOST_UNREAD = 32 << 20

# The faults of missing answers.
_LOSSES = {"closed", "cut", "half", "silent", "foreign", "order", "torn", "wrong"}

# How often we look, in seconds, whether a connection has ended while we wait.
_LOOK = 0.05


async def halfclose(path: Path) -> Finding:
    """
    End our side together with the last line, after one line and after many.
    """
    started = path.connector.now()
    for lines in _CONVERSATIONS:
        await _endWith(path, lines)
    taken = path.connector.now() - started
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


async def _endWith(path: Path, lines: int) -> None:
    """
    Send some lines and our end in one go.
    """
    probe = await path.open()
    client = probe.client
    transport: Any = client.transport
    _cork(transport)
    asked = []
    for _ in range(lines):
        text = path.text()
        asked.append((text, client.upper(text)))
    transport.loseWriteConnection()
    try:
        await path.collect(probe, asked)
    except Fault as fault:
        if fault.code in {"closed", "cut", "half"} - path.faults:
            raise Fault("halfclose-cut", str(fault)) from fault
        raise
    answered = path.connector.now()
    while client.reason is None:
        if path.connector.now() - answered > path.timeout:
            raise Fault(
                "halfclose-open",
                f"all answers came, and no end within {path.timeout:g} s",
            )
        await path.wait(0.002)
    if not isinstance(client.reason, ConnectionDone):
        raise Fault("cut", "all answers came, and then no proper end")


def _cork(transport: Any) -> None:
    """
    Send our text and our end in one segment (TCP_CORK of tcp(7)). If the end were sent
    later, the answers could already have come, and the fault would not be seen.
    """
    below = getattr(transport, "transport", transport)
    # A UNIX socket has no segments.
    with suppress(AttributeError, OSError):
        below.getHandle().setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)


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


async def slowreader(path: Path) -> Finding:
    """
    Send as much as the path takes, and read nothing for some time.
    """
    probe = await path.open()
    client = probe.client
    transport: Any = client.transport
    brake = _Brake()
    asked: list[tuple[str, Deferred[str]]] = []
    sent = 0
    transport.registerProducer(brake, True)
    transport.pauseProducing()
    started = path.connector.now()
    while path.connector.now() - started < path.slow:
        if brake.paused or sent >= _MOST_UNREAD or client.reason is not None:
            await path.wait(_LOOK)
            continue
        text = path.text(_SLOW_LINE)
        asked.append((text, client.upper(text)))
        sent = client.waitingBytes
        await path.wait(0)
    transport.unregisterProducer()
    transport.resumeProducing()
    try:
        received = await path.collect(probe, asked)
    except Fault as fault:
        # A fault that a quick reader has seen, too, has another cause.
        if fault.code in _LOSSES - path.faults:
            raise Fault("slowreader-lost", str(fault)) from fault
        raise
    return Finding(
        f"after {path.slow:g} s unread, all {len(asked)} answers to {sent >> 10} KiB"
        " came",
        {
            "unread_seconds": path.slow,
            "sent_bytes": sent,
            "received_bytes": received,
            "lines": len(asked),
        },
    )


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
        await path.wait(min(_LOOK, path.idle))
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


async def reconnect(path: Path) -> Finding:
    """
    Make many connections, one after the other.
    """
    instances: Counter[str] = Counter()
    times, failed = [], []
    started = path.connector.now()
    for number in range(CONNECTIONS):
        try:
            probe = await path.open()
            record = await probe.ask(path.text())
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
    taken = path.connector.now() - started
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
