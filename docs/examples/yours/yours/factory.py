"""Everything that all connections share."""

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ServerFactory

from yours.protocol import LineProtocol


class LineFactory(ServerFactory):
    """Build a protocol for each connection, and give it the settings."""

    def __init__(self, maxLength: int) -> None:
        """Take all settings of the server."""
        self._maxLength = maxLength

    def buildProtocol(self, address: IAddress | None) -> LineProtocol:
        """Build the protocol of a connection."""
        return LineProtocol(self._maxLength)
