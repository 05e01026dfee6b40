"""Answer every line, and read no more from a client that does not read."""

import sys
from typing import Any

from halfclose_server import HalfCloseUpper
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import react


class PatientUpper(HalfCloseUpper):
    """One conversation. Neither side has to store much of it."""

    def connectionMade(self) -> None:
        """Let the transport tell us to pause and to go on."""
        self.transport.registerProducer(self, True)

    def readConnectionLost(self) -> None:
        """The client sends no more: send the answers that wait, then close."""
        self.transport.unregisterProducer()
        super().readConnectionLost()


def main(reactor: Any, port: str = "5000") -> Deferred[None]:
    """Listen, and serve until Ctrl-C."""
    factory = Factory.forProtocol(PatientUpper)
    listener = reactor.listenTCP(int(port), factory, interface="127.0.0.1")
    print("listening on", listener.getHost())
    return Deferred()


if __name__ == "__main__":
    react(main, sys.argv[1:])
