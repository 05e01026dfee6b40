"""
Tests for L{upperproto.ways.proxyprotocol}.
"""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from tests.memory import Client, MemoryNetwork
from upperproto.factory import UpperFactory
from upperproto.ways.proxyprotocol import LOOPBACK, ProxyDoor, ProxyFactory, parseHeader

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def version2(command: int, family: int, addresses: bytes) -> bytes:
    """
    Make a header of version 2.

    @param command: 0x20 is LOCAL, 0x21 PROXY.
    @param family: 0x11 is TCP over IPv4, 0x21 TCP over IPv6, 0x31 a UNIX stream.
    @param addresses: what follows the length.
    """
    length = struct.pack("!H", len(addresses))
    return SIGNATURE + bytes([command, family]) + length + addresses


IPV4 = socket.inet_aton("192.0.2.1") + socket.inet_aton("192.0.2.2")
IPV6 = socket.inet_pton(socket.AF_INET6, "2001:db8::1") * 2
PORTS = struct.pack("!HH", 40000, 5000)

# Valid headers, with the client that each speaks of.
HEADERS: list[tuple[bytes, IAddress | None]] = [
    (
        b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 5000\r\n",
        IPv4Address("TCP", "192.0.2.1", 40000),
    ),
    (
        b"PROXY TCP6 2001:DB8:0::1 ::1 40000 5000\r\n",
        IPv6Address("TCP", "2001:db8::1", 40000),
    ),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", None),
    (version2(0x20, 0, b""), None),
    (version2(0x20, 0x11, IPV4 + PORTS), None),
    (version2(0x21, 0, b""), None),
    (version2(0x21, 0x11, IPV4 + PORTS), IPv4Address("TCP", "192.0.2.1", 40000)),
    (version2(0x21, 0x21, IPV6 + PORTS), IPv6Address("TCP", "2001:db8::1", 40000)),
    (
        # With a TLV of 300 bytes after the addresses.
        version2(0x21, 0x11, IPV4 + PORTS + b"\xea\x01\x29" + b"x" * 297),
        IPv4Address("TCP", "192.0.2.1", 40000),
    ),
    (
        version2(0x21, 0x31, b"/client".ljust(108, b"\0") * 2),
        UNIXAddress(b"/client"),
    ),
]

# What is no header, or cannot become one.
NO_HEADERS = [
    b"hello\n",
    b"PROXX",
    b"PROXYTCP4",
    b"\r\nhello",
    SIGNATURE[:-1] + b"X",
    b"PROXY TCP5 192.0.2.1 192.0.2.2 40000 5000\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 40000\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 port 5000\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 5000\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 -1 5000\r\n",
    b"PROXY TCP4 \x1b[31mroot 192.0.2.2 40000 5000\r\n",
    b"PROXY TCP4 2001:db8::1 192.0.2.2 40000 5000\r\n",
    b"PROXY TCP6 192.0.2.1 ::1 40000 5000\r\n",
    b"PROXY TCP6 fe80::1%\x1b[31m ::1 40000 5000\r\n",
    b"PROXY TCP4 \xff 192.0.2.2 40000 5000\r\n",
    b"PROXY \r\n",
    b"PROXY " + b"x" * 102,
    version2(0x11, 0x11, IPV4 + PORTS),
    version2(0x22, 0x11, IPV4 + PORTS),
    version2(0x21, 0x41, IPV4 + PORTS),
    version2(0x21, 0x13, IPV4 + PORTS),
    version2(0x21, 0x11, IPV4),
]


class ParseHeaderTests(SynchronousTestCase):
    """
    Headers on their own.
    """

    def test_headers(self) -> None:
        """
        A header gives the client's address, in its only spelling, or none where
        there is none; what follows is given back.
        """
        for header, client in HEADERS:
            self.assertEqual(parseHeader(header), (client, b""), header)
            self.assertEqual(parseHeader(header + b"PROXY\r\n"), (client, b"PROXY\r\n"))

    def test_incomplete(self) -> None:
        """
        Any beginning of a header may become one.
        """
        for header, _ in HEADERS:
            for end in range(len(header)):
                self.assertIsNone(parseHeader(header[:end]), header[:end])

    def test_noHeaders(self) -> None:
        """
        Whatever is no header is refused, as soon as that is certain.
        """
        for data in NO_HEADERS:
            error = self.assertRaises(ValueError, parseHeader, data)
            self.assertIn("PROXY header", str(error))

    @given(st.binary(max_size=200), st.sampled_from([b"", b"PROXY ", SIGNATURE]))
    def test_anything(self, data: bytes, start: bytes) -> None:
        """
        No bytes make it fail in another way.
        """
        try:
            parseHeader(start + data)
        except ValueError as error:
            self.assertIn("PROXY header", str(error))


