"""
What is asked of the servers, and what this one has to reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

# How many bytes go out in one request of a stream.
BLOCK = 128 * 1024

HELLO = b"hello, network!\n"

ASCII = "the quick brown fox jumps over the lazy dog "

# Text as it comes: most letters are ASCII, few lines are.
EUROPEAN = Path(__file__).with_name("european.txt").read_bytes()


def line(length: int) -> bytes:
    """
    Make a line of ASCII.

    @param length: in bytes, with its line end.
    """
    text = ASCII * (length // len(ASCII) + 1)
    return text[: length - 1].encode() + b"\n"


def block(lines: bytes, size: int = BLOCK) -> bytes:
    """
    Repeat lines until they make a request of a stream.

    @param lines: one or more.
    @param size: in bytes; not exceeded unless by C{lines} alone.
    """
    return lines * max(1, size // len(lines))


@dataclass(frozen=True)
class Scene:
    """
    Something that can be measured.

    @ivar title: what it is, for the table.
    @ivar unit: of its figures.
    @ivar kind: what the load does; C{filter} needs no load.
    @ivar connections: how many.
    @ivar request: what is sent, over and over.
    @ivar window: how many requests a connection keeps on their way.
    @ivar ask: whether an idle connection has been asked something before.
    """

    title: str
    unit: str
    kind: Literal["stream", "connect", "idle", "filter"]
    connections: int
    request: bytes
    window: int = 1
    ask: bool = False

    @property
    def answer(self) -> bytes:
        """
        What has to come back.
        """
        return self.request.decode().upper().encode()

    @property
    def figure(self) -> str:
        """
        Which figure of the load counts.
        """
        return "bytesPerSecond" if self.unit == "MB/s" else "perSecond"

    def write(self, folder: Path) -> tuple[str, str]:
        """
        Write the request and its answer to files.

        @return: their paths.
        """
        request, answer = folder / "request", folder / "answer"
        for path, content in ((request, self.request), (answer, self.answer)):
            # Another load may be reading them.
            new = path.with_suffix(".new")
            new.write_bytes(content)
            new.replace(path)
        return str(request), str(answer)


def stream(title: str, lines: bytes, connections: int = 10) -> Scene:
    """
    Describe a stream of lines.
    """
    return Scene(title, "MB/s", "stream", connections, block(lines), window=2)


def ask(title: str, connections: int) -> Scene:
    """
    Describe round trips of one short line.
    """
    return Scene(title, "round trips/s", "stream", connections, HELLO)


IDLE = 5000

SCENES = {
    "ask1": ask("round trips, 1 connection", 1),
    "ask100": ask("round trips, 100 connections", 100),
    "stream16": stream("16-byte lines, streamed", line(16)),
    "stream80": stream("80-byte lines, streamed", line(80)),
    "stream8k": stream("8-KiB lines, streamed", line(8192)),
    "mixed": stream("mixed European text, streamed", EUROPEAN),
    "connect1": Scene("connect, ask, close", "connections/s", "connect", 1, HELLO),
    "connect10": Scene(
        "connect, ask, close, 10 at a time", "connections/s", "connect", 10, HELLO
    ),
    "idle": Scene("an idle connection", "bytes", "idle", IDLE, HELLO),
    "idleAsked": Scene(
        "an idle connection that has asked", "bytes", "idle", IDLE, HELLO, ask=True
    ),
    "filter": Scene(
        "upper-client as a filter, 80-byte lines", "MB/s", "filter", 1, block(line(80))
    ),
}


@dataclass(frozen=True)
class Target:
    """
    A ratio to reach: our figure by a peer's; or, without a peer, a figure that
    is not to be exceeded.
    """

    scene: str
    peer: str | None
    value: float


TARGETS = [
    Target("stream16", "textbook", 45),
    Target("stream16", "blocks-uvloop", 1.2),
    Target("stream16", "limit", 0.5),
    Target("stream80", "textbook", 11),
    Target("stream80", "blocks-uvloop", 1.5),
    Target("stream80", "limit", 0.5),
    Target("stream8k", "textbook", 1.7),
    Target("stream8k", "blocks-uvloop", 1.4),
    Target("stream8k", "limit", 0.5),
    Target("mixed", "textbook", 3.2),
    Target("mixed", "blocks-uvloop", 1.0),
    Target("ask100", "textbook", 1.6),
    Target("ask100", "streams-uvloop", 1.0),
    Target("ask100", "limit", 0.55),
    Target("ask1", "textbook", 1.0),
    # "Its best", of the two on uvloop.
    Target("ask1", "streams-uvloop", 1.0),
    Target("ask1", "blocks-uvloop", 1.0),
    Target("ask1", "limit", 0.9),
    *(
        Target(scene, peer, value)
        for scene in ("connect1", "connect10")
        for peer, value in [
            ("textbook", 0.9),
            ("streams-uvloop", 0.9),
            ("blocks-uvloop", 0.9),
            ("limit", 0.8),
        ]
    ),
    Target("idle", None, 1536),
    Target("idleAsked", None, 1536),
]
