"""
The servers that are measured: this one, and what a user would take instead.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

from scenes import SCENES

HERE = Path(__file__).parent
PEERS = HERE / "peers"

SERVER_CORE = 0
LOAD_CORE = 1

_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1

# A figure is disturbed when other programs had our cores for more than this
# share of its time.
DISTURBED = 0.05

# Nothing that is waited for takes a tenth of this, in seconds.
PATIENCE = 30.0


class Missing(Exception):
    """
    Something that a peer needs is not here. The message says what.
    """


def compileC(source: Path, folder: Path, *options: str) -> str:
    """
    Compile a C program, once.

    @param source: its file.
    @param folder: where the program goes.
    @param options: for the compiler.
    @return: the path of the program.
    @raise Missing: where there is no compiler.
    """
    target = folder / source.stem
    if not target.exists():
        compiler = _find("cc")
        subprocess.run(
            [compiler, *options, "-Wall", "-Wextra", "-o", target, source], check=True
        )
    return str(target)


def _find(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise Missing(f"{program} is not installed")
    return found


def _twistd(*options: str) -> Callable[[Path], list[str]]:
    def command(folder: Path) -> list[str]:
        log = folder / "upper.log"
        log.unlink(missing_ok=True)
        twistd = Path(sysconfig.get_path("scripts"), "twistd")
        if not twistd.exists():
            raise Missing(f"{sys.executable} has no twistd beside it")
        return [
            *(str(twistd), "--nodaemon", "--pidfile=", f"--logfile={log}"),
            *("upper", "--port", "0", *options),
        ]

    return command


def _python(script: str, *arguments: str) -> Callable[[Path], list[str]]:
    def command(folder: Path) -> list[str]:
        if "uvloop" in arguments and find_spec("uvloop") is None:
            raise Missing("uvloop is not installed")
        return [sys.executable, str(PEERS / script), *arguments]

    return command


def _socat(folder: Path) -> list[str]:
    # Unbuffered, tr writes each block that it has read at once.
    return [
        _find("socat"),
        "TCP4-LISTEN:0,bind=127.0.0.1,fork,backlog=1024,nodelay",
        f"EXEC:{_find('stdbuf')} -o0 {_find('tr')} a-z A-Z",
    ]


def _go(folder: Path) -> list[str]:
    target = folder / "lines"
    if not target.exists():
        subprocess.run(
            [_find("go"), "build", "-o", target, PEERS / "lines.go"],
            check=True,
            # Go wants a home for its cache; the tree stays as it is.
            env={
                **os.environ,
                "GOCACHE": str(folder / "gocache"),
                "GO111MODULE": "off",
            },
        )
    return [str(target)]


def _limit(folder: Path) -> list[str]:
    return [compileC(PEERS / "limit.c", folder, "-O3", "-march=native")]


def place(core: int) -> None:
    """
    Keep this process on one core, and no longer than the one that started it.

    @param core: the core's number.
    """
    os.sched_setaffinity(0, {core})
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclass(frozen=True)
class Peer:
    """
    A server that can be started.

    @ivar name: for the table.
    @ivar command: gives the command line; it may build the program in the
        folder that it is given, and raises L{Missing} where it cannot.
    @ivar cannot: the scenes that it cannot serve, each with the reason.
    @ivar once: whether it ends with its first client.
    @ivar threads: whether it has several, which wait for one another on its core.
    @ivar forks: whether processes of its own do the work.
    """

    name: str
    command: Callable[[Path], list[str]]
    cannot: dict[str, str] = field(default_factory=dict)
    once: bool = False
    threads: bool = False
    forks: bool = False


# Reasons.
_ONE = "serves one client, and ends"
_ASCII = "changes ASCII only"
PEERS_BY_KEY = {
    "ours": Peer("upperproto (twistd -n upper)", _twistd()),
    "tutorial": Peer(
        "the tutorial's server",
        _python("tutorial.py"),
        {scene: _ONE for scene in SCENES if scene != "ask1"},
        once=True,
    ),
    "textbook": Peer("Twisted LineReceiver", _python("textbook.py")),
    "streams": Peer("asyncio streams", _python("streams.py")),
    "streams-uvloop": Peer(
        "asyncio streams on uvloop", _python("streams.py", "uvloop")
    ),
    "blocks": Peer("asyncio Protocol", _python("blocks.py", "keep")),
    "blocks-uvloop": Peer(
        "asyncio Protocol on uvloop", _python("blocks.py", "uvloop", "keep")
    ),
    "blocks-plain": Peer(
        "uvloop Protocol, plain",
        _python("blocks.py", "uvloop"),
        {
            key: "has little memory to keep"
            for key, scene in SCENES.items()
            if scene.kind != "stream"
        },
    ),
    "socat": Peer(
        "socat and tr",
        _socat,
        {
            "mixed": _ASCII,
            "idle": "two processes for each connection",
            "idleAsked": "two processes for each connection",
        },
        forks=True,
    ),
    "go": Peer(
        "Go, line by line",
        _go,
        {"mixed": "has no full case mapping: ß stays ß"},
        threads=True,
    ),
    "limit": Peer("the limit: C, epoll", _limit, {"mixed": _ASCII}),
}

WORKERS = [
    Peer(f"{number} workers", _twistd("--workers", str(number))) for number in (1, 2)
]


class Server:
    """
    A peer that runs, on the server's core and a port that the system handed out.

    @ivar port: where it listens, on 127.0.0.1.
    @ivar pid: its process.
    """

    def __init__(self, peer: Peer, folder: Path) -> None:
        """
        Start it, and wait until it listens.

        @param peer: which.
        @param folder: for what it builds and logs.
        @raise Missing: where something that it needs is not here.
        """
        self._peer = peer
        command = peer.command(folder)
        with (folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "GOMAXPROCS": "1"},
                preexec_fn=lambda: place(SERVER_CORE),
                # What it forks ends with it.
                start_new_session=True,
            )
        self.pid = self._process.pid
        try:
            self.port = self._listeningPort()
        except BaseException:
            self.end()
            raise

    def __enter__(self) -> Server:
        """
        Give the server; it ends with the block.
        """
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """
        End it.
        """
        self.end()

    def end(self) -> None:
        """
        End the process and those that it has forked.
        """
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def running(self) -> bool:
        """
        Whether it still runs.
        """
        return self._process.poll() is None

    def _listeningPort(self) -> int:
        """
        Wait until the process has a listening socket, as proc(5) shows it.
        """
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.running():
            listeners = {}
            for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
                _, local, _, state, *_, inode = line.split()[:10]
                if state == "0A":
                    listeners[f"socket:[{inode}]"] = int(local.split(":")[1], 16)
            for descriptor in Path(f"/proc/{self.pid}/fd").iterdir():
                try:
                    target = os.readlink(descriptor)
                except OSError:
                    continue
                if target in listeners:
                    return listeners[target]
            time.sleep(0.01)
        raise RuntimeError(f"{self._peer.name} does not listen")

    def usage(self, before: dict[str, float] | None = None) -> dict[str, float]:
        """
        Tell how the server's time is spent.

        @param before: an earlier answer.
        @return: in seconds, or, given C{before}, as shares of the time since
            then: C{server}, in its own code; C{kernel}, in the kernel; C{waited},
            ready to run while another process had its core. The first two are
            left out where they cannot be told.
        """
        if before is not None:
            now = self.usage()
            passed = now.pop("clock") - before["clock"]
            return {name: (now[name] - before[name]) / passed for name in now}
        times = {"clock": time.monotonic(), "waited": 0.0}
        process = Path("/proc", str(self.pid))
        if not self._peer.forks:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            ticks = os.sysconf("SC_CLK_TCK")
            times["server"] = int(fields[11]) / ticks
            times["kernel"] = int(fields[12]) / ticks
            if not self._peer.threads and (process / "schedstat").exists():
                nanoseconds = (process / "schedstat").read_text().split()[1]
                times["waited"] = int(nanoseconds) / 1e9
        return times

    def processorTime(self) -> float:
        """
        How many seconds of a processor it has used, with the processes that it
        has started.
        """
        processes = [self.pid]
        nanoseconds = 0
        for pid in processes:
            process = Path("/proc", str(pid))
            children = (process / "task" / str(pid) / "children").read_text()
            processes += map(int, children.split())
            for thread in process.glob("task/*/schedstat"):
                nanoseconds += int(thread.read_text().split()[0])
        return nanoseconds / 1e9

    def memory(self) -> int:
        """
        How many bytes of memory the process has resident.
        """
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGESIZE")
