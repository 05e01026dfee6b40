"""
The options of C{twistd -n upper}, and the service that they describe.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from ipaddress import ip_network
from typing import Any, ClassVar, NoReturn

from twisted.application.service import IService
from twisted.python import usage

from upperproto.assembly import assemble
from upperproto.datagrams.listener import SAME
from upperproto.monitoring.logobserver import chooseLogObserver
from upperproto.options.coercions import (
    AUTO,
    either,
    instance,
    number,
    oneOf,
    seconds,
    valueOptional,
)
from upperproto.options.environment import Environment
from upperproto.rules import checkName
from upperproto.ways.endpoints import CannotStart, kindOf


class Options(usage.Options):
    """
    The options of C{twistd -n upper}.
    """

    synopsis = "[options]"
    longdesc = (
        "Answer text in upper case, line by line, over TCP, UNIX sockets or any"
        " other endpoint. Unlike an echo, the answer proves that a server read"
        " what was sent. Each option can come from the environment, too, by the name"
        " in brackets; the command line goes before it. A flag is 1 or 0 there, and"
        " several values have spaces between them."
    )

    optParameters: ClassVar = [
        ["port", "p", 5000, "TCP port to listen on; 0: the system chooses.",
         number("port", 0, 65535)],
        ["interface", "i", "127.0.0.1", "IPv4 or IPv6 address to listen on;"
         " 0.0.0.0 or ::, to be open to the network."],
        ["udp", None, None, "Answer datagrams, too: on the TCP port, or on this one.",
         either(SAME, number("udp", 0, 65535))],
        ["backlog", None, 1024, "Connections that may wait to be accepted.",
         number("backlog", 1)],
        ["errors", None, "strict", "What becomes of invalid UTF-8: strict, answer"
         " its line with an error; replace, with U+FFFD in its place;"
         " surrogateescape, leave it as it is.",
         oneOf("errors", "strict", "replace", "surrogateescape")],
        ["flush-after", None, 0.05, "Answer an unfinished line when so many"
         " seconds have brought nothing new; or 'never'.", seconds("flush-after")],
        ["idle-timeout", None, 600, "Close a connection over which nothing has"
         " moved, either way, for so many seconds; or 'never'.",
         seconds("idle-timeout")],
        ["max-connections", None, 10000, "Connections served at a time; one more"
         " is told so and closed.", number("max-connections", 1)],
        ["max-per-peer", None, None, "Connections served at a time from one IPv4"
         " address, or one IPv6 network of 64 bits. [default: any number]",
         number("max-per-peer", 1)],
        ["workers", None, 1, "Processes that serve the same ports; each gets an"
         " equal share of --max-connections and --max-per-peer.",
         number("workers", 1)],
        ["name", None, None, "Tell each client first who serves it: this name, or that"
         " of the pod or the host.", instance("name", checkName)],
        ["log", None, "connections", "What to log: none; connections, as they open"
         " and close; lines, also what is said.",
         oneOf("log", "none", "connections", "lines")],
        ["access-log", None, None, "File for a line about each connection, when it"
         " closes, in place of those in the log; '-' is standard output."],
        ["access-log-format", None, None, "What such a line is: text or json."
         " [default: text]",
         oneOf("access-log-format", "text", "json")],
        ["drain", None, 10, "Seconds that busy conversations may go on after"
         " SIGTERM or SIGINT.", seconds("drain", never=False)],
        ["ready-delay", None, 0, "Seconds from SIGTERM or SIGINT, when --status says"
         " that this service is not ready any more, to the end of its listening.",
         seconds("ready-delay", never=False)],
        ["status", None, None, "Server endpoint that answers HTTP: /livez, /readyz,"
         " /metrics, and a page for people; a number: a port of 127.0.0.1."],
        ["tls-cert", None, None, "PEM file of the certificate, and of those that"
         " lead to its root: speak TLS on all TCP listeners."],
        ["tls-key", None, None, "PEM file of its private key, unencrypted."
         " [default: the file of --tls-cert]"],
        ["tls-client-ca", None, None, "PEM file of those who issue the clients'"
         " certificates: each client needs one. [default: none does]"],
    ]  # fmt: skip

    optFlags: ClassVar = [
        ["proxy-protocol", None, "Take each client's address from a PROXY header, as"
         " HAProxy, nginx and cloud load balancers send it."],
    ]  # fmt: skip

    # For Twisted's completion, and for that of other shells.
    compData: ClassVar = usage.Completions(
        multiUse=["listen", "proxy-from"],
        optActions={
            "errors": usage.CompleteList(["strict", "replace", "surrogateescape"]),
            "log": usage.CompleteList(["none", "connections", "lines"]),
            **dict.fromkeys(
                ["tls-cert", "tls-key", "tls-client-ca"], usage.CompleteFiles()
            ),
        },
    )

    def __init__(self) -> None:
        """
        Begin with no endpoint.
        """
        super().__init__()
        self["listen"] = []
        self["proxy-from"] = []
        self._environment = Environment(
            self, os.environ, inPlaceOf={"listen": ["port", "interface"]}
        )
        self._environment.explain()

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse the words of a command line, and the environment.

        @param options: the words; by default, those of this process.
        @raise CannotStart: for bad ones, under C{twistd} or C{twist}. After a
            usage error C{twistd} prints all of its own options before it says
            what is wrong, and that of Twisted 24.3 ends with status 0.
        @raise usage.UsageError: likewise, by themselves.
        """
        words = sys.argv[1:] if options is None else options
        line = [*words]
        for option, value in (("--udp", SAME), ("--name", AUTO)):
            line = valueOptional(line, option, value)
        try:
            super().parseOptions([*self._environment.words(line), *line])
        except usage.UsageError as raised:
            error = self._environment.blame(raised)
            if self.parent is None:
                raise error from raised
            raise CannotStart(f"upper: {error} (see --help)") from raised

    def opt_version(self) -> NoReturn:
        """Display the versions of this service and of Twisted, and exit."""
        print(f"upper {version('upperproto')} (Twisted {version('twisted')})")
        sys.exit(0)

    def opt_listen(self, endpoint: str) -> None:
        """Endpoint string to listen on, in place of port and interface; repeatable."""
        self["listen"].append(endpoint)

    opt_l = opt_listen

    def opt_proxy_from(self, network: str) -> None:
        """Take PROXY headers from ADDRESS[/BITS], not loopback; repeatable."""
        try:
            ip_network(network)
        except ValueError as error:
            raise usage.UsageError(
                f"--proxy-from takes ADDRESS[/BITS]: {error}"
            ) from error
        self["proxy-from"].append(network)

    def parseArgs(self, *words: str) -> None:
        """
        Take no words but options.
        """
        if words:
            raise usage.UsageError(f"not an option: {words[0]}")

    def postOptions(self) -> None:
        """
        Refuse options that do not go together. Then choose the reactor and the log,
        where C{twistd} or C{twist} has been told nothing of them.
        """
        for option, value in self.items():
            if value == "" or (isinstance(value, list) and "" in value):
                raise usage.UsageError(f"--{option} takes a value, not an empty one")
        for option in ("tls-key", "tls-client-ca"):
            if self[option] is not None and self["tls-cert"] is None:
                raise usage.UsageError(f"--{option} needs --tls-cert")
        if self["access-log-format"] is not None and self["access-log"] is None:
            raise usage.UsageError("--access-log-format needs --access-log")
        if self["proxy-from"] and not self["proxy-protocol"]:
            raise usage.UsageError("--proxy-from needs --proxy-protocol")
        for option in ("tls-cert", "tls-key", "tls-client-ca"):
            # Files are read again when they change, perhaps in another folder.
            if self[option] is not None:
                self[option] = os.path.abspath(self[option])
        if self["access-log"] not in (None, "-"):
            self["access-log"] = os.path.abspath(self["access-log"])
        for endpoint in self["listen"]:
            if kindOf(endpoint) in ("ssl", "tls") and self["tls-cert"] is not None:
                raise usage.UsageError(
                    f"--listen {endpoint} has a certificate besides --tls-cert"
                )
        if self.parent is not None:
            if self["access-log"] == "-" and not self.parent.get("nodaemon", True):
                raise usage.UsageError("--access-log - needs twistd --nodaemon")
            _chooseReactor()
            chooseLogObserver(self.parent)


def _chooseReactor() -> None:
    """
    Install the reactor of this package, if none is installed yet. C{--reactor} installs
    the user's choice before the options of a plugin are parsed; without it, C{twistd}
    and C{twist} install Twisted's default after that (seen in Twisted 24.3 and 26.10).
    """
    if "twisted.internet.reactor" not in sys.modules:
        # Other systems than Linux have no epoll(7), and keep Twisted's default.
        with suppress(ImportError):
            from upperproto.reactor import epoll

            epoll.install()


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
    return assemble(options, reactor)
