"""
The program of a worker process, in the child. Only L{upperproto.processes.supervisor}
starts it.
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

from upperproto.monitoring.logobserver import LogObserver, formatMessage
from upperproto.processes.restartedprocess import CONTROL, FIRST_SOCKET, STDOUT
from upperproto.processes.watchdog import HEARTBEAT
from upperproto.servicebuilder import endpointsOf, makeUpperService
from upperproto.tap import Options
from upperproto.ways.inherited import Inheriting


class ParentWatch(FileDescriptor):
    """
    Stop the reactor when standard input ends, because then the parent has ended.
    """

    reactor: Any

    def fileno(self) -> int:
        """
        Get the descriptor of standard input.
        """
        return 0

    def doRead(self) -> ConnectionDone | None:
        """
        Read until the end. The parent writes nothing.
        """
        return None if os.read(0, 1) else ConnectionDone()

    def connectionLost(self, reason: Failure) -> None:
        """
        Stop the reactor: the connections are drained, and the process ends. This is
        also called when the worker ends by itself.
        """
        super().connectionLost(reason)
        with suppress(ReactorNotRunning):
            self.reactor.stop()


class Heartbeat:
    """
    Tell the parent regularly that this process serves, and send its counters.

    If the parent does not read, this process does not wait for it.
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
    Run the worker: serve until the parent says stop.
    """
    reactorModule, words = sys.argv[1:]
    installing: Any = import_module(reactorModule)
    installing.install()
    from twisted.internet import reactor

    main: Any = reactor
    # The terminal sends SIGINT to a group of processes. Only the parent must get it,
    # because it tells the workers itself.
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
        # The parent gives this process its own standard output, after the sockets.
        options["access-log"] = FIRST_SOCKET + number
    service = makeUpperService(options, Inheriting(main, sockets))
    heartbeat = Heartbeat(service, counts=options["status"] is not None)
    service.privilegedStartService()
    service.startService()
    main.addSystemEventTrigger("before", "shutdown", service.stopService)
    ParentWatch(main).startReading()
    # The first heartbeat must wait until the reactor handles SIGTERM. Heartbeats go on
    # while the connections are drained.
    main.callWhenRunning(LoopingCall(heartbeat.send).start, HEARTBEAT)
    main.addSystemEventTrigger("after", "shutdown", heartbeat.send)
    main.run()
