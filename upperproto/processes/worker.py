"""
The program of a worker: one of several processes that serve together, as
L{upperproto.processes.supervisor} starts it. It is of no use to anybody else.
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
from upperproto.processes.workerprocess import CONTROL, FIRST_SOCKET, HEARTBEAT, STDOUT
from upperproto.tap import Options
from upperproto.ways.inherited import Inheriting


class ParentWatch(FileDescriptor):
    """
    Stop when standard input ends, because the parent has ended.
    """

    reactor: Any

    def fileno(self) -> int:
        """
        Standard input.
        """
        return 0

    def doRead(self) -> ConnectionDone | None:
        """
        The parent writes nothing.
        """
        return None if os.read(0, 1) else ConnectionDone()

    def connectionLost(self, reason: Failure) -> None:
        """
        Drain, and end. A worker that ends comes here, too.
        """
        super().connectionLost(reason)
        with suppress(ReactorNotRunning):
            self.reactor.stop()


class Heart:
    """
    Tell the parent that this process serves, and lives; and if it counts, what.

    A parent that has ended, or does not read, need not know.
    """

    def __init__(self, service: Any, counts: bool) -> None:
        """
        @param service: what serves, an L{upperproto.interfaces.IObserved}.
        @param counts: whether its counters are told.
        """
        self._service = service
        self._counts = counts
        # The rest of a line that the pipe did not take.
        self._rest = b""

    def beat(self) -> None:
        """
        Say it once.
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
    # What the terminal sends to a group of processes is for the parent, which
    # passes it on.
    os.setpgrp()
    os.set_blocking(CONTROL, False)
    # The parent adds the time and this worker's name. When it does not read, this
    # process goes on.
    observer = LogObserver(STDOUT, "utf-8", formatMessage, main)
    main.addSystemEventTrigger("after", "shutdown", observer.finish)
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    options = Options()
    options.update(json.loads(words))
    # That of datagrams is the last.
    number = len(endpointsOf(options)) + (options["udp"] is not None)
    sockets = range(FIRST_SOCKET, FIRST_SOCKET + number)
    if options["access-log"] == "-":
        # The parent's, which it hands over.
        options["access-log"] = FIRST_SOCKET + number
    service = makeUpperService(options, Inheriting(main, sockets))
    heart = Heart(service, counts=options["status"] is not None)
    service.privilegedStartService()
    service.startService()
    main.addSystemEventTrigger("before", "shutdown", service.stopService)
    ParentWatch(main).startReading()
    # SIGTERM has its handler then. It goes on while this process drains.
    main.callWhenRunning(LoopingCall(heart.beat).start, HEARTBEAT)
    main.addSystemEventTrigger("after", "shutdown", heart.beat)
    main.run()
