"""Answer in upper case, line by line; but the last answers can be lost."""

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import react
from twisted.protocols.basic import LineReceiver


class Upper(LineReceiver):
    """One conversation, in lines."""

    delimiter = b"\n"

    def lineReceived(self, line: bytes) -> None:
        """Answer a line."""
        self.sendLine(line.decode().upper().encode())


def main(reactor: Any, port: str = "5000") -> Deferred[None]:
    """Listen, and serve until Ctrl-C."""
    factory = Factory.forProtocol(Upper)
    listener = reactor.listenTCP(int(port), factory, interface="127.0.0.1")
    print("listening on", listener.getHost())
    return Deferred()


if __name__ == "__main__":
    react(main, sys.argv[1:])
