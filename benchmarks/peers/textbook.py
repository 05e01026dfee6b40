"""
The textbook's answer: a Twisted C{LineReceiver} that answers line by line.
"""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.protocol import ServerFactory
from twisted.protocols.basic import LineReceiver


class Upper(LineReceiver):
    """
    Answer each line with its upper case.
    """

    delimiter = b"\n"

    def lineReceived(self, line: bytes) -> None:
        """
        Answer a line.
        """
        self.sendLine(line.decode().upper().encode())


class UpperFactory(ServerFactory):
    """
    Build L{Upper}s.
    """

    protocol = Upper


if __name__ == "__main__":
    reactor.listenTCP(0, UpperFactory(), backlog=1024, interface="127.0.0.1")
    reactor.run()
