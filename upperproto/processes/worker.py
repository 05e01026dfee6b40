"""
One of several processes that serve together: C{python -m
upperproto.processes.worker}, as
L{upperproto.processes.supervisor} starts it. It is of no use to anybody else.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionDone, ReactorNotRunning
from twisted.logger import FileLogObserver, LogEvent, eventAsText, globalLogBeginner
from twisted.python.failure import Failure

from upperproto.monitoring.connectionlog import Transcript
from upperproto.monitoring.stamp import stamp
from upperproto.processes.supervisor import FIRST_DESCRIPTOR
from upperproto.reactor.epoll import shorten
from upperproto.tap import Options, makeService
from upperproto.ways.endpoints import Inheriting


def formatPlainly(event: LogEvent) -> str:
    """
    Format an event without the time and who speaks; the parent adds the time and
    this worker's name.

    @param event: what happened.
    """
    return eventAsText(event, includeTimestamp=False, includeSystem=False) + "\n"


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


def run() -> None:
    """
    Serve until told to stop.
    """
    from twisted.internet import reactor

    # What the terminal sends to a group of processes is for the parent, which
    # passes it on.
    os.setpgrp()
    output: Any = sys.__stdout__
    observer = FileLogObserver(output, formatPlainly)
    # The service cannot: it knows only what stands in for the reactor.
    turn = shorten(reactor)
    stamp(observer, Transcript, None if turn is None else turn.atEnd)
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    words, *_ = sys.argv[1:]
    options = Options()
    options.update(json.loads(words))
    descriptors = range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + len(options.endpoints()))
    service: Any = makeService(options, Inheriting(reactor, descriptors))
    main: Any = reactor
    # Not before SIGTERM finds its handler.
    main.callWhenRunning(service.startService)
    main.addSystemEventTrigger("before", "shutdown", service.stopService)
    ParentWatch(main).startReading()
    main.run()


if __name__ == "__main__":
    run()
