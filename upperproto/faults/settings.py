"""
The faults of a C{fault:} endpoint: their names, their values and their defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from math import inf
from random import Random
from typing import Any


def _seconds(word: str) -> float:
    return _number(word, "seconds", inf)


def _share(word: str) -> float:
    return _number(word, "a share from 0 to 1", 1)


def _number(word: str, what: str, most: float) -> float:
    try:
        number = float(word)
    except ValueError:
        number = -1
    if 0 <= number <= most and number != inf:
        return number
    raise ValueError(f"takes {what}, not {word!r}")


def _bytes(word: str) -> int:
    if word.isascii() and word.isdigit() and int(word) > 0:
        return int(word)
    raise ValueError(f"takes a number of bytes, at least 1, not {word!r}")


def _offOrOn(word: str) -> bool:
    if word in ("on", "off"):
        return word == "on"
    raise ValueError(f"takes on or off, not {word!r}")


@dataclass(frozen=True)
class FaultSettings:
    """
    The faults of a listener; by default none. If toxiproxy has the same fault, the name
    is the same.

    @ivar delay: the delay of everything in each direction, in seconds.
    @ivar jitter: the delay varies up or down by at most so many seconds.
    @ivar rate: the largest number of bytes per second, in each direction.
    @ivar slice: the largest size of a segment in bytes, in each direction.
    @ivar limit: the connection is closed after so many bytes of answers.
    @ivar reset: the share of connections that are reset after L{limit} bytes of
        answers; without a limit, after a random number of up to 64 KiB.
    @ivar silent: the share of connections that are accepted and never answered.
    @ivar slowclose: the delay of the end of the server's side, in seconds.
    @ivar halfclose: whether a client that ends its side still gets answers.
    @ivar garble: the share of answers in which one byte is changed.
    @ivar seed: the same seed gives the same faults; by default they are random.
    """

    delay: float = 0.0
    jitter: float = 0.0
    rate: int | None = None
    slice: int | None = None
    limit: int | None = None
    reset: float = 0.0
    silent: float = 0.0
    slowclose: float = 0.0
    halfclose: bool = True
    garble: float = 0.0
    seed: str | None = None

    @classmethod
    def fromWords(cls, words: Mapping[str, str]) -> FaultSettings:
        """
        Make settings from words.

        @param words: the names and values of faults.
        @raise ValueError: for a value that is not valid; the message says why.
        """
        values: dict[str, Any] = {}
        for name, word in words.items():
            try:
                values[name] = READERS[name](word)
            except ValueError as error:
                raise ValueError(f"{name} {error}") from None
        settings = cls(**values)
        if settings.jitter > settings.delay:
            raise ValueError("jitter cannot be more than delay")
        return settings

    def __str__(self) -> str:
        """
        Write the faults as in the description of an endpoint.
        """
        return ":".join(
            f"{each.name}={_word(getattr(self, each.name))}"
            for each in fields(self)
            if getattr(self, each.name) != each.default
        )

    def forConnection(self, number: int) -> ConnectionFaults:
        """
        Choose the faults of a connection.

        @param number: the number of connections that came before it.
        """
        random = Random(None if self.seed is None else f"{self.seed}/{number}")
        silent = random.random() < self.silent
        resets = random.random() < self.reset
        limit = self.limit
        if resets and limit is None:
            limit = random.randrange(RESET_WITHIN)
        return ConnectionFaults(self, random, silent, resets, limit)


@dataclass(frozen=True)
class ConnectionFaults:
    """
    The faults of one connection.

    @ivar settings: the faults of its listener.
    @ivar random: makes the random choices for it.
    @ivar silent: whether it is never answered.
    @ivar resets: whether it is reset at its L{limit}, and not closed.
    @ivar limit: the number of bytes of answers before its end; L{None} for no limit.
    """

    settings: FaultSettings
    random: Random
    silent: bool
    resets: bool
    limit: int | None

    @property
    def any(self) -> bool:
        """
        Whether this connection has a fault.
        """
        settings = self.settings
        return bool(
            self.silent
            or self.limit is not None
            or settings.delay
            or settings.rate
            or settings.slice
            or settings.slowclose
            or settings.garble
            or not settings.halfclose
        )


# A connection that is reset without a limit is reset within so many bytes of answers.
RESET_WITHIN = 65536

READERS: dict[str, Callable[[str], object]] = {
    "delay": _seconds,
    "jitter": _seconds,
    "rate": _bytes,
    "slice": _bytes,
    "limit": _bytes,
    "reset": _share,
    "silent": _share,
    "slowclose": _seconds,
    "halfclose": _offOrOn,
    "garble": _share,
    "seed": str,
}


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
