"""
Caps: how many connections a service has places for, in all and for one peer.
"""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv6Address as IPv6
from ipaddress import IPv6Network

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress

from upperproto.interfaces import IServedConnection

# A client of IPv6 owns a network of this many bits, not an address (RFC 6177), and
# chooses its addresses in it as it likes (RFC 8981).
IPV6_PREFIX = 64


class Caps:
    """
    Give places to connections, and take them back.

    @ivar taken: how many places are taken.
    """

    def __init__(
        self, maxConnections: int | None = None, maxPerPeer: int | None = None
    ) -> None:
        """
        @param maxConnections: how many places there are; any number by default.
        @param maxPerPeer: how many of these one IPv4 address, or one IPv6 network
            of 64 bits, may have; any number by default.
        """
        self.taken = 0
        self._maxConnections = maxConnections
        self._maxPerPeer = maxPerPeer
        self._perPeer: Counter[str] = Counter()

    def take(self, connection: IServedConnection) -> str:
        """
        Take a place.

        @param connection: for whom.
        @return: why there is none; empty if there is one, which is taken then.
        """
        if self._maxConnections is not None and self.taken >= self._maxConnections:
            return "too many connections"
        if self._maxPerPeer is not None:
            owner = _owner(connection.peer)
            if owner and self._perPeer[owner] >= self._maxPerPeer:
                return f"too many connections from {owner}"
            self._perPeer[owner] += 1
        self.taken += 1
        return ""

    def release(self, connection: IServedConnection) -> None:
        """
        Give a place back.

        @param connection: whose it was.
        """
        self.taken -= 1
        if self._maxPerPeer is not None:
            owner = _owner(connection.peer)
            self._perPeer[owner] -= 1
            if not self._perPeer[owner]:
                del self._perPeer[owner]


def _owner(peer: IAddress | None) -> str:
    """
    Who has a place: an IPv4 address or an IPv6 network; empty for peers that have
    neither.
    """
    if isinstance(peer, IPv4Address):
        return peer.host
    if not isinstance(peer, IPv6Address):
        return ""
    # A link-local address may name its interface behind a percent sign.
    address = IPv6(peer.host.partition("%")[0])
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((address, IPV6_PREFIX), strict=False))
