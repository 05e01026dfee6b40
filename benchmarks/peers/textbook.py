"""
The textbook's answer: a Twisted C{LineReceiver} that answers line by line.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver
from twisted.python import log

LOG = "log" in sys.argv


class Upper(LineReceiver):
    """Answer each line with its upper case."""

    transport: Any  # As long as it is called.
    delimiter = b"\n"

    def connectionMade(self) -> None:
        """Begin."""
        if LOG:
            log.msg(f"{self.transport.getPeer()} opened")

    def connectionLost(self, reason: Any = None) -> None:
        """End."""
        if LOG:
            log.msg(f"{self.transport.getPeer()} closed")

    def lineReceived(self, line: bytes) -> None:
        """Answer a line."""
        self.sendLine(line.decode().upper().encode())


if __name__ == "__main__":
    if LOG:
        log.startLogging(sys.stderr, setStdout=False)
    kind = "ssl:0:privateKey=server.pem" if "tls" in sys.argv else "tcp:0"
    endpoint = serverFromString(reactor, f"{kind}:interface=127.0.0.1:backlog=1024")
    endpoint.listen(Factory.forProtocol(Upper))
    reactor.run()
