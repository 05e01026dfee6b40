"""
How cost grows, where the time goes, and what a second worker brings: what
C{run.py --scaling}, C{run.py --profile} and C{run.py --workers} measure.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median
from typing import TYPE_CHECKING, Any

from scenes import ASCII, SCENES, Scene, ask, block, line, stream
from servers import PEERS_BY_KEY, WORKERS, Missing, Peer, Server

if TYPE_CHECKING:
    from run import Bench

CONNECTIONS = (1, 10, 100, 1_000, 10_000)
LENGTHS = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
SHARES = (0, 1, 10, 50, 100)

# A hundredfold of connections must not have a hundredfold of bytes on its way.
SMALL_BLOCK = 16 * 1024

PROFILED = ("ask100", "stream16", "stream80", "stream8k", "mixed", "connect10")

SHARED = ("ask100", "stream16", "stream80", "stream8k", "connect10")

# How many of the costliest functions are kept.
SYMBOLS = 12


def text(share: int) -> bytes:
    """
    Make lines of 80 characters of which some are not ASCII.

    @param share: how many of a hundred letters are not.
    @return: lines in UTF-8.
    """
    chance = random.Random(share)
    letters = []
    for position in range(400 * 80):
        if position % 80 == 79:
            letters.append("\n")
        elif chance.random() * 100 < share:
            letters.append(chance.choice("äöüßéèçñłżśåøαβγδλω"))
        else:
            letters.append(ASCII[position % len(ASCII)])
    return "".join(letters).encode()


def sweeps() -> Iterator[tuple[str, str, Scene, tuple[str, ...]]]:
    """
    Give all that is measured: the name of the sweep, the point in it, the scene,
    and the peers that can serve it.
    """
    peers = ("ours", "blocks-uvloop", "limit")
    lines = block(line(80), SMALL_BLOCK)
    for count in CONNECTIONS:
        yield "round trips by connections", str(count), ask("", count), peers
        scene = Scene("", "MB/s", "stream", count, lines, window=2)
        yield "streams by connections", str(count), scene, peers
    for length in LENGTHS:
        # An asyncio Protocol that joins bytes takes time that grows with the
        # square of a line's length.
        scene = stream("", line(length), connections=1)
        yield "streams by line length", str(length), scene, ("ours", "limit")
    for share in SHARES:
        peers = ("ours", "textbook", "blocks-uvloop")
        yield (
            "streams by share of non-ASCII letters",
            str(share),
            stream("", text(share)),
            peers,
        )


def measureScaling(bench: Bench, rounds: int) -> dict[str, Any]:
    """
    Measure all sweeps.

    @return: by sweep, its unit, and by peer and point the median figure.
    """
    values: dict[str, dict[str, dict[str, list[float]]]] = {}
    units = {}
    for _ in range(rounds):
        for sweep, point, scene, peers in sweeps():
            units[sweep] = scene.unit
            for peer in peers:
                try:
                    figure = bench.undisturbed(peer, scene)["figure"]
                except Missing as error:
                    bench.missing[peer] = str(error)
                else:
                    points = values.setdefault(sweep, {}).setdefault(peer, {})
                    points.setdefault(point, []).append(figure)
    return {
        sweep: {
            "unit": units[sweep],
            "figures": {
                peer: {
                    point: float(f"{median(figures):.4g}")
                    for point, figures in points.items()
                }
                for peer, points in byPeer.items()
            },
        }
        for sweep, byPeer in values.items()
    }


def scalingTable(scaling: dict[str, Any]) -> str:
    """
    Lay the sweeps out for a terminal.
    """
    lines = []
    for sweep, found in scaling.items():
        lines.append(f"\n{sweep}, {found['unit']}")
        points = next(iter(found["figures"].values()))
        lines.append(" " * 32 + "".join(f"{int(point):>12,}" for point in points))
        for peer, figures in found["figures"].items():
            row = "".join(f"{figure:>12,.0f}" for figure in figures.values())
            lines.append(f"  {PEERS_BY_KEY[peer].name:30}{row}")
    return "\n".join(lines)


def measureProfile(bench: Bench) -> dict[str, Any]:
    """
    Sample where this server's time goes, with perf(1).

    @return: by scene, the shares of the kernel, of Python and of the C library in
        the samples, and those of the costliest functions.
    @raise Missing: where perf is not installed, or may not look.
    """
    perf = shutil.which("perf")
    if perf is None:
        raise Missing("perf is not installed")
    profile = {}
    for key in PROFILED:
        server = bench.server("ours")
        data = bench.folder / "perf.data"
        record = subprocess.Popen(
            # The clock, as virtual machines have no counters of cycles.
            [
                *(perf, "record", "-q", "-F", "999", "-e", "cpu-clock"),
                *("-o", str(data), "-p", str(server.pid)),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            bench.traffic(server, SCENES[key])
        finally:
            # What perf got to know, it writes when it is interrupted.
            if record.poll() is None:
                record.send_signal(2)
            _, errors = record.communicate()
        objects = _report(perf, str(data), "dso")
        if not objects:
            raise Missing(f"perf: {errors.strip() or 'no samples'}")
        shares = {"kernel": 0.0, "python": 0.0, "C library": 0.0, "other": 0.0}
        for share, name in objects:
            shares[_origin(name)] += share
        profile[key] = {
            "shares": {name: round(share, 1) for name, share in shares.items()},
            "functions": [
                f"{share:.1f} {name}"
                for share, name in _report(perf, str(data), "sym")[:SYMBOLS]
            ],
        }
    return profile


def _report(perf: str, data: str, sort: str) -> list[tuple[float, str]]:
    """
    Read shares, in percent, and what they belong to, from a recording.
    """
    output = subprocess.run(
        [perf, "report", "-i", data, "--stdio", "--sort", sort],
        capture_output=True,
        text=True,
    ).stdout
    found = re.findall(r"^ +([\d.]+)% +(\S.*?) *$", output, re.MULTILINE)
    return [(float(share), name) for share, name in found]


def _origin(name: str) -> str:
    """
    Sort a mapped file into one of four kinds.
    """
    if name.startswith("[kernel"):
        return "kernel"
    if "python" in name or ".cpython" in name:
        return "python"
    if re.match(r"libc[.-]", name):
        return "C library"
    return "other"


def profileTable(profile: dict[str, Any]) -> str:
    """
    Lay the profile out for a terminal.
    """
    lines = ["\nwhere the server's time goes, in percent"]
    for key, found in profile.items():
        shares = ", ".join(
            f"{name} {share:g}" for name, share in found["shares"].items()
        )
        lines.append(f"  {SCENES[key].title:36} {shares}")
        lines.extend(f"      {function}" for function in found["functions"])
    return "\n".join(lines)


def measureWorkers(bench: Bench, rounds: int) -> dict[str, Any]:
    """
    Compare two workers with one service, and with two, which is what two workers
    are to be as good as. All have the server's core, in turn: what they do there
    with a second of its time, they can do with one of any core. There is a load
    for each process that serves.

    @return: by what is compared with and by scene, how much more two workers do in
        a second of processor time, as the median of the rounds.
    """
    one, two = WORKERS
    services = {"one": [one], "two": [one, one]}
    ratios: dict[str, dict[str, list[float]]] = {
        compared: {key: [] for key in SHARED} for compared in services
    }
    for _ in range(rounds):
        for key in SHARED:
            workers = _rate(bench, SCENES[key], [two], 2)
            for compared, peers in services.items():
                rate = _rate(bench, SCENES[key], peers, 1)
                ratios[compared][key].append(workers / rate)
    return {
        compared: {key: float(f"{median(found):.3g}") for key, found in each.items()}
        for compared, each in ratios.items()
    }


def _rate(bench: Bench, scene: Scene, peers: list[Peer], loads: int) -> float:
    """
    Measure what some services do together in a second of processor time.

    @param loads: how many loads ask each service.
    """
    with ExitStack() as stack:
        servers = [stack.enter_context(Server(peer, bench.folder)) for peer in peers]
        # Workers that have answered have started.
        bench.together(servers * loads, scene)
        before = sum(server.processorTime() for server in servers)
        figure = bench.together(servers * loads, scene)
        return figure / (sum(server.processorTime() for server in servers) - before)


def workersTable(ratios: dict[str, dict[str, float]]) -> str:
    """
    Lay the comparison of workers out for a terminal.
    """
    lines = ["\ntwo workers, per second of processor time, by one service and by two"]
    for key, ratio in ratios["one"].items():
        lines.append(f"  {SCENES[key].title:36} {ratio:<6.3g} {ratios['two'][key]:.3g}")
    return "\n".join(lines)
