"""
Coercions: functions that make a value of an option's word, or say what is wrong with
it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from math import inf
from socket import gethostname
from typing import Any

from twisted.python import usage

# Takes the name of an instance from where it runs.
AUTO = "auto"


def number(option: str, least: int, most: int = sys.maxsize) -> Callable[[str], int]:
    """
    Make an option's coercion to a whole number within bounds.
    """

    def coerce(word: str) -> int:
        if word.isascii() and word.isdigit() and least <= int(word) <= most:
            return int(word)
        bounds = f"at least {least}" if most == sys.maxsize else f"{least} to {most}"
        raise usage.UsageError(
            f"--{option} takes a whole number, {bounds}, not {word!r}"
        )

    return coerce


def seconds(option: str, never: bool = True) -> Callable[[str], float | None]:
    """
    Make an option's coercion to a number of seconds, or to L{None} for C{never}.
    """

    def coerce(word: str) -> float | None:
        if never and word == "never":
            return None
        try:
            seconds = float(word)
        except ValueError:
            seconds = -1
        if 0 < seconds < inf or (seconds == 0 and not never):
            return seconds
        alternative = " or 'never'" if never else ""
        raise usage.UsageError(f"--{option} takes seconds{alternative}, not {word!r}")

    return coerce


def either(word: str, coerce: Callable[[str], Any]) -> Callable[[str], Any]:
    """
    Make an option's coercion that leaves one word as it is.
    """
    return lambda value: word if value == word else coerce(value)


def valueOptional(words: Iterable[str], option: str, value: str) -> list[str]:
    """
    Give an option its value where it stands alone, which L{usage.Options} does not
    allow: as the last word, or before another option.

    @param words: those of a command line.
    """
    given = [*words]
    for place, word in enumerate(given):
        following = "".join(given[place + 1 : place + 2])
        if word == option and (place + 1 == len(given) or following.startswith("-")):
            given[place] = f"{option}={value}"
    return given


def instance(option: str, check: Callable[[str], None]) -> Callable[[str], str]:
    """
    Make an option's coercion to the name of an instance, which L{AUTO} takes from the
    environment: the pod's in Kubernetes, else the host's.

    @param check: raises L{ValueError} for what is no name; its message says what is.
    """

    def coerce(word: str) -> str:
        source = ""
        if word == AUTO:
            pod = os.environ.get("POD_NAME")
            word = gethostname() if pod is None else pod
            source = (
                f", which is {'the name of this host' if pod is None else 'POD_NAME'}"
            )
        try:
            check(word)
        except ValueError as error:
            raise usage.UsageError(
                f"--{option} takes {error}, not {word!r}{source}"
            ) from error
        return word

    return coerce


def oneOf(option: str, *words: str) -> Callable[[str], str]:
    """
    Make an option's coercion to one of some words.
    """

    def coerce(word: str) -> str:
        if word in words:
            return word
        choice = f"{', '.join(words[:-1])} or {words[-1]}"
        raise usage.UsageError(f"--{option} takes {choice}, not {word!r}")

    return coerce
