"""
C{twistd -n upper}: words on a command line become a service.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from math import inf
from typing import Any, ClassVar

from twisted.application.service import IService
from twisted.internet.endpoints import quoteStringArgument
from twisted.python import usage

from upperproto.factory import UpperFactory
from upperproto.limits import fitDescriptors
from upperproto.service import UpperService


def _number(option: str, least: int, most: int = sys.maxsize) -> Callable[[str], int]:
    """
    Make an option's coercion to a whole number within bounds.
    """

    def coerce(word: str) -> int:
        if word.isascii() and word.isdigit() and least <= int(word) <= most:
            return int(word)
        bounds = f"at least {least}" if most == sys.maxsize else f"{least} to {most}"
        raise ValueError(f"--{option} takes a whole number, {bounds}, not {word!r}")

    return coerce


def _seconds(option: str, never: bool = True) -> Callable[[str], float | None]:
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
        raise ValueError(f"--{option} takes seconds{alternative}, not {word!r}")

    return coerce


def _oneOf(option: str, *words: str) -> Callable[[str], str]:
    """
    Make an option's coercion to one of some words.
    """

    def coerce(word: str) -> str:
        if word in words:
            return word
        raise ValueError(f"--{option} takes {' or '.join(words)}, not {word!r}")

    return coerce


class Options(usage.Options):
    """
    The options of C{twistd -n upper}.
    """

    synopsis = "[options]"
    longdesc = (
        "Answer text in upper case, line by line, over TCP, UNIX sockets or any"
        " other endpoint. Unlike an echo, the answer proves that a server read"
        " what was sent."
    )

    optParameters: ClassVar = [
        ["port", "p", 5000, "TCP port to listen on; 0: the system chooses.",
         _number("port", 0, 65535)],
        ["interface", "i", "127.0.0.1", "IPv4 or IPv6 address to listen on;"
         " 0.0.0.0 or ::, to be open to the network."],
        ["backlog", None, 1024, "Connections that may wait to be accepted.",
         _number("backlog", 1)],
        ["errors", None, "strict", "What becomes of invalid UTF-8: strict, answer"
         " its line with an error; replace, with U+FFFD in its place;"
         " surrogateescape, leave it as it is.",
         _oneOf("errors", "strict", "replace", "surrogateescape")],
        ["flush-after", None, 0.05, "Answer an unfinished line when so many"
         " seconds have brought nothing new; or 'never'.", _seconds("flush-after")],
        ["idle-timeout", None, 600, "Close a connection over which nothing has"
         " moved, either way, for so many seconds; or 'never'.",
         _seconds("idle-timeout")],
        ["max-connections", None, 10000, "Connections served at a time; one more"
         " is told so and closed.", _number("max-connections", 1)],
        ["max-per-peer", None, None, "Connections served at a time from one IP"
         " address. [default: any number]", _number("max-per-peer", 1)],
        ["workers", None, 1, "Processes that serve the same ports; each gets an"
         " equal share of --max-connections and --max-per-peer.",
         _number("workers", 1)],
        ["log", None, "connections", "What to log: none; connections, as they open"
         " and close; lines, also what is said.",
         _oneOf("log", "none", "connections", "lines")],
        ["drain", None, 10, "Seconds that open conversations may go on after"
         " SIGTERM or SIGINT.", _seconds("drain", never=False)],
    ]  # fmt: skip

    def __init__(self) -> None:
        """
        Begin with no endpoint.
        """
        super().__init__()
        self["listen"] = []

    def opt_listen(self, endpoint: str) -> None:
        """Endpoint string to listen on, in place of port and interface; repeatable."""
        self["listen"].append(endpoint)

    opt_l = opt_listen

    def endpoints(self) -> list[str]:
        """
        The descriptions of the endpoints to listen on.
        """
        backlog = f"backlog={self['backlog']}"
        if not self["listen"]:
            interface = quoteStringArgument(self["interface"])
            return [f"tcp:{self['port']}:interface={interface}:{backlog}"]
        return [
            f"tcp:{endpoint}:{backlog}"
            if endpoint.isdecimal()
            else f"{endpoint}:{backlog}"
            if endpoint.startswith(("tcp:", "ssl:", "unix:"))
            and "backlog=" not in endpoint
            else endpoint
            for endpoint in self["listen"]
        ]


def makeService(options: Options, reactor: Any = None) -> IService:
    """
    Make the service that the options describe.

    @param options: parsed options.
    @param reactor: what listens and tells the time; by default, the global one.
    @return: a service that has not been started.
    @raise CannotStart: for an endpoint that is not one.
    """
    if reactor is None:
        from twisted.internet import reactor
    endpoints, drain = options.endpoints(), options["drain"]
    number = options["workers"]
    if number > 1:
        # Its import installs a reactor; and few need it.
        from upperproto.workers import Workers

        share = {**options, "workers": 1}
        for cap in ["max-connections", "max-per-peer"]:
            if options[cap] is not None:
                share[cap] = max(1, options[cap] // number)
        return Workers(number, share, endpoints, drain, reactor)
    maxConnections, maxTurnedAway = fitDescriptors(options["max-connections"])
    factory = UpperFactory(
        errors=options["errors"],
        flushAfter=options["flush-after"],
        idleTimeout=options["idle-timeout"],
        maxConnections=maxConnections,
        maxPerPeer=options["max-per-peer"],
        maxTurnedAway=maxTurnedAway,
        log=options["log"],
        clock=reactor,
    )
    return UpperService(factory, endpoints, drain, reactor)
