"""The conversation on one connection."""

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.protocols.basic import LineReceiver
from zope.interface import implementer


@implementer(IHalfCloseableProtocol)  # so that a client that ends its side gets answers
class LineProtocol(LineReceiver):
    """Answer each line with the same line, reversed."""

    delimiter = b"\n"  # the line end of most programs; Twisted's default is CR LF

    def __init__(self, maxLength: int) -> None:
        """Close a connection whose line has more than so many bytes."""
        self.MAX_LENGTH = maxLength

    def connectionMade(self) -> None:
        """Stop reading from a client that does not read its answers."""
        self.transport.registerProducer(self, True)

    def lineReceived(self, line: bytes) -> None:
        """Answer a line. This is what you change first."""
        self.sendLine(line[::-1])

    def readConnectionLost(self) -> None:
        """The client has ended its side: send the answers that wait, and close."""
        # A transport that still has a producer may never close.
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Our side has ended. It never ends before the side of the client."""
