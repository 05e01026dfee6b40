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

from upperproto.datagrams.service import SAME
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
from upperproto.servicebuilder import assemble
from upperproto.ways.endpoints import CannotStart, kindOf


class Options(usage.Options):
    """
    The options of C{twistd -n upper}.
    """

    synopsis = "[options]"
    longdesc = (
        "Answer text in upper case, line by line, over TCP, UNIX sockets or any"
        " other endpoint. An echo can come from a loop; this answer proves that a"
        " server has read the text. Each option also has an environment variable,"
        " named in brackets. The command line is stronger. The variable of a flag is 1"
        " or 0. Spaces separate several values."
    )

    optParameters: ClassVar = [
        ["port", "p", 5000, "TCP port to listen on. With 0, the system chooses.",
         number("port", 0, 65535)],
        ["interface", "i", "127.0.0.1", "IPv4 or IPv6 address to listen on."
         " 0.0.0.0 or :: opens the service to the network."],
        ["udp", None, None, "Answer UDP datagrams, too: on the TCP port, or on this"
         " port.", either(SAME, number("udp", 0, 65535))],
        ["backlog", None, 1024, "How many connections may wait to be accepted.",
         number("backlog", 1)],
        ["errors", None, "strict", "What to do with invalid UTF-8. strict: answer"
         " its line with an error. replace: put U+FFFD in its place."
         " surrogateescape: do not change it.",
         oneOf("errors", "strict", "replace", "surrogateescape")],
        ["flush-after", None, 0.05, "Answer an unfinished line when nothing new has"
         " come for so many seconds; or 'never'.", seconds("flush-after")],
        ["idle-timeout", None, 600, "Close a connection on which nothing was sent or"
         " received for so many seconds; or 'never'.", seconds("idle-timeout")],
        ["max-connections", None, 10000, "How many connections are served at the same"
         " time. Further clients get an error, and are disconnected.",
         number("max-connections", 1)],
        ["max-per-peer", None, None, "How many connections are served at the same time"
         " from one IPv4 address, or one IPv6 network of 64 bits. [default: any"
         " number]",
         number("max-per-peer", 1)],
        ["workers", None, 1, "How many processes serve the same ports. Each gets an"
         " equal share of --max-connections and --max-per-peer.",
         number("workers", 1)],
        ["name", None, None, "Begin each connection with a line that tells this name of"
         " the server, or else the name of the pod or the host.",
         instance("name", checkName)],
        ["log", None, "connections", "What to log about connections. none: nothing."
         " connections: that they open and close. lines: also texts and answers.",
         oneOf("log", "none", "connections", "lines")],
        ["access-log", None, None, "Write one line about each connection to this file,"
         " when it closes. The log then has no such lines. '-' is standard output."],
        ["access-log-format", None, None, "Format of the access log: text or json."
         " [default: text]",
         oneOf("access-log-format", "text", "json")],
        ["drain", None, 10, "How many seconds busy connections may go on after"
         " SIGTERM or SIGINT.", seconds("drain", never=False)],
        ["ready-delay", None, 0, "How many seconds to go on listening after SIGTERM or"
         " SIGINT, while --status says that this service is not ready.",
         seconds("ready-delay", never=False)],
        ["status", None, None, "Endpoint that answers HTTP requests: /livez, /readyz,"
         " /metrics, and a page for people. A number is a port of 127.0.0.1."],
        ["tls-cert", None, None, "PEM file of the certificate and its chain. All TCP"
         " listeners then use TLS."],
        ["tls-key", None, None, "PEM file of the private key of that certificate,"
         " unencrypted. [default: the file of --tls-cert]"],
        ["tls-client-ca", None, None, "PEM file of authorities (CAs). Each client then"
         " needs a certificate of one of them. [default: none]"],
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
        Begin with the defaults, and name the environment variables in the help.
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
        @raise CannotStart: for wrong words, if C{twistd} or C{twist} calls this. After
            a L{usage.UsageError}, C{twistd} prints all its own options before the
            message, and in Twisted 24.3 it ends with status 0.
        @raise usage.UsageError: for wrong words, if another program calls this.
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

    def opt_help(self) -> NoReturn:
        """Display this help and exit."""
        _printAndExit(str(self))

    def opt_version(self) -> NoReturn:
        """Display the versions of this service and of Twisted, and exit."""
        _printAndExit(f"upper {version('upperproto')} (Twisted {version('twisted')})")

    def opt_listen(self, endpoint: str) -> None:
        """Endpoint to listen on. It replaces port and interface. Repeatable."""
        self["listen"].append(endpoint)

    opt_l = opt_listen

    def opt_proxy_from(self, network: str) -> None:
        """Take PROXY headers from ADDRESS[/BITS] only. Repeatable."""
        try:
            ip_network(network)
        except ValueError as error:
            raise usage.UsageError(
                f"--proxy-from takes ADDRESS[/BITS]: {error}"
            ) from error
        self["proxy-from"].append(network)

    def parseArgs(self, *words: str) -> None:
        """
        Refuse words that are not options.
        """
        if words:
            raise usage.UsageError(f"not an option: {words[0]}")

    def postOptions(self) -> None:
        """
        Refuse options that do not go together. Then choose the reactor and the log, if
        the options of C{twistd} or C{twist} have not chosen them.
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
            # The files are read again when they change. The working directory may be
            # another one then.
            if self[option] is not None:
                self[option] = os.path.abspath(self[option])
        if self["access-log"] not in (None, "-"):
            self["access-log"] = os.path.abspath(self["access-log"])
        for endpoint in self["listen"]:
            if kindOf(endpoint) in ("ssl", "tls") and self["tls-cert"] is not None:
                raise usage.UsageError(
                    f"--listen {endpoint} has its own certificate: remove --tls-cert"
                )
        if self.parent is not None:
            if self["access-log"] == "-" and not self.parent.get("nodaemon", True):
                raise usage.UsageError("--access-log - needs twistd --nodaemon")
            _chooseReactor()
            chooseLogObserver(self.parent)


def _printAndExit(text: str) -> NoReturn:
    """
    Print to standard output, and end the process. Nobody has to read it all: the user
    may have typed C{--help | head}.

    @param text: what to print.
    """
    status: int | str = 0
    try:
        print(text, flush=True)
    except OSError as error:
        # At its end, Python flushes once more what is left. That must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            status = f"upper: cannot write standard output: {error.strerror}"
    sys.exit(status)


def _chooseReactor() -> None:
    """
    Install the reactor of this package, if none is installed yet. C{--reactor} installs
    the choice of the user before the options of a plugin are parsed. Without it,
    C{twistd} and C{twist} install Twisted's default after that (Twisted 24.3 to 26.10).
    """
    if "twisted.internet.reactor" not in sys.modules:
        # Only Linux has epoll(7). Other systems keep Twisted's default.
        with suppress(ImportError):
            from upperproto.reactor import epoll

            epoll.install()


def makeService(options: Options, reactor: Any = None) -> IService:
    """
    Make the service that the options describe.

    @param options: parsed options.
    @param reactor: listens and tells the time; by default, the global reactor.
    @return: a service that is not started yet.
    @raise CannotStart: for an endpoint that is not valid.
    """
    if reactor is None:
        from twisted.internet import reactor
    return assemble(options, reactor)
