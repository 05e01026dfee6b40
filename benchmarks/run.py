"""
Measure this server beside its peers: C{python benchmarks/run.py}.

Each round runs every scene, and each scene every peer, in an order that is drawn
anew, so that what disturbs the machine disturbs all. A ratio is the median of the
rounds' ratios. The server has one core to itself, the load another.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import random
import resource
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from timeit import repeat
from typing import Any

from scaling import (
    measureProfile,
    measureScaling,
    measureWorkers,
    profileTable,
    scalingTable,
    workersTable,
)
from scenes import IDLE, SCENES, TARGETS, Scene
from servers import (
    DISTURBED,
    HERE,
    LOAD_CORE,
    PATIENCE,
    PEERS_BY_KEY,
    SERVER_CORE,
    Missing,
    Server,
    compileC,
    place,
)

# How often a figure that was disturbed is taken again.
REPEATS = 2
REPEAT_FOR = 240.0  # Seconds; after them, no figure is taken again.

QUICK_IDLE = 500

# What the two clients of the "filter" scene send through, in bytes.
FILTERED = 500 << 20


class Bench:
    """
    One run.

    @ivar values: by scene and peer, what was measured, round by round: the
        C{figure}, in the scene's unit, and what else is known about it.
    @ivar missing: by peer, what it lacks.
    @ivar failures: by scene and peer, what went wrong.
    """

    def __init__(
        self, folder: Path, seconds: float, idle: int, deadline: float
    ) -> None:
        """
        @param folder: for all that is built, sent and logged.
        @param seconds: how long each figure is measured.
        @param idle: how many idle connections are opened.
        @param deadline: the monotonic time from which on nothing is repeated.
        """
        self.folder = folder
        self.seconds = seconds
        self.idle = idle
        self.deadline = deadline
        self.values: dict[str, dict[str, list[dict[str, float]]]] = {}
        self.missing: dict[str, str] = {}
        self.failures: dict[str, dict[str, str]] = {}
        self.load = compileC(HERE / "load.c", folder, "-O2")
        self._servers: dict[str, Server] = {}

    def round(self, scenes: dict[str, Scene], peers: list[str]) -> None:
        """
        Measure every scene with every peer, once, in an order that is drawn each
        time: what comes before a figure may have a part in it.
        """
        for key, scene in scenes.items():
            drawn = random.sample(peers, len(peers))
            for peer in ["ours"] if scene.kind == "filter" else drawn:
                if not (
                    key in PEERS_BY_KEY[peer].cannot
                    or peer in self.missing
                    or peer in self.failures.get(key, {})
                ):
                    self._measure(key, scene, peer)
        self.end()

    def end(self, *peers: str) -> None:
        """
        End the servers of some peers, if they run; by default, all.
        """
        for peer in peers or list(self._servers):
            if peer in self._servers:
                self._servers.pop(peer).end()

    def _measure(self, key: str, scene: Scene, peer: str) -> None:
        """
        Take one figure; note it, or why there is none.
        """
        try:
            if scene.kind == "filter":
                for name, figure in self.filter(self.server(peer), scene).items():
                    self._note(key, name, figure)
            elif scene.kind == "idle":
                # Once: memory does not depend on who else uses the machine.
                if not self.values.get(key, {}).get(peer):
                    # What earlier scenes left behind must not be reused.
                    self.end(peer)
                    self._note(key, peer, self.memory(self.server(peer), scene))
            else:
                self._note(key, peer, self.undisturbed(peer, scene))
        except Missing as error:
            self.missing[peer] = str(error)
        except (RuntimeError, subprocess.SubprocessError) as error:
            # Once is enough: no figure stands for a peer that answers wrongly.
            self.failures.setdefault(key, {})[peer] = str(error)
            self.values.get(key, {}).pop(peer, None)
            print(f"{peer}, {key}: {error}", file=sys.stderr)
            self.end(peer)

    def _note(self, key: str, peer: str, figure: dict[str, float]) -> None:
        self.values.setdefault(key, {}).setdefault(peer, []).append(figure)

    def server(self, peer: str) -> Server:
        """
        Give a peer's server, started if it does not run.
        """
        server = self._servers.get(peer)
        if server is None or not server.running():
            server = Server(PEERS_BY_KEY[peer], self.folder)
            self._servers[peer] = server
        return server

    def undisturbed(self, peer: str, scene: Scene) -> dict[str, float]:
        """
        Measure, again if other programs had our cores, and give the figure that
        was disturbed least.
        """
        figures = []
        for _ in range(1 + REPEATS):
            figures.append(self.traffic(self.server(peer), scene))
            if PEERS_BY_KEY[peer].once:
                self.end(peer)
            if figures[-1]["disturbed"] < DISTURBED or time.monotonic() > self.deadline:
                break
        return min(figures, key=lambda each: each["disturbed"])

    def traffic(self, server: Server, scene: Scene) -> dict[str, float]:
        """
        Let the load ask the server.

        @return: the figure, the shares of their cores that server and load used,
            and the share of the time for which each waited for its core.
        @raise RuntimeError: for a wrong answer, or none.
        """
        before = server.usage()
        found = self._found(self._load(server, scene, str(self.seconds)))
        used = server.usage(before)
        disturbed = max(found["waited"], used.pop("waited"))
        return {
            "figure": found[scene.figure] / (1e6 if scene.unit == "MB/s" else 1),
            "load": found["load"],
            **used,
            "disturbed": disturbed,
        }

    def together(self, servers: list[Server], scene: Scene) -> float:
        """
        Let a load ask each of some servers, all at the same time.

        @return: the sum of their figures, each by the second.
        @raise RuntimeError: for a wrong answer, or none.
        """
        loads = [self._load(server, scene, str(self.seconds)) for server in servers]
        return sum(self._found(load)[scene.figure] for load in loads)

    def _found(self, load: subprocess.Popen[str]) -> dict[str, float]:
        """
        Wait for what a load has found.
        """
        output, errors = load.communicate()
        if load.returncode:
            raise RuntimeError(errors.strip())
        found: dict[str, float] = json.loads(output)
        return found

    def memory(self, server: Server, scene: Scene) -> dict[str, float]:
        """
        Measure by how much the server's memory grows for each idle connection.
        """
        # The first ones load and set aside what all others share.
        self._hold(server, scene, 20, server.memory())
        growth = self._hold(server, scene, self.idle, server.memory())
        return {"figure": growth / self.idle}

    def _hold(self, server: Server, scene: Scene, count: int, before: int) -> int:
        """
        Hold some connections open.

        @return: by how many bytes the server's memory grew meanwhile.
        """
        load = self._load(server, scene, str(int(scene.ask)), count)
        assert load.stdout is not None
        opened = load.stdout.readline()
        growth = server.memory() - before
        _, errors = load.communicate("")
        if opened != "open\n":
            raise RuntimeError(errors.strip())
        return growth

    def _load(
        self, server: Server, scene: Scene, argument: str, connections: int = 0
    ) -> subprocess.Popen[str]:
        request, answer = scene.write(self.folder)
        return subprocess.Popen(
            [
                *(self.load, scene.kind, str(server.port)),
                *(str(connections or scene.connections), argument),
                *(request, answer, str(scene.window)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: place(LOAD_CORE),
            start_new_session=True,
        )

    def filter(self, server: Server, scene: Scene) -> dict[str, dict[str, float]]:
        """
        Send a file through this server with C{upper-client} and with C{nc}.

        @return: the figures by client.
        """
        times = max(1, int(FILTERED * min(1.0, self.seconds)) // len(scene.request))
        source, result = self.folder / "filtered", self.folder / "answered"
        with source.open("wb") as file:
            file.writelines([scene.request] * times)
        upperClient = Path(sysconfig.get_path("scripts"), "upper-client")
        clients = {
            "upper-client": (str(upperClient), "--port", str(server.port)),
            "nc": ("nc", "-N", "127.0.0.1", str(server.port)),
        }
        figures = {}
        for name, command in clients.items():
            if name in self.missing:
                continue
            if shutil.which(command[0]) is None:
                self.missing[name] = f"{name} is not installed"
                continue
            with source.open("rb") as data, result.open("wb") as answers:
                began = time.monotonic()
                done = subprocess.run(
                    command,
                    stdin=data,
                    stdout=answers,
                    stderr=subprocess.PIPE,
                    text=True,
                    timeout=2 * PATIENCE,
                    preexec_fn=lambda: place(LOAD_CORE),
                    start_new_session=True,
                )
                elapsed = time.monotonic() - began
            if done.returncode:
                last = done.stderr.strip().splitlines()[-1:] or ["no message"]
                self.missing[name] = f"{name} ends with {last[0]}"
                continue
            with result.open("rb") as file:
                if any(file.read(len(scene.answer)) != scene.answer
                       for _ in range(times)) or file.read(1):  # fmt: skip
                    raise RuntimeError(f"{name} gave a wrong answer")
            figures[name] = {"figure": times * len(scene.request) / elapsed / 1e6}
        return figures


def summarize(
    bench: Bench, scenes: dict[str, Scene], peers: list[str]
) -> dict[str, Any]:
    """
    Make medians and ratios of what was measured, for JSON.
    """
    result: dict[str, Any] = {}
    for key, scene in scenes.items():
        found = bench.values.get(key, {})
        # The order of the first round was drawn. A filter's clients are no peers.
        values = {peer: found[peer] for peer in peers if peer in found} or found
        ours = values.get("upper-client" if scene.kind == "filter" else "ours", [])
        summary: dict[str, Any] = {"title": scene.title, "unit": scene.unit}
        summary["figures"] = {
            peer: _medians(figures) for peer, figures in values.items()
        }
        ratios = _ratios(ours, values, _figure)
        byProcessor = _ratios(ours, values, _perProcessor)
        summary["ratios"] = {peer: _middle(each) for peer, each in ratios.items()}
        summary["bounds"] = {peer: _bounds(each) for peer, each in ratios.items()}
        summary["processorRatios"] = {
            peer: _middle(each) for peer, each in byProcessor.items()
        }
        without = {
            peer: PEERS_BY_KEY[peer].cannot[key]
            for peer in peers
            if key in PEERS_BY_KEY[peer].cannot and scene.kind != "filter"
        }
        summary["without"] = {**without, **bench.failures.get(key, {})}
        result[key] = summary
    return result


def _ratios(
    ours: list[dict[str, float]],
    values: dict[str, list[dict[str, float]]],
    measure: Callable[[dict[str, float]], float | None],
) -> dict[str, list[float]]:
    """
    Compare with each peer, round by round.
    """
    ratios = {}
    for peer, figures in values.items():
        rounds = [
            mine / theirs
            for mine, theirs in zip(
                map(measure, ours), map(measure, figures), strict=False
            )
            if mine and theirs
        ]
        if rounds:
            ratios[peer] = rounds
    return ratios


def _bounds(ratios: list[float]) -> tuple[float, float]:
    """
    Tell how far the median of some ratios can be trusted: the bounds within which
    it would come to lie, were there rounds without end, in 95 cases of 100, by the
    sign test. They say nothing about another machine.
    """
    ranked = sorted(ratios)
    rank = max(0, math.floor(len(ranked) / 2 - 0.98 * math.sqrt(len(ranked))))
    return _digits(ranked[rank]), _digits(ranked[-1 - rank])


def _figure(measured: dict[str, float]) -> float:
    """
    What was measured, by the clock on the wall.
    """
    return measured["figure"]


def _perProcessor(measured: dict[str, float]) -> float | None:
    """
    What was measured, by the server's processor time: less exact, but it hardly
    changes when other programs take a part of the core.
    """
    used = measured.get("server", 0) + measured.get("kernel", 0)
    return measured["figure"] / used if used else None


def _medians(figures: list[dict[str, float]]) -> dict[str, Any]:
    names = dict.fromkeys(name for each in figures for name in each)
    medians: dict[str, Any] = {
        name: _middle(each[name] for each in figures if name in each) for name in names
    }
    medians["all"] = [_digits(each["figure"]) for each in figures]
    return medians


def _middle(numbers: Iterable[float]) -> float:
    """
    Give the median.
    """
    return _digits(median(numbers))


def _digits(number: float) -> float:
    """
    Round to four significant digits, which is more than the machine repeats.
    """
    return float(f"{number:.4g}")


def judge(scenes: dict[str, Any]) -> list[dict[str, Any]]:
    """
    Set what was reached beside what was to be reached.

    @param scenes: as L{summarize} gives them.
    @return: for each target that could be measured, whether it is met, and, if it is
        a ratio, between which bounds it lies.
    """
    verdicts = []
    for target in TARGETS:
        scene = scenes.get(target.scene, {})
        if target.peer is None:
            value = scene.get("figures", {}).get("ours", {}).get("figure")
            met = value is not None and value <= target.value
        else:
            value = scene.get("ratios", {}).get(target.peer)
            met = value is not None and value >= target.value
        if value is not None:
            verdicts.append(
                {
                    "scene": target.scene,
                    "peer": target.peer,
                    "target": target.value,
                    "reached": value,
                    "between": scene["bounds"].get(target.peer),
                    "met": met,
                    "disturbed": max(
                        scene["figures"].get(peer, {}).get("disturbed", 0)
                        for peer in ("ours", target.peer)
                    ),
                }
            )
    return verdicts


def machine() -> dict[str, Any]:
    """
    Describe where this runs.
    """
    processor = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            processor = line.partition(": ")[2]
            break
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load": os.getloadavg()[0],
        "bytesUpper": upperRate(),
    }


def upperRate() -> float:
    """
    How many MB of ASCII C{bytes.upper} makes in a second: it is most of what streams
    cost, and goes twice as fast in one build of Python as in another.
    """
    text = b"upper case\n" * 24_000
    return _digits(len(text) / median(repeat(text.upper, number=1, repeat=200)) / 1e6)


def versions() -> dict[str, str]:
    """
    Tell the versions of all that takes part, as far as it is here.
    """
    found = {"python": platform.python_version()}
    for package in ("upperproto", "twisted", "uvloop"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    for name, *command in (
        ("cc", "cc", "--version"),
        ("go", "go", "version"),
        ("socat", "socat", "-V"),
    ):
        if shutil.which(command[0]):
            output = subprocess.run(command, capture_output=True, text=True).stdout
            lines = [line for line in output.splitlines() if "version" in line.lower()]
            found[name] = (lines or output.splitlines())[0]
    return found


def table(results: dict[str, Any]) -> str:
    """
    Lay the results out for a terminal.
    """
    lines = []
    for key, scene in results["scenes"].items():
        lines.append(f"\n{scene['title']} ({key}), {scene['unit']}")
        for peer, figure in scene["figures"].items():
            name = PEERS_BY_KEY[peer].name if peer in PEERS_BY_KEY else peer
            text = f"  {name:30} {_number(figure['figure']):>12}"
            ratio = scene["ratios"].get(peer)
            text += f"  ours/it {ratio:7.3g}" if ratio is not None else " " * 17
            ratio = scene["processorRatios"].get(peer)
            text += f", by CPU {ratio:7.3g}" if ratio is not None else " " * 16
            if "load" in figure:
                text += f"   load {figure['load']:4.0%}"
            if "server" in figure:
                text += f", server {figure['server']:4.0%} + {figure['kernel']:4.0%}"
            if figure.get("disturbed", 0) >= DISTURBED:
                text += f"; DISTURBED {figure['disturbed']:.0%}"
            lines.append(text)
        for peer, why in scene["without"].items():
            lines.append(f"  {PEERS_BY_KEY[peer].name:30} {'-':>12}  {why}")
    for peer, why in results["missing"].items():
        lines.append(f"\nmissing: {peer}: {why}")
    if results["targets"]:
        lines.append(
            f"\n{'target':54} {'at least':>9} {'reached':>9}  {'(95 % bounds)':16}"
        )
    for verdict in results["targets"]:
        scene = results["scenes"][verdict["scene"]]["title"]
        if verdict["peer"] is None:
            what, bound = scene, f"<= {verdict['target']:g}"
        else:
            what = f"{scene}, by {PEERS_BY_KEY[verdict['peer']].name}"
            bound = f"{verdict['target']:g}"
        bounds = ""
        if verdict["between"] is not None:
            bounds = "{:.3g} to {:.3g}".format(*verdict["between"])
        lines.append(
            f"{what:54} {bound:>9} {verdict['reached']:>9.3g}"
            f"  {bounds:16}"
            f"  {'met' if verdict['met'] else 'MISSED'}"
            f"{', disturbed' if verdict['disturbed'] >= DISTURBED else ''}"
        )
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def parse(arguments: list[str]) -> argparse.Namespace:
    """
    Read the command line.
    """
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n")[1],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each is run")
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="how long each figure is measured"
    )
    parser.add_argument(
        "--scenes", nargs="+", choices=SCENES, default=list(SCENES), metavar="SCENE",
        help="what to measure",
    )  # fmt: skip
    parser.add_argument(
        "--peers", nargs="+", choices=PEERS_BY_KEY, default=list(PEERS_BY_KEY),
        metavar="PEER", help="what to measure it with; ours is always there",
    )  # fmt: skip
    parser.add_argument(
        "--json", type=Path, help="where to write the results;"
        " a run of all scenes and peers writes benchmarks/results.json",
    )  # fmt: skip
    parser.add_argument(
        "--quick", action="store_true", help="one round of a fifth of a second each:"
        " shows that all works, and little of how fast it is",
    )  # fmt: skip
    parser.add_argument(
        "--scaling", action="store_true", help="instead, measure how cost grows with"
        " connections, line length and the share of non-ASCII text",
    )  # fmt: skip
    parser.add_argument(
        "--profile", action="store_true", help="instead, sample where this server's"
        " time goes, with perf",
    )  # fmt: skip
    parser.add_argument(
        "--workers", action="store_true", help="instead, compare what two workers, one"
        " service and two do in a second of processor time",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.seconds = 1, 0.2
    options.peers = [
        key for key in PEERS_BY_KEY if key == "ours" or key in options.peers
    ]
    whole = len(options.peers) == len(PEERS_BY_KEY) and set(options.scenes) == set(
        SCENES
    )
    kept = whole or options.scaling or options.profile or options.workers
    if options.json is None and kept:
        if not options.quick:
            options.json = HERE / "results.json"
    return options


def main(arguments: list[str]) -> None:
    """
    Run, print the tables, and write the results.

    @raise Missing: where nothing can be measured.
    """
    options = parse(arguments)
    if not {SERVER_CORE, LOAD_CORE} <= os.sched_getaffinity(0):
        raise Missing("server and load need a core each")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(
            Path(name),
            options.seconds,
            QUICK_IDLE if options.quick else IDLE,
            began + (0 if options.quick else REPEAT_FOR),
        )
        results: dict[str, Any]
        try:
            if options.scaling:
                sweeps = measureScaling(bench, options.rounds)
                results = {"scaling": {**_about(options), "sweeps": sweeps}}
                print(scalingTable(sweeps))
            elif options.profile:
                profile = measureProfile(bench)
                results = {"profile": {**_about(options), "scenes": profile}}
                print(profileTable(profile))
            elif options.workers:
                workers = measureWorkers(bench, options.rounds)
                results = {"workers": {**_about(options), "ratios": workers}}
                print(workersTable(workers))
            else:
                results = measure(bench, options)
                print(table(results))
        finally:
            bench.end()
    print(f"\ntook {time.monotonic() - began:.0f} s", file=sys.stderr)
    if options.json is not None:
        _keep(options.json, results)


def measure(bench: Bench, options: argparse.Namespace) -> dict[str, Any]:
    """
    Run the scenes.

    @return: all that is known of them, for JSON.
    """
    scenes = {key: SCENES[key] for key in options.scenes}
    results = _about(options)
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
        bench.round(scenes, options.peers)
    results["missing"] = bench.missing
    results["scenes"] = summarize(bench, scenes, options.peers)
    results["targets"] = judge(results["scenes"])
    return results


def _about(options: argparse.Namespace) -> dict[str, Any]:
    """
    Tell when, where and how long something is measured.
    """
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "versions": versions(),
        "rounds": options.rounds,
        "seconds": options.seconds,
    }


def _keep(path: Path, results: dict[str, Any]) -> None:
    """
    Write results, beside those of another kind that are there already.
    """
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    kept.update(results)
    path.write_text(
        json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Missing as error:
        sys.exit(f"cannot measure: {error}")
