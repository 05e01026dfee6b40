"""
Answer in upper case from a program of one's own, and lose no answer at its end.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import react
from twisted.logger import globalLogBeginner, textFileLogObserver

from upperproto import UpperFactory


async def main(reactor: Any) -> None:
    """
    Serve until a signal ends the reactor.
    """
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)])
    factory = UpperFactory(flushAfter=0.05, idleTimeout=600, log="connections")
    endpoint = serverFromString(reactor, "tcp:5000:interface=127.0.0.1")
    port = await endpoint.listen(factory)

    async def stop() -> None:
        await port.stopListening()
        await factory.drain(10)

    # The reactor waits for the Deferred before it drops the connections.
    reactor.addSystemEventTrigger(
        "before", "shutdown", lambda: Deferred.fromCoroutine(stop())
    )
    await Deferred()


if __name__ == "__main__":
    react(main)