class ProxyFactoryTests(SynchronousTestCase):
    """
    Connections with a header.
    """

    def setUp(self) -> None:
        """
        Make a service that takes headers from loopback.
        """
        self.network = MemoryNetwork()
        self.service = UpperFactory(clock=self.network, maxPerPeer=1)
        trusted = [ip_network(each) for each in LOOPBACK]
        self.factory = ProxyFactory(self.service, self.service, trusted)

    def connect(self) -> Client:
        """
        Connect a proxy.
        """
        return self.network.connect(self.factory, host="127.0.0.1")

    def test_pieces(self) -> None:
        """
        A header in pieces of any size is the same header, and what follows it
        in the same piece is answered.
        """
        for header, source in HEADERS:
            for size in (1, 7, 15, 16, 1000):
                client = self.connect()
                said = header + b"hello\n"
                for start in range(0, len(said), size):
                    client.send(said[start : start + size])
                    self.network.turn()
                [protocol] = self.service.connections
                peer = protocol.transport.getPeer()
                self.assertEqual(
                    peer, source or IPv4Address("TCP", "127.0.0.1", peer.port)
                )
                client.finish()
                self.network.turn()
                self.assertEqual(client.receive(), b"HELLO\n")
                self.assertTrue(client.ended)
                self.assertEqual(self.service.connections, {})

    def test_stepsAside(self) -> None:
        """
        After the header, the protocol has the transport itself, which can be
        written to at once, and half-closed.
        """
        client = self.connect()
        client.send(HEADERS[0][0])
        self.network.turn()
        [protocol] = self.service.connections
        self.assertIs(client.transport.protocol, protocol)
        self.assertIs(protocol.transport, client.transport)

    def test_caps(self) -> None:
        """
        The client's address is what is counted, not the proxy's.
        """
        first, again, other = self.connect(), self.connect(), self.connect()
        for client, header in zip(
            [first, again, other],
            [HEADERS[0][0], HEADERS[7][0], HEADERS[1][0]],
            strict=True,
        ):
            client.send(header + b"hello\n")
            self.network.turn()
        self.assertEqual(first.receive(), b"HELLO\n")
        self.assertEqual(
            again.receive(), b"error: too many connections from 192.0.2.1\n"
        )
        self.assertEqual(other.receive(), b"HELLO\n")

    def test_abort(self) -> None:
        """
        What comes with the header of a client that is cut off at once is not
        taken for answered.
        """
        self.service.maxConnections, self.service.maxTurnedAway = 0, 1
        self.connect().send(HEADERS[0][0])
        self.network.turn()
        client = self.connect()
        door: Any = client.protocol
        client.send(HEADERS[1][0] + b"hello\n")
        self.network.turn()
        self.assertTrue(client.socket.cut)
        self.assertEqual((door.inner.bytesIn, door.inner.bytesOut), (6, 0))

    def test_noHeader(self) -> None:
        """
        A client that sends no header is cut off without an answer.
        """
        client = self.connect()
        client.send(b"hello\n")
        self.network.turn()
        self.assertTrue(client.socket.closed)
        self.assertEqual(client.receive(), b"")

    def test_trust(self) -> None:
        """
        Headers are taken from trusted addresses, whatever the kind of socket
        calls them; and from UNIX sockets, whose mode says who may connect.
        """
        networks = [ip_network("192.0.2.0/24"), ip_network("fe80::/10")]
        factory = ProxyFactory(self.service, self.service, networks)
        trusted: list[IAddress] = [
            IPv4Address("TCP", "192.0.2.7", 1),
            IPv6Address("TCP", "::ffff:192.0.2.7", 1),
            IPv6Address("TCP", "fe80::1%eth0", 1),
            UNIXAddress(None),
        ]
        for address in trusted:
            self.assertIsInstance(factory.buildProtocol(address), ProxyDoor, address)
        strangers: list[IAddress] = [
            IPv4Address("TCP", "127.0.0.1", 1),
            IPv4Address("TCP", "192.0.3.7", 1),
            IPv6Address("TCP", "::ffff:192.0.3.7", 1),
            IPv6Address("TCP", "::1", 1),
        ]
        for address in strangers:
            # A listener would take none for a sign that there is no room.
            protocol = factory.buildProtocol(address)
            assert protocol is not None
            client = self.network.connect(
                Factory.forProtocol(iter([protocol]).__next__)
            )
            self.assertTrue(client.ended, address)
            self.assertTrue(client.socket.closed, address)

    def test_logPrefix(self) -> None:
        """
        The log says that a listener wants headers.
        """
        self.assertEqual(self.factory.logPrefix(), "UpperFactory (PROXY)")
