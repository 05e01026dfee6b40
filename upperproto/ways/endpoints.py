"""
Endpoints: check their descriptions, and listen on them or end with one message.
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

from upperproto.faults.endpointstring import fields, join, separateFaults
from upperproto.faults.settings import FaultSettings
from upperproto.ways.inherited import InheritedEndpoint
from upperproto.ways.socketoptions import setConnectionOptions

# Kinds of endpoints that cannot keep a promise of the service.
_BREAKING = {
    "haproxy": "would lose answers; use --proxy-protocol",
    "stdio": "is one connection, and the process would not end with it",
}

# The names of values that are given without a name.
_NAMES = {
    "ssl": ["port"],
    "tcp": ["port", "interface", "backlog"],
    "tcp6": ["port", "backlog", "interface"],
    "tls": ["path", "port", "backlog", "interface"],
    "unix": ["address", "mode", "backlog"],
}

# Numbers that Twisted does not check: their base, the least and the greatest value.
_NUMBERS = {
    "port": (10, 0, 65535),
    "backlog": (10, 1, 2**31 - 1),
    "mode": (8, 0, 0o777),
}


class CannotStart(SystemExit, Exception):
    """
    The service cannot start. The message is for the person who started it.

    It is a L{SystemExit}, so it ends the process with this message and status 1. It is
    also an L{Exception}, so C{twistd} removes its PID file and tells the parent of a
    daemon.
    """


def kindOf(description: str) -> str:
    """
    Find the kind of an endpoint, such as C{tcp}, in lower case; for C{fault:}, the kind
    of the inner endpoint.

    @param description: a server endpoint, as Twisted describes it.
    """
    [(_, kind), *_] = fields(separateFaults(description)[1])
    return kind.lower()


def forWorker(description: str) -> str:
    """
    Change the description of an endpoint for a worker. The worker inherits the socket
    from its parent, so the variables of systemd are not for it.
    """
    faults, inner = separateFaults(description)
    if kindOf(inner) != "systemd":
        return description
    return join([*faults, (None, "tcp"), (None, "0")])


def endpointFrom(reactor: Any, description: str) -> IStreamServerEndpoint:
    """
    Make an endpoint from its description. It has no faults: see L{faultsFrom}.

    @param reactor: listens.
    @param description: a server endpoint, as Twisted describes it.
    @raise CannotStart: if it is not valid, or cannot keep a promise of the service.
    """
    faultsFrom(description)
    kind = kindOf(description)
    if kind in _BREAKING:
        raise CannotStart(f"upper: {description} {_BREAKING[kind]}")
    try:
        return _makeEndpoint(reactor, kind, separateFaults(description)[1])
    except Exception as error:
        # Some messages begin with the name of a function of Twisted.
        why = re.sub(r"^\S+\(\) ", "", str(error))
        raise CannotStart(f"upper: not an endpoint: {description}: {why}") from error


def faultsFrom(description: str) -> FaultSettings | None:
    """
    Read the faults in the description of an endpoint.

    @return: L{None} if there are none.
    @raise CannotStart: for a fault that is not valid.
    """
    faults, inner = separateFaults(description)
    words = {name: word for name, word in faults if name is not None}
    [(name, kind), *_] = fields(inner)
    try:
        if faults and name is not None:
            raise ValueError(f"there is no fault {name}")
        if faults and not kind:
            raise ValueError("fault: needs an endpoint after it, such as tcp:5001")
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
            # An empty interface would mean all interfaces: 0.0.0.0 and :: say that.
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
    @raise ValueError: for a wrong value that Twisted would accept.
    """
    for name in values.keys() & _NUMBERS.keys():
        value, (base, least, most) = values[name], _NUMBERS[name]
        digits = value.isascii() and value.isdigit()
        if not (digits and least <= int(value, base) <= most):
            raise ValueError(f"not a {name}: {value}")
    # If Twisted finds no certificate, it starts, and refuses each client.
    if "path" in values and not os.path.isdir(values["path"]):
        raise ValueError(f"not a folder: {values['path']}")


def listen(endpoint: IStreamServerEndpoint, factory: IProtocolFactory) -> Any:
    """
    Listen on an endpoint, and do not wait.

    @param endpoint: the endpoint. It must know at once whether it can listen.
    @raise Exception: why it cannot listen.
    """
    results: list[Any] = []
    maybeDeferred(endpoint.listen, factory).addBoth(results.append)
    if not results:
        raise RuntimeError("the endpoint does not know at once whether it can listen")
    [result] = results
    if isinstance(result, Failure):
        result.raiseException()
    return result


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

    If it cannot listen, it ends the process with a message. Twisted's own service for
    endpoints logs a traceback, and the process goes on.

    @cvar message: what the log says when it listens.
    @ivar faults: the faults of the connections; L{None} without any.
    @ivar address: the address, as people write it; empty before it listens.
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
        @param factory: serves the connections.
        @param faults: the faults that the factory adds, for the log.
        """
        self.faults = faults
        self._endpoint = endpoint
        self._factory = factory
        self._port: Any = None
        self.address = ""

    def privilegedStartService(self) -> None:
        """
        Listen, as C{twistd} asks while the process has its privileges.

        @raise CannotStart: if the system does not allow it.
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
                "fault: {name}: connections of this listener have faults: {faults}",
                name=name,
                faults=self.faults,
            )

    def startService(self) -> None:
        """
        Listen, if L{privilegedStartService} has not.

        @raise CannotStart: if the system does not allow it.
        """
        super().startService()
        if self._port is None:
            self.privilegedStartService()

    def stopService(self) -> Deferred[None]:
        """
        Refuse new connections, if it listens.

        @return: fires when the port is closed.
        """
        super().stopService()
        port, self._port = self._port, None
        return succeed(None) if port is None else maybeDeferred(port.stopListening)

    def getHost(self) -> IAddress | None:
        """
        Give the address that it listens on, if it does.
        """
        return None if self._port is None else self._port.getHost()

    def close(self) -> None:
        """
        Refuse new connections at once, and remove the path of a UNIX socket. This does
        not wait: after a failed start, the reactor may not run.
        """
        port, self._port = self._port, None
        if isinstance(port, FileDescriptor):
            port.stopReading()
            port.connectionLost(Failure(ConnectionDone()))
