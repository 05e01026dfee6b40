"""
Listening: on an endpoint, or not at all.
"""

from __future__ import annotations

import os
import re
import socket
from typing import Any

from twisted.application.service import Service
from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from upperproto.faults.description import fields, join, separateFaults
from upperproto.faults.settings import FaultSettings
from upperproto.ways.inherited import InheritedEndpoint

# Kinds of endpoints that break a promise of the service.
_BREAKING = {
    "haproxy": "would lose answers; use --proxy-protocol",
    "stdio": "is a single connection, with whose end the process would not end",
}

# What values without a name are.
_NAMES = {
    "ssl": ["port"],
    "tcp": ["port", "interface", "backlog"],
    "tcp6": ["port", "backlog", "interface"],
    "tls": ["path", "port", "backlog", "interface"],
    "unix": ["address", "mode", "backlog"],
}

# Numbers that Twisted takes at their word, each with its base, least and most.
_NUMBERS = {
    "port": (10, 0, 65535),
    "backlog": (10, 1, 2**31 - 1),
    "mode": (8, 0, 0o777),
}


class CannotStart(SystemExit, Exception):
    """
    The service cannot start. The message is for the person who started it.

    It ends the process with this message and status 1, because it is a L{SystemExit};
    and C{twistd} removes its PID file and tells the parent of a daemon, because it is
    an L{Exception}.
    """


def kindOf(description: str) -> str:
    """
    What kind of endpoint a description has, such as C{tcp}, in lower case; of
    C{fault:} endpoints, the one that has the faults.

    @param description: a server endpoint, as Twisted describes it.
    """
    [(_, kind), *_] = fields(separateFaults(description)[1])
    return kind.lower()


def forWorker(description: str) -> str:
    """
    Describe what a worker makes of an endpoint, which inherits its socket: systemd's
    variables are for the parent.
    """
    faults, inner = separateFaults(description)
    if kindOf(inner) != "systemd":
        return description
    return join([*faults, (None, "tcp"), (None, "0")])


def endpointFrom(reactor: Any, description: str) -> IStreamServerEndpoint:
    """
    Make an endpoint from its description, without the faults that its connections are
    to have: L{faultsFrom}.

    @param reactor: what it will listen on.
    @param description: a server endpoint, as Twisted describes it.
    @raise CannotStart: if it is not one, or breaks a promise of the service.
    """
    faultsFrom(description)
    kind = kindOf(description)
    if kind in _BREAKING:
        raise CannotStart(f"upper: {description} {_BREAKING[kind]}")
    try:
        return _makeEndpoint(reactor, kind, separateFaults(description)[1])
    except Exception as error:
        # Those of functions of Twisted begin with the function's name.
        why = re.sub(r"^\S+\(\) ", "", str(error))
        raise CannotStart(f"upper: not an endpoint: {description}: {why}") from error


def faultsFrom(description: str) -> FaultSettings | None:
    """
    Read the faults that a description of an endpoint asks for.

    @return: L{None} if there are none.
    @raise CannotStart: for one that is none.
    """
    faults, inner = separateFaults(description)
    words = {name: word for name, word in faults if name is not None}
    [(name, kind), *_] = fields(inner)
    try:
        if faults and name is not None:
            raise ValueError(f"there is no fault {name}")
        if faults and not kind:
            raise ValueError("fault: stands before another endpoint, such as tcp:5001")
        return FaultSettings.fromWords(words) if words else None
    except ValueError as error:
        raise CannotStart(f"upper: not an endpoint: {description}: {error}") from error


def _makeEndpoint(reactor: Any, kind: str, description: str) -> IStreamServerEndpoint:
    """
    @raise Exception: what is wrong with the description.
    """
    [(unwanted, _), *parts] = fields(description)
    if unwanted is not None:
        raise ValueError("it has to begin with its kind, such as tcp:")
    for name, value in parts:
        if not value:
            # An empty interface would be all of them: that has names of its own.
            what = name or "a value"
            raise ValueError(rf"{what} is empty (a colon within a value: \:)")
    words = [value for name, value in parts if name is None]
    named = {name: value for name, value in parts if name is not None}
    if kind == "systemd":
        return InheritedEndpoint(reactor, *words, **named)
    if kind in _NAMES:
        _checkValues({**dict(zip(_NAMES[kind], words, strict=False)), **named})
    endpoint: IStreamServerEndpoint = serverFromString(reactor, description)
    return endpoint


