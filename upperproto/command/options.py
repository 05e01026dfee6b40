"""
Options of C{upper-client}: read the command line, and check its values.
"""

from __future__ import annotations

import getopt
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from upperproto.command.errors import WrongUsage

COMMANDS = {
    "talk": "Send text to a server. On a terminal, each line is a message; q or Ctrl-D"
    " ends it. In a pipe, send standard input, and write the answers to standard"
    " output. This is the default command.",
    "ask": "Send one line, check the answer, and print it.",
    "ping": "Send texts, check the answers, and measure the times, as ping(8) does.",
    "check": "Test the path to a server step by step, and say what is wrong.",
}
ALL = tuple(COMMANDS)
PROBES = ("ask", "ping", "check")
FORMATS = ("text", "json", "plugin", "prometheus")
STEPS = (
    *("resolve", "connect", "tls", "answer", "order", "bulk", "longline"),
    *("halfclose", "slowreader", "quiet", "idle", "reconnect"),
)

# Two pings with fewer characters could be the same.
LEAST_SIZE, MOST_SIZE = 16, 16 << 20


def _whole(least: int, most: int) -> Callable[[str], int]:
    def coerce(word: str) -> int:
        if word.isascii() and word.isdigit() and least <= int(word) <= most:
            return int(word)
        raise ValueError(f"a whole number, {least} to {most}")

    return coerce


def _seconds(word: str, what: str = "seconds, 0.001 or more") -> float:
    try:
        seconds = float(word)
    except ValueError:
        seconds = math.nan
    if not 0.001 <= seconds < math.inf:
        raise ValueError(what)
    return seconds


def _timeout(word: str) -> float:
    if word == "never":
        return math.inf
    return _seconds(word, "seconds, 0.001 or more, or never")


def _steps(word: str) -> tuple[str, ...]:
    steps = tuple(word.split(","))
    if not set(steps) <= set(STEPS):
        raise ValueError(f"steps, with commas between them, out of {','.join(STEPS)}")
    return steps


def _format(word: str) -> str:
    if word not in FORMATS:
        raise ValueError(f"one of {', '.join(FORMATS)}")
    return word


class Option(NamedTuple):
    """
    An option of the command line.

    @ivar name: its long name.
    @ivar short: its short name, or empty.
    @ivar value: the name of its value in the help; empty for a flag.
    @ivar default: its default in the help; empty if there is none.
    @ivar explanation: what it does.
    @ivar commands: the commands that have it.
    @ivar coerce: converts a word to its value. The message of a L{ValueError} says what
        the option takes.
    """

    name: str
    short: str
    value: str
    default: str
    explanation: str
    commands: tuple[str, ...] = ALL
    coerce: Callable[[str], Any] = str


