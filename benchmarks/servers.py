"""
The servers that are measured: this one, and what a user would take instead.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from scenes import Scene

SOURCES = Path(__file__).parent

# The server has one core, the load another: on a machine with many, far apart.
_cores = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = _cores[0], _cores[-1]


@dataclass(frozen=True)
class Peer:
    """
    A server, or a client, that can be started.

    In its words, variables of the environment stand for what is not known before:
    C{$BIN} and C{$BEFORE} are folders of programs, of this Python and of the baseline,
    C{$SOURCES} is the folder of this file, C{$PORT} the port to ask, and C{$OWN} one to
    listen at. What is built is in the current folder.
    """

    name: str  # For the tables.
    command: str  # Starts the server; behind "then", another that stands before it.
    can: dict[str, str]  # What it can (Scene.needs), and the words that it needs then.

    def serves(self, scene: Scene) -> bool:
        """Whether it can be measured in a scene."""
        return scene.needs <= self.can.keys()

    def words(self, scene: Scene) -> str:
        """Give the command that starts it for a scene."""
        words = [self.can[need] for need in sorted(scene.needs)]
        return " ".join([self.command, *words])


_UPPER = "-n --pidfile= upper --port 0"
_START = f"$BIN/twistd {_UPPER}"
_OURS = {"tcp": "", "unicode": "", "tls": "--tls-cert server.pem", "udp": "--udp",
         "log": "", "quiet": "--log none"}  # fmt: skip
_PEERS = "$BIN/python $SOURCES/peers"
_ASYNCIO = f"{_PEERS}/asyncserver.py"
_PROGRAM = {"tcp": "", "tls": "tls", "log": "log", "quiet": ""}
_TEXT = {"unicode": "", **_PROGRAM}
_BOTH = {"udp": "udp", **_TEXT}
_FRONT = {"unicode": "", "tls": "", "quiet": ""}
_CLIENT = "upper-client --port $PORT"
_NO_CLIENT = "$BIN/python -c print(open(0).read().upper(),end='')"

PEERS = {
    "ours": Peer("upperproto", _START, {**_OURS, "client": f"$BIN/{_CLIENT}"}),
    "epoll": Peer("upperproto, --reactor=epoll",
                  f"$BIN/twistd --reactor=epoll {_UPPER}", _OURS),
    "workers": Peer("upperproto, --workers 2", f"{_START} --workers 2", _OURS),
    "before": Peer("upperproto, before", f"$BEFORE/twistd {_UPPER}",
                   {**_OURS, "client": f"$BEFORE/{_CLIENT}"}),
    "textbook": Peer("Twisted LineReceiver", f"{_PEERS}/textbook.py", _TEXT),
    "streams": Peer("asyncio streams", f"{_ASYNCIO} streams", _TEXT),
    "streams-uvloop": Peer("asyncio streams, uvloop", f"{_ASYNCIO} streams uvloop",
                           _TEXT),
    "protocol": Peer("asyncio Protocol", f"{_ASYNCIO} protocol", _BOTH),
    "protocol-uvloop": Peer("asyncio Protocol, uvloop", f"{_ASYNCIO} protocol uvloop",
                            _BOTH),
    "go": Peer("Go", "./lines", {"udp": "udp", **_PROGRAM}),
    "nginx": Peer("nginx and ours", f"{_START} then nginx -p . -c nginx.conf", _FRONT),
    "haproxy": Peer("HAProxy and ours", f"{_START} then haproxy -f haproxy.cfg",
                    _FRONT),
    "limit": Peer("the limit: C", "./limit", {"tcp": "", "quiet": "", "udp": "udp"}),
    "nc": Peer("nc -N", "", {"client": "nc -N 127.0.0.1 $PORT"}),
    "python": Peer("Python, without a network", "", {"client": _NO_CLIENT}),
}  # fmt: skip

# What makes the programs and the certificate.
_BUILD = (
    "cc -O2 -Wall -Wextra -o load $SOURCES/load.c -lssl -lcrypto",
    "cc -O3 -march=native -Wall -Wextra -o limit $SOURCES/peers/limit.c",
    "go build -o lines $SOURCES/peers/lines.go",
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    " -subj / -addext subjectAltName=DNS:localhost -keyout server.pem -out server.pem",
)


def build() -> None:
    """Run these commands, but for those of Go where there is none."""
    # Go wants a home for its cache; the tree stays as it is.
    os.environ.update(GOCACHE=os.path.abspath("go"), GO111MODULE="off", GOMAXPROCS="1")
    os.environ.update(BIN=os.path.dirname(sys.executable), SOURCES=str(SOURCES))
    os.environ["PATH"] += ":/usr/sbin"
    for command in map(split, _BUILD):
        if command[0] != "go" or shutil.which("go"):
            subprocess.run(command, check=True)


def split(command: str) -> list[str]:
    """Make the words of a command line, with what stands for the variables in it."""
    return [os.path.expandvars(word) for word in command.split()]


def _place() -> None:
    """Keep a server on its core, and no longer than the process that started it."""
    os.sched_setaffinity(0, {SERVER_CORE})
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Server:
    """
    A peer that runs, on the server's core.

    @ivar port: where it listens, on 127.0.0.1.
    """

    def __init__(self, peer: Peer, scene: Scene) -> None:
        """Start it, and wait until it listens."""
        self._started: list[subprocess.Popen[bytes]] = []
        with socket.socket() as reserved, ExitStack() as failed:
            failed.callback(self.close)
            # Nobody else gets this port; who stands before another may share it.
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            reserved.bind(("127.0.0.1", 0))
            os.environ["OWN"] = str(reserved.getsockname()[1])
            for command in peer.words(scene).split(" then "):
                for path in (SOURCES / "peers").glob("*.c*f*") if self._started else ():
                    Path(path.name).write_text(os.path.expandvars(path.read_text()))
                with Path("server.log").open("wb") as log:
                    process = subprocess.Popen(
                        split(command),
                        stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                        preexec_fn=_place,
                        start_new_session=True,  # What it starts ends with it.
                    )  # fmt: skip
                self._started.append(process)
                self.port = self._listeningPort(scene.security)
                os.environ["PORT"] = str(self.port)
            failed.pop_all()

    def _listeningPort(self, security: str) -> int:
        """Wait until what was started last listens, as proc(5) shows it."""
        # Where the sockets stand there, and the state of those that wait.
        table, waits = ("udp", "07") if security == "udp" else ("tcp", "0A")
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.running():
            own = set()
            for descriptor in Path(f"/proc/{self._started[-1].pid}/fd").iterdir():
                with suppress(OSError):
                    own.add(os.readlink(descriptor))
            with Path(f"/proc/net/{table}").open() as sockets:
                for line in islice(sockets, 1, None):
                    _, address, _, state, *rest = line.split()
                    if state == waits and f"socket:[{rest[5]}]" in own:
                        return int(address.split(":")[1], 16)
                    if state != waits and table == "tcp":
                        break  # Behind those that wait: thousands of old connections.
            time.sleep(0.002)
        output = Path("server.log").read_text().strip()
        raise RuntimeError(output.rpartition("\n")[2] or "it does not listen")

    def close(self) -> None:
        """End its processes."""
        for process in self._started:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def running(self) -> bool:
        """Whether all that was started runs."""
        return all(process.poll() is None for process in self._started)

    def _processes(self) -> list[Path]:
        """Find its processes in proc(5), and those that they have started."""
        found = [Path(f"/proc/{process.pid}") for process in self._started]
        for path in found:
            children = (path / "task" / path.name / "children").read_text()
            found += (path.with_name(child) for child in children.split())
        return found

    def memory(self) -> int:
        """How many bytes of memory its processes have resident."""
        pages = [(path / "statm").read_text() for path in self._processes()]
        return sum(int(each.split()[1]) for each in pages) * os.sysconf("SC_PAGESIZE")

    def usage(self) -> tuple[float, float]:
        """How many seconds it ran; and, a single thread, waited for another process."""
        threads = [
            [int(word) / 1e9 for word in path.read_text().split()]
            for process in self._processes()
            for path in process.glob("task/*/schedstat")
        ]
        ran, waited, *_ = map(sum, zip(*threads, strict=True))
        return ran, waited if len(threads) == 1 else 0.0
