"""What all connections share."""

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ServerFactory

from yours.protocol import LineProtocol


class LineFactory(ServerFactory):
    """Build a protocol for each connection, and hand it the settings."""

    def __init__(self, maxLength: int) -> None:
        """Take the settings, all of them here."""
        self._maxLength = maxLength

    def buildProtocol(self, address: IAddress | None) -> LineProtocol:
        """Build the protocol of a connection."""
        return LineProtocol(self._maxLength)
