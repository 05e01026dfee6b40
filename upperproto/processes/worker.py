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

from upperproto.monitoring.logobserver import LogObserver, formatMessage
from upperproto.processes.process import CONTROL, FIRST_SOCKET, HEARTBEAT, STDOUT
from upperproto.tap import Options, makeService
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


def sayAlive() -> None:
    """
    Tell the parent that this process serves, and lives. A parent that has ended, or
    does not read, need not know.
    """
    with suppress(OSError):
        os.write(CONTROL, b".")


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
    observer = LogObserver(STDOUT, "utf-8", formatMessage)
    main.addSystemEventTrigger("after", "shutdown", observer.finish)
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    options = Options()
    options.update(json.loads(words))
    # That of datagrams is the last.
    number = len(options.endpoints()) + (options["udp"] is not None)
    sockets = range(FIRST_SOCKET, FIRST_SOCKET + number)
    if options["access-log"] == "-":
        # The parent's, which it hands over.
        options["access-log"] = FIRST_SOCKET + number
    service: Any = makeService(options, Inheriting(main, sockets))
    service.privilegedStartService()
    service.startService()
    main.addSystemEventTrigger("before", "shutdown", service.stopService)
    ParentWatch(main).startReading()
    # SIGTERM has its handler then. It goes on while this process drains.
    main.callWhenRunning(LoopingCall(sayAlive).start, HEARTBEAT)
    main.run()
