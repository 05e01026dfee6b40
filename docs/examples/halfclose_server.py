"""Answer every line, also if the client ends its side; but memory can run out."""

import sys
from typing import Any

from line_server import Upper
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory
from twisted.internet.task import react
from zope.interface import implementer


@implementer(IHalfCloseableProtocol)
class HalfCloseUpper(Upper):
    """One conversation. Each side can end without the other side."""

    transport: Any

    def readConnectionLost(self) -> None:
        """The client sends no more: send the answers that wait, then close."""
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Our side has ended: there is nothing to do."""


def main(reactor: Any, port: str = "5000") -> Deferred[None]:
    """Listen, and serve until Ctrl-C."""
    factory = Factory.forProtocol(HalfCloseUpper)
    listener = reactor.listenTCP(int(port), factory, interface="127.0.0.1")
    print("listening on", listener.getHost())
    return Deferred()


if __name__ == "__main__":
    react(main, sys.argv[1:])
