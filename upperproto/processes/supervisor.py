"""
The supervisor of several worker processes: it binds the sockets, starts the workers,
and starts each one again when it has ended.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import CannotListenError
from twisted.internet.process import reapAllProcesses
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from upperproto.interfaces import IObserved
from upperproto.limits.stopsignals import SecondSignal, signalsBeforeRunning
from upperproto.monitoring.reopensignal import ReopenSignal
from upperproto.processes.restartedprocess import (
    CONTROL,
    FIRST_SOCKET,
    STDERR,
    STDOUT,
    Worker,
    workerCommand,
)
from upperproto.processes.snapshots import addUpWorkers
from upperproto.processes.sockets import CannotShare, SharedSockets, Workers
from upperproto.processes.watchdog import HEARTBEAT
from upperproto.ways import systemd
from upperproto.ways.endpoints import (
    CannotStart,
    addressName,
    endpointFrom,
    faultsFrom,
    listen,
)
from upperproto.ways.inherited import Inheriting

# The seconds that a worker has after its drain time, before it is killed.
GRACE = 2.0


@implementer(IObserved)
class Supervisor(Service):
    """
    Run the service in several processes, and keep them running.
    """

    _log = Logger()

    def __init__(
        self,
        number: int,
        options: dict[str, Any],
        endpoints: list[str],
        drain: float,
        reactor: Any,
        datagrams: tuple[int | str, str] | None = None,
    ) -> None:
        """
        @param number: the number of workers.
        @param options: the options of each worker.
        @param endpoints: server endpoint descriptions, as Twisted has them.
        @param drain: the seconds that the connections of a worker may go on when it has
            to stop.
        @param reactor: binds the sockets and starts the processes.
        @param datagrams: a port and an interface, as in
            L{upperproto.datagrams.service.chooseAddress}; by default, no datagrams are
            answered.
        @raise CannotStart: for a description that is not valid.
        """
        self._reactor = reactor
        self._killAfter = drain + GRACE
        self._shared = SharedSockets(number, Inheriting(reactor))
        self._datagrams = datagrams
        self._endpoints = [
            (description, endpointFrom(self._shared, description))
            for description in endpoints
        ]
        # Before twistd changes the working directory.
        self._command = workerCommand(reactor, options)
        self._workers = [
            Worker(
                f"worker {each + 1}",
                partial(self._spawn, each),
                reactor,
                self._noteServing,
            )
            for each in range(number)
        ]
        self._watching = LoopingCall(self._watch)
        self._watching.clock = reactor
        self._secondSignal = SecondSignal(reactor, self._terminate)
        self._reopenSignal: ReopenSignal | None = None
        self._logDescriptors: list[int] = []
        if options.get("access-log") is not None:
            self._reopenSignal = ReopenSignal(reactor, self._reopenLogs)
            if options["access-log"] == "-":
                # The standard output of a worker is a pipe to the parent. So the parent
                # gives the worker its own standard output, too.
                self._logDescriptors = [STDOUT]
        self._told = False
        self._addresses: list[tuple[str, str]] = []

    def privilegedStartService(self) -> None:
        """
        Bind the sockets. C{twistd} calls this while the process has its privileges.

        @raise CannotStart: if a socket cannot be bound.
        """
        super().privilegedStartService()
        self._addresses = []
        for description, endpoint in self._endpoints:
            try:
                port = listen(endpoint, Workers())
                faults = str(faultsFrom(description) or "")
                self._addresses.append((addressName(port.getHost()), faults))
            except Exception as error:
                why = str(error)
                if isinstance(error, CannotShare):
                    why = f"workers cannot share {description}"
                self._cannotListen(why, error)
        if self._datagrams is not None:
            try:
                address = self._shared.listenUDP(*self._datagrams)
                self._addresses.append((address, ""))
            except (CannotListenError, ValueError) as error:
                self._cannotListen(str(error), error)

    def _cannotListen(self, why: str, error: Exception) -> NoReturn:
        self._finish(self._shared.close())
        raise CannotStart(f"upper: {why}") from error

    def startService(self) -> None:
        """
        Start the workers. If the reactor does not run yet, wait until all of them
        serve. If it runs, do not wait; a worker that cannot serve is started again.

        @raise CannotStart: if a socket cannot be bound, or a worker ends before it
            serves.
        """
        if not self._shared.sockets:
            self.privilegedStartService()
        super().startService()
        self._secondSignal.start()
        if self._reopenSignal is not None:
            self._reopenSignal.start()
        self._watching.start(HEARTBEAT, now=False)
        if self._reactor.running:
            self._startWorkers()
        else:
            self._startAndWait()

    def stopService(self) -> Deferred[None]:
        """
        Refuse new connections, and drain each worker.

        @return: fires when the last worker has ended.
        """
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._told:
            self._told = False
            systemd.stopping()
        if self._watching.running:
            self._watching.stop()
        stopping: list[Deferred[Any]] = [self._shared.close()]
        stopping += [worker.stop(self._killAfter) for worker in self._workers]
        try:
            await gatherResults(stopping)
        finally:
            self._secondSignal.stop()
            if self._reopenSignal is not None:
                self._reopenSignal.stop()

    @property
    def serving(self) -> int:
        """
        The number of processes that serve: see L{IObserved}. It is 0 until all of them
        serve.
        """
        if not self._told:
            return 0
        return sum(worker.serving and not worker.hangs for worker in self._workers)

    def listeners(self) -> list[tuple[str, str]]:
        """
        Give the addresses of the listeners: see L{IObserved}.
        """
        return self._addresses

    def workers(self) -> list[tuple[str, str]]:
        """
        Give the name and the state of each process: see L{IObserved}.
        """
        return [(worker.name, worker.state) for worker in self._workers]

    def snapshot(self) -> dict[str, Any]:
        """
        Add up the snapshots of all processes: see L{IObserved}. The snapshot of a
        running process is a second old at most.
        """
        return addUpWorkers(self._workers)

    def _spawn(self, index: int, worker: Worker) -> None:
        sockets = [shared[index].fileno() for shared in self._shared.sockets]
        sockets += self._logDescriptors
        # Only the main process tells systemd about the service.
        environment = {**os.environb}
        environment.pop(b"NOTIFY_SOCKET", None)
        descriptors = {0: "w", STDOUT: "r", STDERR: "r", CONTROL: "r"}
        self._reactor.spawnProcess(
            worker,
            self._command[0],
            self._command,
            env=environment,
            childFDs={**descriptors, **dict(enumerate(sockets, FIRST_SOCKET))},
        )

    def _noteServing(self) -> None:
        if not self._told and all(worker.serving for worker in self._workers):
            self._told = True
            self._reactor.callWhenRunning(self._tell)

    def _tell(self) -> None:
        """
        Tell systemd and the log that all workers serve.
        """
        self._log.info("All workers serve")
        systemd.ready()

    def _watch(self) -> None:
        # A reactor that is not in the main thread gets no SIGCHLD.
        reapAllProcesses()
        for worker in self._workers:
            worker.watch()

    def _terminate(self) -> None:
        for worker in self._workers:
            worker.terminate()

    def _reopenLogs(self) -> None:
        for worker in self._workers:
            worker.reopenLogs()

    def _startWorkers(self) -> None:
        for worker in self._workers:
            worker.start()

    def _startAndWait(self) -> None:
        """
        Start the workers, and wait until all serve.

        @raise CannotStart: if one of them has ended, or a signal has come.
        """
        failures: list[str] = []

        def interrupt(name: str) -> None:
            if failures:
                self._terminate()
            failures.append(f"{name} came before all workers served")

        def isOver() -> bool:
            failures.extend(
                f"{worker.name} cannot serve: {worker.failure}"
                for worker in self._workers
                if worker.failure
            )
            serving = all(worker.serving for worker in self._workers)
            return bool(failures) or serving or not self.running

        with signalsBeforeRunning(self._reactor, interrupt):
            self._startWorkers()
            self._iterateUntil(isOver)
            if failures:
                self._finish(self.stopService())
                raise CannotStart(f"upper: {failures[0]}")

    def _finish(self, result: Deferred[Any]) -> None:
        """
        Wait for a result if the reactor does not run yet.
        """
        if not self._reactor.running:
            self._iterateUntil(lambda: result.called)

    def _iterateUntil(self, isOver: Callable[[], bool]) -> None:
        while not isOver():
            self._reactor.iterate(0.05)
            # A reactor that does not run gets no SIGCHLD.
            reapAllProcesses()
