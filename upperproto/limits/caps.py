"""
Caps: the maximum number of connections, in all and for one client.
"""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv6Address as IPv6
from ipaddress import IPv6Network

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress

from upperproto.interfaces import IServedConnection

# An IPv6 client owns a whole network, with a prefix of this many bits (RFC 6177). It
# can use any address in it (RFC 8981).
IPV6_PREFIX = 64


class Caps:
    """
    Count connections, and refuse those that are too many.

    @ivar taken: how many connections have a place now.
    """

    def __init__(
        self, maxConnections: int | None = None, maxPerPeer: int | None = None
    ) -> None:
        """
        @param maxConnections: how many connections may have a place; any number by
            default.
        @param maxPerPeer: how many of them may come from one IPv4 address, or from
            one IPv6 network of 64 bits; any number by default.
        """
        self.taken = 0
        self._maxConnections = maxConnections
        self._maxPerPeer = maxPerPeer
        self._perPeer: Counter[str] = Counter()

    def take(self, connection: IServedConnection) -> str:
        """
        Take a place for a connection, if there is one.

        @return: why there is none; empty if the connection has a place now.
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
        Give back the place of a connection.
        """
        self.taken -= 1
        if self._maxPerPeer is not None:
            owner = _owner(connection.peer)
            self._perPeer[owner] -= 1
            if not self._perPeer[owner]:
                del self._perPeer[owner]


def _owner(peer: IAddress | None) -> str:
    """
    Name what a connection is counted for: an IPv4 address or an IPv6 network; empty
    for other kinds of peers.
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
