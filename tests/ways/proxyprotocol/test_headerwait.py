"""
Tests for L{upperproto.ways.proxyprotocol.headerwait}.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from OpenSSL.SSL import TLS_METHOD, Context
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from tests.memory import Client, MemoryNetwork
from tests.ways.proxyprotocol.test_header import HEADERS
from upperproto.factory import UpperFactory
from upperproto.limits.pendingconnections import PendingConnections
from upperproto.ways.proxyprotocol.headerwait import (
    LOOPBACK,
    PendingProxyHeader,
    ProxyFactory,
)
from upperproto.ways.tls import TLSListenerFactory

# Those that can be sent byte by byte in short time.
SHORT = [(header, client) for header, client in HEADERS if len(header) < 400]
VERSION_1, SAME_CLIENT, OTHER_CLIENT = (
    b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 5000\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 40001 5000\r\n",
    b"PROXY TCP6 2001:db8::1 ::1 40000 5000\r\n",
)


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
        self.pending = PendingConnections(self.network, 10, self.noteRefusal)
        self.refused: list[tuple[IAddress, str]] = []
        trusted = [ip_network(each) for each in LOOPBACK]
        self.factory = ProxyFactory(self.pending, self.service, trusted)

    def noteRefusal(self, peer: IAddress, why: str, *rest: object) -> None:
        """
        Note who was not let in.
        """
        self.refused.append((peer, why))

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
        for header, source in SHORT:
            for size in (1, 7, 15, 16, 1000):
                client = self.connect()
                said = header + b"hello\n"
                for start in range(0, len(said), size):
                    client.send(said[start : start + size])
                    self.network.iterateUntilIdle()
                [protocol] = self.service.connections
                self.assertEqual(protocol.peer, source or client.transport.getPeer())
                client.finish()
                self.network.iterateUntilIdle()
                self.assertEqual(client.receive(), b"HELLO\n")
                self.assertTrue(client.ended)
                self.assertEqual(self.service.connections, {})

    def test_stepsAside(self) -> None:
        """
        After the header, the protocol has the transport itself, which can be
        written to at once, and half-closed.
        """
        client = self.connect()
        client.send(VERSION_1)
        self.network.iterateUntilIdle()
        protocol: Any = client.transport.protocol
        self.assertEqual([*self.service.connections], [protocol])
        self.assertIs(protocol.transport, client.transport)

    def test_others(self) -> None:
        """
        A protocol that cannot be told who the client is gets its connection all the
        same, as the transport names it: nothing is put into it.
        """

        class Plain(Protocol):
            """
            Notes what it is given.
            """

            __slots__ = ("heard",)

            def dataReceived(self, data: bytes) -> None:
                self.heard = data

        plain = Plain()
        inner = Factory.forProtocol(lambda: plain)
        client = self.network.connect(
            ProxyFactory(self.pending, inner, []), host="127.0.0.1"
        )
        client.send(VERSION_1 + b"hello")
        self.network.iterateUntilIdle()
        self.assertEqual(plain.heard, b"hello")
        assert plain.transport is not None
        self.assertEqual(vars(plain).keys() - {"transport", "factory"}, {"connected"})
        self.assertEqual(plain.transport.getPeer(), client.transport.getPeer())
        self.assertEqual(client.transport.getPeer().host, "127.0.0.1")

    def test_tls(self) -> None:
        """
        TLS under the header knows the client from its first byte on, and so does
        whatever is in it.
        """
        factory = TLSListenerFactory(
            self.pending,
            self.service,
            lambda: Context(TLS_METHOD),
            self.service.truncated,
        )
        proxied = ProxyFactory(self.pending, factory, [ip_network("127.0.0.0/8")])
        client = self.network.connect(proxied, host="127.0.0.1")
        client.send(VERSION_1)
        self.network.iterateUntilIdle()
        tls: Any = client.transport.protocol
        self.assertEqual(tls.getPeer(), IPv4Address("TCP", "192.0.2.1", 40000))
        self.pending.refuseAll("because")
        self.assertEqual(self.refused, [(tls.getPeer(), "because")])

    def test_caps(self) -> None:
        """
        The client's address is what is counted, not the proxy's.
        """
        first, again, other = self.connect(), self.connect(), self.connect()
        for client, header in zip(
            [first, again, other],
            [VERSION_1, SAME_CLIENT, OTHER_CLIENT],
            strict=True,
        ):
            client.send(header + b"hello\n")
            self.network.iterateUntilIdle()
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
        service = UpperFactory(clock=self.network, maxConnections=1, maxRefused=0)
        factory = ProxyFactory(self.pending, service, [ip_network("127.0.0.0/8")])
        for header in (VERSION_1, OTHER_CLIENT):
            client = self.network.connect(factory, host="127.0.0.1")
            pending: Any = client.protocol
            client.send(header + b"hello\n")
            self.network.iterateUntilIdle()
        self.assertTrue(client.socket.cut)
        inner = pending.inner
        self.assertEqual((inner.receivedBytes, inner.answeredBytes), (6, 0))

    def test_noHeader(self) -> None:
        """
        A client that sends no header is cut off without an answer.
        """
        client = self.connect()
        client.send(b"hello\n")
        self.network.iterateUntilIdle()
        self.assertTrue(client.socket.closed)
        self.assertEqual(client.receive(), b"")
        self.assertEqual(
            self.refused, [(client.transport.getPeer(), "no PROXY header")]
        )

    def test_trust(self) -> None:
        """
        Headers are taken from trusted addresses, whatever the kind of socket
        calls them; and from UNIX sockets, whose mode says who may connect.
        """
        networks = [ip_network("192.0.2.0/24"), ip_network("fe80::/10")]
        factory = ProxyFactory(self.pending, self.service, networks)
        trusted: list[IAddress] = [
            IPv4Address("TCP", "192.0.2.7", 1),
            IPv6Address("TCP", "::ffff:192.0.2.7", 1),
            IPv6Address("TCP", "fe80::1%eth0", 1),
            UNIXAddress(None),
        ]
        for address in trusted:
            self.assertIsInstance(
                factory.buildProtocol(address), PendingProxyHeader, address
            )
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
            self.network.iterateUntilIdle()
            self.assertTrue(client.ended, address)
            self.assertTrue(client.socket.closed, address)

    def test_logPrefix(self) -> None:
        """
        The log says that a listener wants headers.
        """
        self.assertEqual(self.factory.logPrefix(), "UpperFactory (PROXY)")
