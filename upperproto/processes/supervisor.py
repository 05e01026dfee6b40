"""
The same service in several processes, which share the load of its ports.

The parent binds every socket and accepts nothing. Each TCP port is bound once
for each worker (C{SO_REUSEPORT}, socket(7)), so that the kernel shares the
connections out; other sockets are bound once and accepted from by all. The
sockets outlive the workers: while one is started again, its connections wait.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.application.service import Service
from twisted.internet.abstract import isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import (
    CannotListenError,
    ProcessExitedAlready,
    ProcessTerminated,
)
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.runner.procmon import ProcessMonitor
from zope.interface import implementer

from upperproto.lineblocks import BlockReceiver
from upperproto.monitoring import outlet
from upperproto.monitoring.stamp import allStamp, stampLines
from upperproto.signals import onSecondSignal
from upperproto.ways import systemd
from upperproto.ways.endpoints import CannotStart, Inheriting, endpointFrom, listen

# Where a worker finds its sockets, beside its standard streams.
FIRST_DESCRIPTOR = 3

# A worker that dies within a second of its start is started again after a time
# that doubles between these bounds, in seconds; any other, at once.
LEAST_DELAY = 0.1
MOST_DELAY = 5.0

# How many seconds after its drain time a worker may take to end.
GRACE = 2.0

# After what a worker has said, what it says in so many seconds is logged together: to
# log one line takes as long as a short connection does. Twisted reads so many bytes
# of a process at a time; when there are as many, there is more.
PAUSE = 0.01
MOST_READ = 8192


class SharedSockets:
    """
    Stands in for the reactor where endpoints listen: binds what they would, for
    each worker.

    @ivar sockets: for each endpoint, the socket of each worker.
    """

    def __init__(self, workers: int, reactor: Any) -> None:
        """
        @param workers: how many there are.
        @param reactor: what binds the sockets that are bound only once.
        """
        self.sockets: list[list[socket.socket]] = []
        self._workers = workers
        self._reactor = reactor
        self._ports: list[Any] = []

    def listenTCP(
        self, port: int, factory: Factory, backlog: int = 50, interface: str = ""
    ) -> SharedSockets:
        """
        Bind a TCP port once for each worker.
        """
        family = socket.AF_INET6 if isIPv6Address(interface) else socket.AF_INET
        shared: list[socket.socket] = []
        try:
            for _ in range(self._workers):
                shared.append(_bind(family, interface, port, first=not shared))
                port = shared[0].getsockname()[1]
            for each in shared:
                each.listen(backlog)
        except OSError as error:
            raise CannotListenError(interface, port, error) from error
        self.sockets.append(shared)
        return self

    def listenSSL(
        self, port: int, factory: Factory, contextFactory: object, **options: Any
    ) -> SharedSockets:
        """
        Bind a TCP port once for each worker; TLS is theirs.
        """
        return self.listenTCP(port, factory, **options)

    def listenUNIX(self, *arguments: Any, **options: Any) -> SharedSockets:
        """
        Bind a UNIX socket once.
        """
        return self._shareOne(self._reactor.listenUNIX(*arguments, **options))

    def adoptStreamPort(self, *arguments: Any) -> SharedSockets:
        """
        Take a socket that was inherited.
        """
        return self._shareOne(self._reactor.adoptStreamPort(*arguments))

    def _shareOne(self, port: Any) -> SharedSockets:
        port.stopReading()
        self._ports.append(port)
        self.sockets.append([port.socket] * self._workers)
        return self

    def close(self) -> None:
        """
        Close this process's copies.
        """
        for port in self._ports:
            port.stopListening()
        for each in {each for shared in self.sockets for each in shared}:
            each.close()


def _bind(
    family: socket.AddressFamily, interface: str, port: int, first: bool
) -> socket.socket:
    """
    Bind one of the sockets that share a port.
    """
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setblocking(False)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Another service of the same user could have bound the port with
        # SO_REUSEPORT: the first of ours must not share it.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, not first)
        [(*_, address), *_] = socket.getaddrinfo(
            interface or None, port, family, socket.SOCK_STREAM, 0, socket.AI_PASSIVE
        )
        bound.bind(address)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, True)
    except BaseException:
        bound.close()
        raise
    return bound


class _Nobody(Factory):
    """
    Serves nobody: the parent does not accept.
    """

    noisy = False


class WorkerOutput(BlockReceiver):
    """
    Log what a worker says on its standard output.
    """

    _log = Logger()

    delimiter = b"\n"
    # What waits for its line end has come from a process of ours.
    MAX_LENGTH = sys.maxsize

    def __init__(self, name: str, clock: IReactorTime) -> None:
        """
        @param name: the worker's.
        @param clock: what tells the time.
        """
        self._name = name
        self._clock = clock

    def dataReceived(self, data: bytes) -> None:
        """
        Log what is whole. Then let more come together, unless there is more already.
        """
        super().dataReceived(data)
        if 0 < len(data) < MOST_READ:
            self.pauseProducing()
            self._clock.callLater(PAUSE, self.resumeProducing)

    def blockReceived(self, block: bytes) -> None:
        """
        Log some lines: all at once where that makes no difference to the log,
        because under load there are many.
        """
        text = block[:-1].decode("utf-8", "backslashreplace")
        if allStamp(WorkerOutput):
            self._logLine(text.replace("\n", f"\n[{self._name}] "))
        else:
            for line in text.split("\n"):
                self._logLine(line)

    def ended(self) -> None:
        """
        Log a line that a worker has died within.
        """
        rest = self.clearLineBuffer()
        if rest:
            self.blockReceived(rest + b"\n")

    def _logLine(self, line: str) -> None:
        self._log.info("[{tag}] {line}", tag=self._name, line=line, stream="stdout")


@implementer(IReactorTime)
class _Spawner:
    """
    Stands in for the reactor where workers are started: hands each its sockets, and
    logs what it says and what it dies of.
    """

    _log = Logger()

    def __init__(self, reactor: Any, descriptors: Callable[[str], list[int]]) -> None:
        self._reactor = reactor
        self._descriptors = descriptors
        self.seconds = reactor.seconds
        self.callLater = reactor.callLater
        self.getDelayedCalls = reactor.getDelayedCalls

    def spawnProcess(self, protocol: Any, *arguments: Any, **options: Any) -> Any:
        self._log.info("Starting {name}", name=protocol.name)
        descriptors = enumerate(self._descriptors(protocol.name), FIRST_DESCRIPTOR)
        output = WorkerOutput(protocol.name, self)
        protocol.outReceived = output.dataReceived
        protocol.outConnectionLost = output.ended
        startAgain = protocol.processEnded

        def ended(reason: Failure) -> None:
            self._logEnd(protocol.name, reason.value)
            startAgain(reason)

        protocol.processEnded = ended
        childFDs = {0: "w", 1: "r", 2: "r", **dict(descriptors)}
        process = self._reactor.spawnProcess(
            protocol, *arguments, childFDs=childFDs, **options
        )
        output.makeConnection(process)
        return process

    def _logEnd(self, name: str, end: BaseException | None) -> None:
        if isinstance(end, ProcessTerminated):
            how = f"with status {end.exitCode}"
            if end.signal is not None:
                # Of the real-time signals only two have a name.
                names = {each.value: each.name for each in signal.Signals}
                how = f"by {names.get(end.signal, f'signal {end.signal}')}"
            self._log.warn("{name} was ended {how}", name=name, how=how)


class Workers(Service):
    """
    Run the service in several processes, and keep them running.
    """

    def __init__(
        self,
        number: int,
        options: dict[str, Any],
        endpoints: list[str],
        drain: float,
        reactor: Any,
    ) -> None:
        """
        @param number: how many.
        @param options: those of each worker.
        @param endpoints: server endpoint descriptions, as Twisted has them.
        @param drain: how many seconds a worker's conversations may go on when
            it is told to stop.
        @param reactor: what binds the sockets and starts the processes.
        @raise CannotStart: for an endpoint that is none, or cannot be shared.
        """
        self._reactor = reactor
        self._shared = SharedSockets(number, Inheriting(reactor))
        self._endpoints = [
            (description, endpointFrom(self._shared, description))
            for description in endpoints
        ]
        spawner: Any = _Spawner(reactor, self._descriptorsOf)
        monitor: Any = ProcessMonitor(spawner)
        monitor.minRestartDelay = LEAST_DELAY
        monitor.maxRestartDelay = MOST_DELAY
        monitor.killTime = drain + GRACE
        self._monitor: ProcessMonitor = monitor
        # systemd hears of the service from its main process alone.
        environment = {**os.environ}
        environment.pop("NOTIFY_SOCKET", None)
        self._names = [f"worker {each + 1}" for each in range(number)]
        for name in self._names:
            command = [
                sys.executable,
                "-m",
                "upperproto.processes.worker",
                json.dumps(options),
            ]
            self._monitor.addProcess(name, command, env=environment)

    def privilegedStartService(self) -> None:
        """
        Bind the sockets, as C{twistd} asks while the process has its privileges.

        @raise CannotStart: where the system refuses.
        """
        super().privilegedStartService()
        for number, (description, endpoint) in enumerate(self._endpoints):
            try:
                listen(endpoint, _Nobody())
            except (CannotListenError, OSError) as error:
                raise CannotStart(f"upper: {error}") from error
            except Exception:
                # It wants more of a reactor than sockets, as the next lines say.
                pass
            if len(self._shared.sockets) == number:
                raise CannotStart(f"upper: workers cannot share {description}")

    def startService(self) -> None:
        """
        Start the workers.

        @raise CannotStart: where the system refuses to listen.
        """
        super().startService()
        if not self._shared.sockets:
            self.privilegedStartService()
        self._monitor.startService()
        systemd.tell(self._reactor)
        onSecondSignal(self._reactor, self._signalAgain)
        # Under twist, the log has not begun before.
        self._reactor.callWhenRunning(outlet.unblock, self._reactor)
        self._reactor.callWhenRunning(stampLines, WorkerOutput)

    def stopService(self) -> Deferred[None]:
        """
        Refuse new connections, and let each worker drain.

        @return: fires when the last worker has ended.
        """
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._shared.close()
        self._monitor.stopService()
        while self._monitor.protocols:
            await deferLater(self._reactor, 0.05)

    def _descriptorsOf(self, name: str) -> list[int]:
        index = self._names.index(name)
        return [shared[index].fileno() for shared in self._shared.sockets]

    def _signalAgain(self) -> None:
        for protocol in list(self._monitor.protocols.values()):
            assert protocol.transport is not None
            with suppress(ProcessExitedAlready):
                protocol.transport.signalProcess("TERM")
