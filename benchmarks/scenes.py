"""
What is asked of the servers, and what this one has to reach.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

GROUPS = ("tcp", "tls", "udp", "start", "beside")
BLOCK = 128 << 10  # How many bytes are a request of a stream.


@dataclass(frozen=True)
class Scene:
    """Something that can be measured."""

    title: str
    unit: str  # Of its figures.
    kind: str  # What the load does (see load.c); or start, or client: it does nothing.
    goals: dict[str, float]  # So many times a peer's figure; of a measure, not more.
    connections: int = 1
    request: bytes = b"hello, network!\n"  # Sent over and over.
    window: int = 1  # How many requests a connection keeps on their way.
    security: str = "tcp"  # Or tls, udp, or resume: TLS that resumes a session.
    group: str = "tcp"  # One of GROUPS, the tables.
    log: str = ""  # Of connections: "log", "quiet", or as each server does by itself.
    asked: bool = False  # Whether idle connections have asked before.
    text: bytes = b""  # What others stream.
    clients: int = 0  # How many others.
    rate: int = 0  # How many datagrams are sent in a second, whatever comes back.

    @property
    def lessIsBetter(self) -> bool:
        """Whether a smaller figure is a better one."""
        return self.unit in ("bytes", "ms")

    @property
    def needs(self) -> set[str]:
        """What a peer has to be able to do."""
        if self.kind == "client":
            return {"client"}
        text = "" if (self.request + self.text).isascii() else "unicode"
        security = "tls" if self.security == "resume" else self.security
        return {security, self.log, text} - {""}


def block(lines: bytes) -> bytes:
    """Repeat lines until they make a request of a stream."""
    return lines * (BLOCK // len(lines))


_ASK = {"go": 1.0, "protocol-uvloop": 1.0, "limit": 0.7}
_STREAM = {"protocol-uvloop": 1.2, "limit": 0.8}
_CONNECT = {"go": 1.0, "protocol-uvloop": 0.8}
_DATAGRAMS = {"protocol": 1.0, "protocol-uvloop": 1.0}
_BETTER = {"before": 1.3}
_PYTHON = {"textbook": 1.0, "streams-uvloop": 1.0, "protocol-uvloop": 1.0}
_BESIDE = {"figure": 10.0, "worst": 50.0}

_FOX = b"the quick brown fox jumps over the lazy dog " * 200
# Lines of so many bytes, with their ends.
_SHORT, _LINES, _LONG = (block(_FOX[: each - 1] + b"\n") for each in (16, 80, 8192))
# Text as it comes: most letters are ASCII, few lines are.
_EUROPEAN = block(Path(__file__).with_name("european.txt").read_bytes())
# The costliest text that is valid, and that is not.
_TRIPLING = block(("ΐ" * 39 + "\n").encode())
_INVALID = block(b"\xff\n")

SCENES = {
    "ask1": Scene("round trips, 1 connection", "per s", "stream", {}),
    "ask100": Scene("round trips, 100 connections", "per s", "stream", _ASK, 100),
    "ask1000": Scene("round trips, 1,000 connections", "per s", "stream", _ASK, 1000),
    "stream16": Scene("16-byte lines", "MB/s", "stream", _STREAM, 10, _SHORT, 2),
    "stream80": Scene("80-byte lines", "MB/s", "stream", _STREAM, 10, _LINES, 2),
    "stream8k": Scene("8-KiB lines", "MB/s", "stream", _STREAM, 10, _LONG, 2),
    "european": Scene("European text", "MB/s", "stream", _BETTER, 10, _EUROPEAN, 2),
    "connect1": Scene("connections, 1 by 1", "per s", "connect", _PYTHON, log="quiet"),
    "connect10": Scene("connections, 10 at a time", "per s", "connect", _CONNECT, 10,
                       log="quiet"),
    "idle": Scene("an idle connection", "bytes", "idle", {"figure": 1229.0}, 5000),
    "idleAsked": Scene("one that has asked", "bytes", "idle", {}, 5000, asked=True),
    "datagrams": Scene("datagrams, 128 on their way", "per s", "stream", _DATAGRAMS, 4,
                       window=32, security="udp", group="udp"),
    "datagrams10k": Scene("answered of 10,000 datagrams per s", "%", "stream", {}, 4,
                          window=0, security="udp", group="udp", rate=10_000),
    "datagrams50k": Scene("answered of 50,000 datagrams per s", "%", "stream", {}, 4,
                          window=0, security="udp", group="udp", rate=50_000),
    "startServer": Scene("start-up of a server", "ms", "start", {}, group="start"),
    "startClient": Scene("a client that asks once", "ms", "client", {}, group="start"),
    "filter": Scene("a client as a filter", "MB/s", "client", {}, 1, _LINES,
                    group="start"),
    "besideTripling": Scene("a round trip beside 4 that triple", "ms", "stream",
                            _BESIDE, group="beside", text=_TRIPLING, clients=4),
    "besideInvalid": Scene("a round trip beside 4 with invalid bytes", "ms", "stream",
                           _BESIDE, group="beside", text=_INVALID, clients=4),
    "besideBoth": Scene("a round trip beside 1 with both", "ms", "stream", _BESIDE,
                        group="beside", text=2 * _LINES + 2 * _INVALID, clients=1),
}  # fmt: skip


def _derive(keys: str, suffix: str, title: str, **changes: object) -> None:
    for key in keys.split():
        scene = replace(SCENES[key], title=f"{SCENES[key].title}, {title}")
        SCENES[key + suffix] = replace(scene, **changes)  # type: ignore[arg-type]


_derive("connect1 connect10", "Logged", "logged", log="log")
_derive("ask1 ask100 stream80 stream8k european connect10", "TLS", "TLS",
        group="tls", security="tls", goals=_PYTHON)  # fmt: skip
_derive("connect10TLS", "Resumed", "resumed", security="resume")
_derive("idle", "TLS", "TLS", group="tls", security="tls", goals={})
