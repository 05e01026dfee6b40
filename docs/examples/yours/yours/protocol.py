"""What is said on one connection."""

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.protocols.basic import LineReceiver
from zope.interface import implementer


@implementer(IHalfCloseableProtocol)  # else a client that ends its side gets nothing
class LineProtocol(LineReceiver):
    """Answer each line with the same line, reversed."""

    delimiter = b"\n"  # as nc and most programs end a line; Twisted's is CR LF

    def __init__(self, maxLength: int) -> None:
        """Close a connection whose line has more than so many bytes."""
        self.MAX_LENGTH = maxLength

    def connectionMade(self) -> None:
        """Read no more from a client that does not take its answers."""
        self.transport.registerProducer(self, True)

    def lineReceived(self, line: bytes) -> None:
        """Answer a line. This is what you change first."""
        self.sendLine(line[::-1])

    def readConnectionLost(self) -> None:
        """The client has ended its side: send what waits, and close."""
        # A transport that still has a producer may never close.
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Our side has ended, which we never do before the client does."""
