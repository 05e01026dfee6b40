"""
Another protocol on whole lines: each letter moves by 13 places.
"""

from __future__ import annotations

from codecs import encode

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import ServerFactory
from twisted.internet.tcp import Connection
from zope.interface import implementer

from upperproto import BlockReceiver

TABLE = encode(bytes(range(256)).decode("latin-1"), "rot13").encode("latin-1")


@implementer(IHalfCloseableProtocol)
class Rot13(BlockReceiver):
    """
    Answer each line in ROT13.
    """

    transport: Connection
    delimiter = b"\n"

    def connectionMade(self) -> None:
        """
        While the client does not read, do not read from it.
        """
        self.transport.registerProducer(self, True)

    def blockReceived(self, block: bytes) -> None:
        """
        Answer all lines of a chunk with one write.
        """
        self.transport.write(block.translate(TABLE))

    def lineLengthExceeded(self, line: bytes) -> None:
        """
        Do not wait for the end of a long line.
        """
        self.transport.write(line.translate(TABLE))

    def readConnectionLost(self) -> None:
        """
        The client has ended its side: answer what is left, and close.
        """
        # A transport that still has a producer may never close.
        self.transport.unregisterProducer()
        self.transport.write(self.clearLineBuffer().translate(TABLE))
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """
        We never end our side first.
        """


class Rot13Factory(ServerFactory):
    """
    Build L{Rot13}s.
    """

    protocol = Rot13
