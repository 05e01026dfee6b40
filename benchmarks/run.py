"""
Measure this server beside its peers: C{python benchmarks/run.py}.

Each round runs every scene, and each scene every peer, in an order that is drawn anew,
so that what disturbs the machine disturbs all. A ratio is the median of the rounds'
ratios. The server has one core to itself, the load another.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import resource
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import timeit
from collections import defaultdict
from contextlib import ExitStack, closing
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from report import details, table
from scenes import GROUPS, SCENES, Scene
from servers import LOAD_CORE, PEERS, Server, build, split

Measures = dict[str, float]


class Bench:
    """
    One run.

    @ivar values: by scene, peer and measure, what was measured, round by round:
        C{figure}, in the scene's unit; C{worst}, likewise; C{MB}, of memory;
        C{processor} and C{load}, the shares of their cores that server and load had,
        and C{waited}, that for which one was ready while another program had its core.
    @ivar without: by scene and peer, why there is no figure.
    """

    def __init__(self, seconds: float) -> None:
        """Take so long for each figure; below a second, with less to hold or filter."""
        self.seconds = seconds
        self.values: dict[str, dict[str, dict[str, list[float]]]] = defaultdict(dict)
        self.without: dict[str, dict[str, str]] = defaultdict(dict)
        self._servers: dict[str, Server] = {}

    def round(self, scenes: list[str], peers: list[str]) -> None:
        """Measure every scene with every peer that can serve it, once."""
        turns = [
            (key, peer) for key in scenes for peer in random.sample(peers, len(peers))
        ]
        with ExitStack() as self._ends:
            for key, peer in turns:
                if not PEERS[peer].serves(SCENES[key]) or peer in self.without[key]:
                    continue
                values = self.values[key].setdefault(peer, {})
                try:
                    for name, value in self._measure(peer, SCENES[key]).items():
                        values.setdefault(name, []).append(value)
                except (RuntimeError, OSError) as error:
                    # No figure stands for a peer that answers wrongly.
                    del self.values[key][peer]
                    self.without[key][peer] = str(error)

    def _measure(self, peer: str, scene: Scene) -> Measures:
        """Take one figure. For a wrong answer or none, there is a L{RuntimeError}."""
        if scene.kind == "client":
            return self._send(PEERS[peer].can["client"], scene)
        if scene.kind not in ("start", "idle"):
            return self._ask(self._running(peer, scene), scene)
        # What has done nothing before.
        began = time.monotonic()
        with closing(Server(PEERS[peer], scene)) as server:
            passed = time.monotonic() - began
            if scene.kind == "start":
                return {"figure": passed * 1e3, "MB": server.memory() / 1e6}
            return self._hold(server, scene)

    def _running(self, peer: str, scene: Scene) -> Server:
        """Give a peer's server for a scene, started if it does not run."""
        key = PEERS[peer].words(scene)
        if key not in self._servers or not self._servers[key].running():
            server = self._servers[key] = Server(PEERS[peer], scene)
            self._ends.callback(server.close)
            used, before = 0.0, -1.0
            while used - before > 0.005:  # Workers are started by one who listens.
                time.sleep(0.05)
                used, before = server.usage()[0], used
        return self._servers[key]

    def _ask(self, server: Server, scene: Scene) -> Measures:
        """Let the load ask a server."""
        answer = scene.request.decode().upper().encode()
        words = (
            *("./load", scene.kind, scene.security, server.port, scene.connections),
            *(self.seconds, scene.window, scene.rate, scene.clients),
            *(_file(scene.request), _file(answer), _file(scene.text)),
        )
        began, before = time.monotonic(), server.usage()
        load = subprocess.run([*map(str, words)], capture_output=True, text=True)
        passed, after = time.monotonic() - began, server.usage()
        if load.returncode:
            late = load.returncode == -signal.SIGALRM
            raise RuntimeError("no answers in time" if late else load.stderr.strip())
        found = json.loads(load.stdout)
        measures = {
            "figure": found["perSecond"],
            "processor": (after[0] - before[0]) / passed,
            "load": found["ran"] / passed,
            "waited": max(found["waited"], after[1] - before[1]) / passed,
        }
        if scene.unit == "%":
            measures["figure"] = found["share"] * 100
        if scene.unit == "MB/s":
            measures["figure"] *= len(scene.request) / 1e6
        if found["times"]:
            measures["figure"] = median(found["times"]) * 1e3
            measures["worst"] = max(found["times"]) * 1e3
        return measures

    def _hold(self, server: Server, scene: Scene) -> Measures:
        """See how much memory connections take that do nothing, or nothing any more."""
        context = ssl.create_default_context(cafile="server.pem")
        # The first ones set aside what all others share.
        for count in (20, int(scene.connections * min(1, self.seconds))):
            before = server.memory()
            with ExitStack() as ends:
                for number in range(count):
                    idle = socket.create_connection(("127.0.0.1", server.port), 60)
                    if scene.security == "tls":
                        idle = context.wrap_socket(idle, server_hostname="localhost")
                    ends.enter_context(idle)
                    # The last answer shows that all before have been accepted.
                    if scene.asked or number == count - 1:
                        idle.sendall(scene.request)
                        if idle.recv(1024) != scene.request.upper():
                            raise RuntimeError("a wrong answer")
                growth = server.memory() - before
        return {"figure": max(1, growth / count)}

    def _send(self, client: str, scene: Scene) -> Measures:
        """Send text through this server with some client."""
        times = int(800 * min(1, self.seconds)) if scene.unit == "MB/s" else 1
        os.environ["PORT"] = str(self._running("ours", SCENES["ask1"]).port)
        source, answer = _file(scene.request * times), Path("answer")
        began = time.monotonic()
        with source.open("rb") as text, answer.open("wb") as output:
            # A fork (and not vfork(2), which would count what this process had at
            # most): what this process has now is the least that can be told.
            process = subprocess.Popen(
                split(client), stdin=text, stdout=output, preexec_fn=os.getpid
            )
        _, process.returncode, used = os.wait4(process.pid, 0)
        passed = time.monotonic() - began
        if process.returncode or answer.read_bytes() != scene.request.upper() * times:
            raise RuntimeError(f"{client} ends with status {process.returncode}")
        sent = times * len(scene.request) / 1e6
        figure = sent / passed if scene.unit == "MB/s" else passed * 1e3
        return {"figure": figure, "MB": used.ru_maxrss / 1e3}