def _checkValues(values: dict[str, str]) -> None:
    """
    @raise ValueError: for a value that Twisted would take, and that is of no use.
    """
    for name in values.keys() & _NUMBERS.keys():
        value, (base, least, most) = values[name], _NUMBERS[name]
        digits = value.isascii() and value.isdigit()
        if not (digits and least <= int(value, base) <= most):
            raise ValueError(f"not a {name}: {value}")
    # Where Twisted finds no certificate, it refuses each client.
    if "path" in values and not os.path.isdir(values["path"]):
        raise ValueError(f"not a folder: {values['path']}")


def listen(endpoint: IStreamServerEndpoint, factory: IProtocolFactory) -> Any:
    """
    Listen on an endpoint, now or not at all.

    @param endpoint: where. It must know at once whether it can.
    @raise Exception: what keeps it from listening.
    """
    results: list[Any] = []
    maybeDeferred(endpoint.listen, factory).addBoth(results.append)
    if not results:
        raise RuntimeError("the endpoint does not know at once whether it can listen")
    [result] = results
    if isinstance(result, Failure):
        result.raiseException()
    return result


def setConnectionOptions(listening: socket.socket) -> None:
    """
    Let the connections of a listening socket send small answers at once
    (C{TCP_NODELAY}), and find out that a peer has died (C{SO_KEEPALIVE}). On Linux,
    those that it accepts from now on inherit both, so that it costs them nothing.

    @param listening: the socket. UNIX sockets have no use for either.
    """
    if listening.family in (socket.AF_INET, socket.AF_INET6):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, True)


def addressName(address: IAddress) -> str:
    """
    Write the address of a listener as people do.

    @return: C{127.0.0.1:5000}, C{[::1]:5000}, C{127.0.0.1:5000 (UDP)}, a path, or the
        name of an abstract UNIX socket after an at sign.
    """
    if isinstance(address, (IPv4Address, IPv6Address)):
        host = f"[{address.host}]" if ":" in address.host else address.host
        kind = " (UDP)" if address.type == "UDP" else ""
        return f"{host}:{address.port}{kind}"
    if isinstance(address, UNIXAddress) and address.name is not None:
        name = address.name.decode("utf-8", "backslashreplace")
        return f"@{name[1:]}" if name.startswith("\0") else name
    return str(address)


class Listener(Service):
    """
    Listen on an endpoint for as long as the service runs.

    Unlike Twisted's own service for endpoints, it ends a process that cannot
    listen with a message instead of a traceback.

    @cvar message: what the log says when it listens.
    @ivar faults: those that connections are given; L{None} without any.
    @ivar address: where it listens, as people write it; empty until it has.
    """

    message = "Listening on {name}"

    _log = Logger()

    def __init__(
        self,
        endpoint: IStreamServerEndpoint,
        factory: IProtocolFactory,
        faults: FaultSettings | None = None,
    ) -> None:
        """
        @param endpoint: where to listen. It must know at once whether it can.
        @param factory: what serves the connections.
        @param faults: those that the factory gives them, to say so.
        """
        self.faults = faults
        self._endpoint = endpoint
        self._factory = factory
        self._port: Any = None
        self.address = ""

    def privilegedStartService(self) -> None:
        """
        Listen, as C{twistd} asks while the process has its privileges.

        @raise CannotStart: where the system refuses.
        """
        super().privilegedStartService()
        try:
            port = self._port = listen(self._endpoint, self._factory)
        except Exception as error:
            raise CannotStart(f"upper: {error}") from error
        if isinstance(port, FileDescriptor):
            with socket.socket(fileno=os.dup(port.fileno())) as listening:
                setConnectionOptions(listening)
        name = self.address = addressName(port.getHost())
        self._log.info(self.message, name=name)
        if self.faults is not None:
            self._log.warn(
                "fault: {name}: connections of this listener are given faults:"
                " {faults}",
                name=name,
                faults=self.faults,
            )

    def startService(self) -> None:
        """
        Listen, if L{privilegedStartService} has not.

        @raise CannotStart: where the system refuses.
        """
        super().startService()
        if self._port is None:
            self.privilegedStartService()

    def stopService(self) -> Deferred[None]:
        """
        Refuse new connections. Where it never listened, there is nothing to do.

        @return: fires when they are refused.
        """
        super().stopService()
        port, self._port = self._port, None
        return succeed(None) if port is None else maybeDeferred(port.stopListening)

    def getHost(self) -> IAddress | None:
        """
        Where it listens, if it does.
        """
        return None if self._port is None else self._port.getHost()

    def close(self) -> None:
        """
        Refuse new connections at once: after a start that has failed, there may be
        no reactor to wait for. The path of a UNIX socket goes, too.
        """
        port, self._port = self._port, None
        if isinstance(port, FileDescriptor):
            port.stopReading()
            port.connectionLost(Failure(ConnectionDone()))