OPTIONS = [
    Option("host", "H", "HOST", "127.0.0.1", "Name or address of the server."),
    Option("port", "p", "N", "5000", "TCP port of the server.", ALL, _whole(1, 65535)),
    Option("connect", "c", "ENDPOINT", "none", "Endpoint of Twisted to connect to. It"
           " replaces host and port. With ping, -c is another option."),
    Option("tls", "", "", "", "Use TLS, and trust the certificates that the system"
           " trusts."),
    Option("tls-ca", "A", "FILE", "those that the system trusts", "Use TLS, and"
           " trust the certificates in this PEM file, or in this folder of PEM files."),
    Option("tls-cert", "E", "FILE", "none", "Use TLS, and show the client"
           " certificate in this PEM file. The intermediate certificates of its CA can"
           " follow in the file."),
    Option("tls-key", "K", "FILE", "the file of the client certificate", "PEM file of"
           " the private key of the client certificate."),
    Option("tls-name", "N", "NAME", "the host", "Use TLS. The server's certificate"
           " must have this name."),
    Option("ipv4", "4", "", "", "Use IPv4 addresses only."),
    Option("ipv6", "6", "", "", "Use IPv6 addresses only."),
    Option("proxy-header", "", "ADDRESS:PORT", "none", "First send a PROXY header"
           " (version 2) with this client address, as a load balancer does."),
    Option("udp", "", "", "", "Use UDP datagrams, as with udp:HOST:PORT. The network"
           " may not split them.", ("ping", "check")),
    Option("timeout", "", "SECONDS", "10; for talk, 30 to connect, and never for"
           " answers", "How long to wait each time for the network: for a name, a"
           " connection, a handshake, an answer; or never, for no limit.", ALL,
           _timeout),
    Option("verify", "", "", "", "Check each byte of the answers, and end with status 1"
           " at the first wrong byte.", ("talk",)),
    Option("progress", "", "", "", "Show bytes, rate and time on standard error.",
           ("talk",)),
    Option("count", "c", "N", "until Ctrl-C; 5 with plugin and prometheus", "How many"
           " pings to send.", ("ping",), _whole(1, 10**9)),
    Option("interval", "i", "SECONDS", "1", "Time from one ping to the next.",
           ("ping",), _seconds),
    Option("size", "s", "N", "56", "Characters of each ping, 16 or more. Over UDP:"
           " bytes of each ping.", ("ping",), _whole(LEAST_SIZE, MOST_SIZE)),
    Option("new", "", "", "", "Make a new connection for each ping.", ("ping",)),
    Option("slow", "", "SECONDS", "3", "How long the step slowreader reads no"
           " answers.", ("check",), _seconds),
    Option("idle", "", "SECONDS", "no such step", "Do the step idle, with so many"
           " seconds of silence.", ("check",), _seconds),
    Option("only", "", "STEP,…", "all", "Do only these steps.", ("check",), _steps),
    Option("skip", "", "STEP,…", "none", "Do not do these steps.", ("check",), _steps),
    Option("format", "", "FORMAT", "text", "Output format: text, json, plugin (of"
           " monitoring plugins) or prometheus.", PROBES, _format),
    Option("help", "h", "", "", "Show this help, and end."),
    Option("version", "", "", "", "Show the version, and end."),
]  # fmt: skip


class Options:
    """
    The command line, as a command and the values of its options.

    @ivar command: one of L{COMMANDS}.
    @ivar named: whether the command line names it.
    @ivar words: all other words that are no options.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        """
        @param arguments: the words of the command line.
        @raise WrongUsage: if they are wrong.
        """
        letters = "".join(
            each.short + (":" if each.value else "") for each in OPTIONS if each.short
        )
        names = [each.name + ("=" if each.value else "") for each in OPTIONS]
        try:
            given, words = getopt.gnu_getopt(list(arguments), letters, names)
        except getopt.GetoptError as error:
            raise WrongUsage(str(error)) from error
        self.named = bool(words) and words[0] in COMMANDS
        self.command = words[0] if self.named else "talk"
        self.words = words[1:] if self.named else words
        self._values: dict[str, Any] = {}
        for flag, word in given:
            self._take(flag, word)
        if "ipv4" in self and "ipv6" in self:
            raise WrongUsage("-4 and -6 cannot be used together")

    def get(self, name: str, default: Any = None) -> Any:
        """
        Get the value of an option.

        @param name: its long name.
        @param default: its value if it was not given.
        """
        return self._values.get(name, default)

    def __contains__(self, name: str) -> bool:
        """
        Tell whether an option was given.
        """
        return name in self._values

    def _take(self, flag: str, word: str) -> None:
        """
        Keep the value of one option.
        """
        found = [
            each
            for each in OPTIONS
            if flag == f"--{each.name}" or (each.short and flag == f"-{each.short}")
        ]
        option = next((o for o in reversed(found) if self.command in o.commands), None)
        if option is None:
            which = " and ".join(found[0].commands)
            raise WrongUsage(f"{flag} is for {which}, not for {self.command}")
        if not option.value:
            self._values[option.name] = True
            return
        if not word:
            raise WrongUsage(f"--{option.name} takes a value that is not empty")
        try:
            self._values[option.name] = option.coerce(word)
        except ValueError as error:
            hint = "; with ping, -c is --count" if flag == "-c" and ":" in word else ""
            raise WrongUsage(
                f"--{option.name} takes {error}, not {word!r}{hint}"
            ) from error
