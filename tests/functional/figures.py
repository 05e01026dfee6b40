"""
Measure the figures of C{docs/reliability.rst}: C{python -m
tests.functional.figures}. It takes a minute or two.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median

from tests.functional.processes import Server, receiveAll, sendInBackground
from tests.functional.test_back_pressure import sendUntilItStalls
from tests.functional.test_fairness import TEXTS, roundTripsBesides
from tests.functional.test_floods import (
    IDLE,
    connectOneAfterAnother,
    idleMemory,
    resetHalfway,
)

MEBI = 1 << 20


def stalled(text: bytes) -> str:
    """
    What a client that never reads costs.
    """
    with Server() as server, server.connect() as connection:
        server.ask(b"warm up\n")
        before = server.memory()
        sendUntilItStalls(connection, text, 400_000_000)
        return f"{(server.memory() - before) / MEBI:.1f} MiB"


def exchange(text: bytes) -> str:
    """
    What it costs to have some ASCII text answered.
    """
    with Server() as server, server.connect() as connection:
        server.ask(b"warm up\n")
        memory, busy = server.memory(), server.processorTime()
        began = time.perf_counter()
        thread = sendInBackground(connection, text)
        assert receiveAll(connection) == text.upper()
        thread.join()
        took = time.perf_counter() - began
        busy = server.processorTime() - busy
        grown = (server.memory() - memory) / MEBI
        return f"{took:.2f} s, {busy:.2f} s of them the server's; {grown:.1f} MiB"


def resets(count: int) -> str:
    """
    What connections leave behind that were reset in the middle of a line.
    """
    with Server() as server:
        resetHalfway(server, count // 10)
        server.descriptorsAtRest()
        memory = server.memory()
        began = time.perf_counter()
        resetHalfway(server, count)
        took = time.perf_counter() - began
        server.descriptorsAtRest()
        return f"{(server.memory() - memory) / MEBI:.1f} MiB after {took:.1f} s"


def besides(text: bytes) -> str:
    """
    How long a client waits while four others stream.
    """
    with Server("--log", "none") as server:
        times = sorted(1000 * each for each in roundTripsBesides(server, text, 500))
    return f"median {median(times):.1f} ms, worst {times[-1]:.1f} ms"


def figures() -> Iterator[tuple[str, str]]:
    """
    Measure one after the other.
    """
    yield "a client that never reads, U+0390", stalled("ΐ\n".encode() * 20_000)
    yield "the same, invalid lines", stalled(b"\xff\n" * 30_000)
    yield "100 MB of lines, both ways", exchange((b"a" * 79 + b"\n") * 1_250_000)
    yield "100 MB without LF", exchange(b"a" * 100_000_000)
    yield "10 MB of LF", exchange(b"\n" * 10_000_000)
    with Server() as server:
        seconds = connectOneAfterAnother(server, 5000)
        yield "5,000 connections in turn", f"{seconds:.1f} s"
    with Server() as server:
        yield "an idle connection", f"{idleMemory(server, IDLE) / 1024:.2f} KiB"
    yield "20,000 resets", resets(20_000)
    for name, text in TEXTS.items():
        yield f"a round trip beside {name}", besides(text)


def main() -> None:
    """
    Print them.
    """
    for name, figure in figures():
        print(f"{name:45} {figure}", flush=True)


if __name__ == "__main__":
    main()
