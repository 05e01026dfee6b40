"""Answer many clients in upper case, with Twisted; but there are no messages yet."""

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import react


class Upper(Protocol):
    """One conversation."""

    transport: Any

    def dataReceived(self, data: bytes) -> None:
        """Answer the bytes that have come."""
        self.transport.write(data.decode().upper().encode())


def main(reactor: Any, port: str = "5000") -> Deferred[None]:
    """Listen, and serve until Ctrl-C."""
    factory = Factory.forProtocol(Upper)
    listener = reactor.listenTCP(int(port), factory, interface="127.0.0.1")
    print("listening on", listener.getHost())
    return Deferred()


react(main, sys.argv[1:])
