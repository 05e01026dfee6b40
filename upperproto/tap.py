"""
The options of C{twistd -n upper}, and the service that they describe.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.application.service import IService
from twisted.internet.endpoints import quoteStringArgument
from twisted.python import usage

from upperproto.coercions import either, number, oneOf, seconds, valueOptional
from upperproto.datagrams.listener import SAME
from upperproto.factory import UpperFactory
from upperproto.interfaces import IConnectionLog
from upperproto.limits.descriptors import fitDescriptors
from upperproto.monitoring.logobserver import chooseLogObserver
from upperproto.service import UpperService
from upperproto.ways.endpoints import CannotStart, forWorker, kindOf
from upperproto.ways.proxyprotocol import LOOPBACK

if TYPE_CHECKING:
    # Only who wants TLS needs it.
    from upperproto.tls.certificates import Certificates


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

    def __init__(self) -> None:
        """
        Begin with no endpoint.
        """
        super().__init__()
        self["listen"] = []
        self["proxy-from"] = []

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse the words of a command line.

        @param options: the words; by default, those of this process.
        @raise CannotStart: for bad ones, under C{twistd} or C{twist}. After a
            usage error C{twistd} prints all of its own options before it says
            what is wrong, and that of Twisted 24.3 ends with status 0.
        @raise UsageError: likewise, by themselves.
        """
        words = sys.argv[1:] if options is None else options
        try:
            super().parseOptions(valueOptional(words, "--udp", SAME))
        except usage.UsageError as error:
            if self.parent is None:
                raise
            raise CannotStart(f"upper: {error} (see --help)") from error

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
            if kindOf(endpoint) in ("tcp", "tcp6", "ssl", "tls", "unix")
            and "backlog=" not in endpoint
            else endpoint
            for endpoint in self["listen"]
        ]


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


def _certificates(options: Options) -> Certificates | None:
    """
    Read the files of TLS, if it is wanted.

    @raise CannotStart: for files that are of no use.
    """
    if options["tls-cert"] is None:
        return None
    try:
        from upperproto.tls.certificates import Certificates
    except ImportError as error:
        raise CannotStart(
            f"upper: TLS needs more packages (pip install 'upperproto[tls]'): {error}"
        ) from error
    try:
        return Certificates(
            options["tls-cert"], options["tls-key"], options["tls-client-ca"]
        )
    except ValueError as error:
        raise CannotStart(f"upper: {error}") from error


def _accessLog(options: Options, reactor: Any) -> IConnectionLog | None:
    """
    Make the access log, if it is wanted.
    """
    target = options["access-log"]
    if target is None:
        return None
    from upperproto.monitoring.accessformats import formatJSON, formatText
    from upperproto.monitoring.accesslog import STANDARD_OUTPUT, AccessLog

    return AccessLog(
        STANDARD_OUTPUT if target == "-" else target,
        formatJSON if options["access-log-format"] == "json" else formatText,
        reactor,
        lines=options["log"] == "lines",
        isQuiet=options["log"] == "none",
    )


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
    certificates = _certificates(options)
    datagrams = None
    if options["udp"] is not None:
        datagrams = (options["udp"], options["interface"])
    workers = options["workers"]
    if workers > 1:
        # Few need it.
        from upperproto.processes.supervisor import Supervisor

        share = {**options, "workers": 1}
        for cap in ["max-connections", "max-per-peer"]:
            if options[cap] is not None:
                share[cap] = max(1, options[cap] // workers)
        share["listen"] = [forWorker(each) for each in options["listen"]]
        return Supervisor(workers, share, endpoints, drain, reactor, datagrams)
    waits = certificates is not None or options["proxy-protocol"]
    maxConnections, maxRefused = fitDescriptors(
        options["max-connections"], queues=2 if waits else 1
    )
    factory = UpperFactory(
        errors=options["errors"],
        flushAfter=options["flush-after"],
        idleTimeout=options["idle-timeout"],
        maxConnections=maxConnections,
        maxPerPeer=options["max-per-peer"],
        maxRefused=maxRefused,
        log=options["log"],
        clock=reactor,
        accessLog=_accessLog(options, reactor),
    )
    proxies = None
    if options["proxy-protocol"]:
        proxies = [ip_network(each) for each in options["proxy-from"] or LOOPBACK]
    service = UpperService(
        factory, endpoints, drain, reactor, maxRefused, certificates, proxies
    )
    if datagrams is not None:
        service.addDatagrams(*datagrams)
    return service
