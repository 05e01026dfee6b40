"""
Coercions: functions that convert the word of an option to its value, or raise an error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from math import inf
from socket import gethostname
from typing import Any

from twisted.python import usage

# The word that stands for the name of the pod or of the host.
AUTO = "auto"


def number(option: str, least: int, most: int = sys.maxsize) -> Callable[[str], int]:
    """
    Make the coercion of an option to a whole number.

    @param option: its name, for the error message.
    @param least: the least number that is allowed.
    @param most: the greatest number that is allowed.
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
    Make the coercion of an option to a number of seconds.

    @param never: whether the word C{never} is allowed, which gives L{None}. If not, 0
        is allowed.
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
    Make a coercion that leaves one word as it is.

    @param coerce: converts all other words.
    """
    return lambda value: word if value == word else coerce(value)


def valueOptional(words: Iterable[str], option: str, value: str) -> list[str]:
    """
    Give an option a value if it stands without one: as the last word, or before another
    option. L{usage.Options} does not allow that.

    @param words: the words of a command line.
    @param option: the option, with its dashes.
    @param value: the value.
    """
    given = [*words]
    for place, word in enumerate(given):
        following = "".join(given[place + 1 : place + 2])
        if word == option and (place + 1 == len(given) or following.startswith("-")):
            given[place] = f"{option}={value}"
    return given


def instance(option: str, check: Callable[[str], None]) -> Callable[[str], str]:
    """
    Make the coercion of an option to the name of an instance. For L{AUTO}, it is the
    name of the pod in Kubernetes, else the name of the host.

    @param check: raises L{ValueError} if a word is not a name, with a message that says
        what is.
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
    Make the coercion of an option that takes one of some words.
    """

    def coerce(word: str) -> str:
        if word in words:
            return word
        choice = f"{', '.join(words[:-1])} or {words[-1]}"
        raise usage.UsageError(f"--{option} takes {choice}, not {word!r}")

    return coerce
