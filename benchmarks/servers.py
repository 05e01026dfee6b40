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
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from string import Template

from scenes import Scene

SOURCES = Path(__file__).parent

# The server has one core, the load another: on a machine with many, far apart.
_cores = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = _cores[0], _cores[-1]

_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Peer:
    """
    A server, or a client, that can be started.

    In its words, C{$bin} is the folder of this Python's programs, C{$before} that of
    the baseline's, C{$sources} and C{$folder} are those of sources and of what is made
    of them, C{$port} is the port to ask, C{$own} one to listen at.
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


_TWISTD = "-n --pidfile= upper --port 0"
_OURS = {"tcp": "", "unicode": "", "tls": "--tls-cert server.pem", "udp": "--udp",
         "log": "", "quiet": "--log none"}  # fmt: skip
_PYTHON = "$bin/python $sources/peers"
_PROGRAM = {"tcp": "", "tls": "tls", "log": "log", "quiet": ""}
_TEXT = {"unicode": "", **_PROGRAM}
_FRONT = {"unicode": "", "tls": "", "quiet": ""}
_CLIENT = "upper-client --port $port"
_NO_CLIENT = "$bin/python -c print(open(0).read().upper(),end='')"

PEERS = {
    "ours": Peer("upperproto", f"$bin/twistd {_TWISTD}",
                 {**_OURS, "client": f"$bin/{_CLIENT}"}),
    "epoll": Peer("upperproto, --reactor=epoll",
                  f"$bin/twistd --reactor=epoll {_TWISTD}", _OURS),
    "workers": Peer("upperproto, --workers 2", f"$bin/twistd {_TWISTD} --workers 2",
                    _OURS),
    "before": Peer("upperproto, before", f"$before/twistd {_TWISTD}",
                   {**_OURS, "client": f"$before/{_CLIENT}"}),
    "textbook": Peer("Twisted LineReceiver", f"{_PYTHON}/textbook.py", _TEXT),
    "streams": Peer("asyncio streams", f"{_PYTHON}/streams.py", _TEXT),
    "streams-uvloop": Peer("asyncio streams, uvloop", f"{_PYTHON}/streams.py uvloop",
                           _TEXT),
    "blocks": Peer("asyncio Protocol", f"{_PYTHON}/blocks.py keep", _TEXT),
    "blocks-uvloop": Peer("asyncio Protocol, uvloop",
                          f"{_PYTHON}/blocks.py uvloop keep", _TEXT),
    "go": Peer("Go", "$folder/lines", _PROGRAM),
    "nginx": Peer("nginx and ours",
                  f"$bin/twistd {_TWISTD} then nginx -p $folder -c nginx.conf", _FRONT),
    "haproxy": Peer("HAProxy and ours",
                    f"$bin/twistd {_TWISTD} then haproxy -f haproxy.cfg", _FRONT),
    "limit": Peer("the limit: C, epoll", "$folder/limit", {"tcp": "", "quiet": ""}),
    "udp": Peer("asyncio", f"{_PYTHON}/datagrams.py", {"udp": ""}),
    "udp-uvloop": Peer("asyncio, uvloop", f"{_PYTHON}/datagrams.py uvloop",
                       {"udp": ""}),
    "udp-go": Peer("Go, net.UDPConn", "$folder/golang", {"udp": ""}),
    "udp-limit": Peer("the limit: C, recvmmsg", "$folder/recvmmsg", {"udp": ""}),
    "nc": Peer("nc -N", "", {"client": "nc -N 127.0.0.1 $port"}),
    "python": Peer("Python, without a network", "", {"client": _NO_CLIENT}),
}  # fmt: skip

# What makes the programs and the certificate.
_BUILD = (
    "cc -O2 -Wall -Wextra -o load $sources/load.c -lssl -lcrypto",
    "cc -O3 -march=native -Wall -Wextra -o limit $sources/peers/limit.c",
    "cc -O3 -march=native -Wall -Wextra -o recvmmsg $sources/peers/datagrams.c",
    "go build -o lines $sources/peers/lines.go",
    "go build -o golang $sources/peers/datagrams.go",
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    " -subj /CN=localhost -keyout server.pem -out server.pem",
)


def build(folder: Path) -> None:
    """Run these commands, but for those of Go where there is none."""
    # Go wants a home for its cache; the tree stays as it is.
    more = {"GOCACHE": f"{folder}/go", "GO111MODULE": "off"}
    for command in _BUILD:
        words = split(command, {"sources": str(SOURCES)})
        if words[0] != "go" or shutil.which("go"):
            subprocess.run(words, cwd=folder, env={**os.environ, **more}, check=True)


def split(command: str, names: dict[str, str]) -> list[str]:
    """Make the words of a command line, with what stands for the names in it."""
    return [Template(word).substitute(names) for word in command.split()]


def _place() -> None:
    """Keep a server on its core, and no longer than the process that started it."""
    os.sched_setaffinity(0, {SERVER_CORE})
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def usage(processes: list[int]) -> tuple[float, float]:
    """
    Tell for how many seconds processes had a core, and for how many their thread, if
    there is but one, was ready while another process had it.
    """
    threads = [
        thread.read_text().split()
        for pid in processes
        for thread in Path(f"/proc/{pid}/task").glob("*/schedstat")
    ]
    ran = sum(int(thread[0]) for thread in threads) / 1e9
    return ran, int(threads[0][1]) / 1e9 if len(threads) == 1 else 0.0


class Server:
    """
    A peer that runs, on the server's core.

    @ivar port: where it listens, on 127.0.0.1.
    """

    def __init__(self, peer: Peer, scene: Scene, names: dict[str, str]) -> None:
        """Start it, with names for its commands, and wait until it listens."""
        self._folder = Path(names["folder"])
        self._started: list[subprocess.Popen[bytes]] = []
        with socket.socket() as reserved, ExitStack() as failed:
            failed.callback(self.close)
            # Nobody else gets this port; who stands before another may share it.
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            reserved.bind(("127.0.0.1", 0))
            names = {**names, "own": str(reserved.getsockname()[1])}
            configurations = list((SOURCES / "peers").glob("*.c*f*"))
            for command in peer.words(scene).split(" then "):
                for source in configurations if self._started else ():
                    text = Template(source.read_text()).substitute(names)
                    (self._folder / source.name).write_text(text)
                self._start(split(command, names))
                self.port = self._listeningPort(scene.security)
                names["port"] = str(self.port)
            failed.pop_all()

    def _start(self, command: list[str]) -> None:
        program = shutil.which(command[0], path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            raise RuntimeError(f"{command[0]} is not here")
        with (self._folder / "server.log").open("wb") as log:
            process = subprocess.Popen(
                [program, *command[1:]],
                cwd=self._folder, env={**os.environ, "GOMAXPROCS": "1"},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=_place,
                start_new_session=True,  # What it starts ends with it.
            )  # fmt: skip
        self._started.append(process)

    def _listeningPort(self, security: str) -> int:
        """Wait until what was started last listens, as proc(5) shows it."""
        # Where the sockets stand there, and the state of those that wait.
        table, waits = ("udp", "07") if security == "udp" else ("tcp", "0A")
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.running():
            listeners = {}
            with Path(f"/proc/net/{table}").open() as sockets:
                for line in sockets:
                    _, address, _, state, *rest = line.split()
                    if state == waits:
                        port = int(address.split(":")[1], 16)
                        listeners[f"socket:[{rest[5]}]"] = port
                    elif listeners and table == "tcp":
                        # Behind those that wait stand thousands of old connections.
                        break
            for descriptor in Path(f"/proc/{self._started[-1].pid}/fd").iterdir():
                with suppress(OSError, KeyError):
                    return listeners[os.readlink(descriptor)]
            time.sleep(0.002)
        output = (self._folder / "server.log").read_text().strip()
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

    def processes(self) -> list[int]:
        """Find its processes, and those that they have started."""
        found = [process.pid for process in self._started]
        for pid in found:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
            found += map(int, children.split())
        return found

    def memory(self) -> int:
        """How many bytes of memory its processes have resident."""
        pages = [Path(f"/proc/{pid}/statm").read_text() for pid in self.processes()]
        return sum(int(each.split()[1]) for each in pages) * os.sysconf("SC_PAGESIZE")