def _file(content: bytes) -> Path:
    path = Path(f"{hash(content)}.txt")
    if not path.exists():
        path.write_bytes(content)
    return path


def about(options: argparse.Namespace) -> dict[str, str]:
    """Describe a run, and this Python: most of what streams cost is C{bytes.upper}."""
    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    text = b"upper case\n" * 24_000
    rate = len(text) / median(timeit.repeat(text.upper, number=1, repeat=200))
    return {
        "processor": processor[1] if processor else platform.machine(),
        "Linux": platform.release(),
        "Python": platform.python_version(),
        "Twisted": version("twisted"),
        "bytes.upper": f"{rate / 1e9:.2f} GB/s",
        "date": time.strftime("%Y-%m-%d"),
        "rounds": f"{options.rounds} of {options.seconds:g} s",
    }


def keep(results: dict[str, Any], folder: Path) -> None:
    """Write results to a file for this machine and this Python."""
    name = re.sub(r"\W+", "-", "{processor} {Python}".format(**results["about"]))
    # A line for each measure, not for each round.
    text = re.sub(r"(?<=[\[\d,])\s+(?=[\d\]])", " ", json.dumps(results, indent=1))
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(f"{text}\n")


def main(arguments: list[str]) -> None:
    """Read the command line, measure, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[1])
    add = parser.add_argument
    add("--rounds", type=int, default=5, help="how often each is run [5]")
    add("--seconds", type=float, default=1.0, help="for each figure [1]")
    add("--scenes", nargs="+", choices=SCENES, default=list(SCENES), metavar="SCENE")
    add("--peers", nargs="+", choices=PEERS, default=list(PEERS), metavar="PEER")
    add("--baseline", type=os.path.abspath, help="a checkout with its venv: 'before'")
    add("--keep", type=os.path.abspath, help="a folder, for a file of the results")
    options = parser.parse_args(arguments)
    if options.baseline is None:
        options.peers = [each for each in options.peers if each != "before"]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.sched_setaffinity(0, {LOAD_CORE})  # All but the servers inherit it.
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        build()
        os.environ["BEFORE"] = f"{options.baseline}/venv/bin"
        bench = Bench(options.seconds)
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            bench.round(options.scenes, options.peers)
    without = {key: peers for key, peers in bench.without.items() if peers}
    facts = about(options)
    results = {"about": facts, "without": without, "scenes": bench.values}
    for rows in filter(None, (details(results, group) for group in GROUPS)):
        print(f"\n{table(rows)}")
    print(json.dumps({**facts, "without": without}, indent=1))
    if options.keep:
        keep(results, Path(options.keep))


if __name__ == "__main__":
    main(sys.argv[1:])
