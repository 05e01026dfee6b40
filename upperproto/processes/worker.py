"""
The program of a worker process. Only L{upperproto.processes.supervisor} starts it.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionDone, ReactorNotRunning
from twisted.internet.task import LoopingCall
from twisted.logger import globalLogBeginner
from twisted.python.failure import Failure

from upperproto.assembly import endpointsOf, makeUpperService
from upperproto.monitoring.logobserver import LogObserver, formatMessage
from upperproto.processes.watchdog import HEARTBEAT
from upperproto.processes.workerprocess import CONTROL, FIRST_SOCKET, STDOUT
from upperproto.tap import Options
from upperproto.ways.inherited import Inheriting


class ParentWatch(FileDescriptor):
    """
    Stop when standard input ends: then the parent has ended.
    """

    reactor: Any

    def fileno(self) -> int:
        """
        Standard input.
        """
        return 0

    def doRead(self) -> ConnectionDone | None:
        """
        Read from the parent, which writes nothing, until the end.
        """
        return None if os.read(0, 1) else ConnectionDone()

    def connectionLost(self, reason: Failure) -> None:
        """
        Drain, and end. This is also called when the worker ends by itself.
        """
        super().connectionLost(reason)
        with suppress(ReactorNotRunning):
            self.reactor.stop()


class Heartbeat:
    """
    Tell the parent regularly that this process serves, and what it has counted.

    If the parent does not read, nobody waits for it.
    """

    def __init__(self, service: Any, counts: bool) -> None:
        """
        @param service: the service, an L{upperproto.interfaces.IObserved}.
        @param counts: whether to send a snapshot of its counters.
        """
        self._service = service
        self._counts = counts
        # The rest of a line that the pipe did not take.
        self._rest = b""

    def send(self) -> None:
        """
        Send one heartbeat.
        """
        if not self._rest:
            said = json.dumps(self._service.snapshot()) if self._counts else ""
            self._rest = said.encode("ascii") + b"\n"
        with suppress(OSError):
            self._rest = self._rest[os.write(CONTROL, self._rest) :]


def run() -> None:
    """
    Serve until told to stop.
    """
    reactorModule, words = sys.argv[1:]
    installing: Any = import_module(reactorModule)
    installing.install()
    from twisted.internet import reactor

    main: Any = reactor
    # The terminal sends SIGINT to a group of processes. The parent is to get it, and to
    # tell the workers.
    os.setpgrp()
    os.set_blocking(CONTROL, False)
    # The parent adds the time and the name of this worker. If it does not read, this
    # process does not wait.
    observer = LogObserver(STDOUT, "utf-8", formatMessage, main)
    main.addSystemEventTrigger("after", "shutdown", observer.finish)
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    options = Options()
    options.update(json.loads(words))
    # The socket for datagrams is the last.
    number = len(endpointsOf(options)) + (options["udp"] is not None)
    sockets = range(FIRST_SOCKET, FIRST_SOCKET + number)
    if options["access-log"] == "-":
        # The standard output of the parent, which hands it over.
        options["access-log"] = FIRST_SOCKET + number
    service = makeUpperService(options, Inheriting(main, sockets))
    heartbeat = Heartbeat(service, counts=options["status"] is not None)
    service.privilegedStartService()
    service.startService()
    main.addSystemEventTrigger("before", "shutdown", service.stopService)
    ParentWatch(main).startReading()
    # Not before the reactor has its handler of SIGTERM. Heartbeats go on in the drain.
    main.callWhenRunning(LoopingCall(heartbeat.send).start, HEARTBEAT)
    main.addSystemEventTrigger("after", "shutdown", heartbeat.send)
    main.run()
