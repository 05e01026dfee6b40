"""
Tests for L{upperproto.limits.caps}, by what clients of a service see of it.
"""

from __future__ import annotations

from random import Random

from twisted.internet.address import IPv6Address, UNIXAddress
from twisted.internet.testing import StringTransport

from tests.memory import Client
from tests.test_factory import FactoryTestCase, connectTo
from upperproto.servedconnection import LINGER_TIMEOUT


class CapTests(FactoryTestCase):
    """
    How many clients are served at a time.
    """

    def test_maxConnections(self) -> None:
        """
        One more is told that there are too many, and closed.
        """
        self.serve(maxConnections=2)
        clients = [self.connect() for _ in range(3)]
        self.assertEqual(clients[2].receive(), b"error: too many connections\n")
        self.assertTrue(clients[2].ended)
        for client in clients[:2]:
            self.assertEqual(self.say(client, b"a\n"), b"A\n")

    def test_refused(self) -> None:
        """
        What a client says that is turned away is not answered; when it goes, no
        place becomes free.
        """
        self.serve(maxConnections=1)
        client, other = self.connect(), self.connect()
        other.receive()
        self.assertEqual(self.say(other, b"a\nb"), b"")
        self.leave(other)
        self.assertEqual(list(self.factory.connections), [client.protocol])
        self.assertTrue(self.connect().ended is False)

    def test_free(self) -> None:
        """
        A place is free as soon as its connection is closed, and not before.
        """
        self.serve(maxConnections=1)
        client = self.connect()
        client.protocol.finish("the reason")
        self.network.iterateUntilIdle()
        self.assertTrue(client.ended)
        self.assertEqual(self.connect().receive(), b"error: too many connections\n")
        self.leave(client)
        self.assertEqual(self.say(self.connect(), b"a\n"), b"A\n")

    def test_exact(self) -> None:
        """
        The caps hold exactly, however connections end: by either side, by a
        reset, by a fault, with answers unsent; in any order.
        """
        self.boom()
        self.serve(maxConnections=5, maxPerPeer=3)
        random = Random(5000)
        open_: list[Client] = []
        for _ in range(500):
            host = random.choice(["192.0.2.1", "192.0.2.2", "192.0.2.3"])
            hosts = [each.transport.client[0] for each in open_]
            expected = b"A\n"
            if len(open_) == 5:
                expected = b"error: too many connections\n"
            elif hosts.count(host) == 3:
                expected = f"error: too many connections from {host}\n".encode()
            client = self.connect(host, window=100)
            self.assertEqual(client.receive() or self.say(client, b"a\n"), expected)
            if expected == b"A\n":
                open_.append(client)
            else:
                self.assertTrue(client.ended)
            if random.random() < 0.3:
                self.say(random.choice(open_), b"a" * 500 + b"\n")
            if len(open_) > random.randrange(7):
                self.end(open_.pop(random.randrange(len(open_))), random)
            self.assertEqual(
                [each for each in self.factory.connections if not each.ending],
                [each.protocol for each in open_],
            )
            self.flushLoggedErrors(RuntimeError)
        for client in open_:
            self.end(client, random)
        self.flushLoggedErrors(RuntimeError)
        self.network.wait(LINGER_TIMEOUT)
        self.assertEqual(self.factory.connections, {})
        # Nothing is kept of those who have gone.
        self.assertEqual(len(self.factory._caps._perPeer), 0)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def end(self, client: Client, random: Random) -> None:
        """
        End a connection in one of many ways.
        """
        way = random.randrange(6)
        if way == 0:
            client.finish()
        elif way == 1:
            client.send(b"a" * 500)
            client.finish()
        elif way == 2:
            client.socket.reset()
        elif way == 3:
            client.send(b"boom\n")
        elif way == 4:
            client.protocol.abort("the reason")
        else:
            client.protocol.finish("the reason", "bad day")
            client.finish()
        self.network.iterateUntilIdle()
        while client.receive():
            self.network.iterateUntilIdle()
        self.assertTrue(client.socket.closed)

    def test_maxPerPeer(self) -> None:
        """
        One address can have so many; others have as many.
        """
        self.serve(maxPerPeer=2)
        clients = [self.connect() for _ in range(3)]
        refusal = b"error: too many connections from 192.0.2.1\n"
        self.assertEqual(clients[2].receive(), refusal)
        self.assertEqual(self.say(self.connect("192.0.2.2"), b"a\n"), b"A\n")
        self.leave(clients[2])
        self.assertEqual(self.connect().receive(), refusal)
        self.leave(clients[0])
        self.assertEqual(self.say(self.connect(), b"a\n"), b"A\n")
        self.assertEqual(self.connect().receive(), refusal)

    def test_maxPerPeerKinds(self) -> None:
        """
        IPv6 networks of 64 bits are limited as addresses of IPv4 are, in whatever
        form they come; UNIX sockets have none to limit.
        """
        self.serve(maxPerPeer=1)
        error = "error: too many connections from {}\n"
        for address, answer in {
            "2001:db8::1": "",
            "2001:db8::ffff:1:2:3": error.format("2001:db8::/64"),
            "2001:db8:0:1::1": "",
            "2001:db8:0:1::2": error.format("2001:db8:0:1::/64"),
            "fe80::1%eth0": "",
            "fe80::2%eth0": error.format("fe80::/64"),
            "::ffff:192.0.2.7": "",
            "::ffff:c000:207": error.format("192.0.2.7"),
            "::ffff:192.0.2.8": "",
        }.items():
            transport = StringTransport(peerAddress=IPv6Address("TCP", address, 5000))
            connectTo(self.factory, transport)
            self.assertEqual(transport.value(), answer.encode(), address)
        for _ in range(3):
            transport = StringTransport(peerAddress=UNIXAddress(None))
            connectTo(self.factory, transport)
            self.assertEqual(transport.value(), b"")

    def test_maxRefused(self) -> None:
        """
        So many are told that there is no place, and may take their time to
        read it; more are only cut off.
        """
        self.serve(maxConnections=1, maxRefused=2)
        clients = [self.connect() for _ in range(4)]
        for client in clients[1:3]:
            self.assertEqual(client.receive(), b"error: too many connections\n")
            self.assertTrue(client.ended)
        self.assertTrue(clients[3].socket.cut)
        self.assertTrue(clients[3].socket.closed)
        self.leave(clients[1])
        self.assertEqual(self.connect().receive(), b"error: too many connections\n")
        self.assertTrue(self.connect().socket.cut)

    def test_refusedForLong(self) -> None:
        """
        One that is told and stays is closed all the same.
        """
        self.serve(maxConnections=1)
        self.connect()
        client = self.connect()
        self.network.wait(LINGER_TIMEOUT - 0.125)
        self.assertFalse(client.socket.closed)
        self.network.wait(0.125)
        self.assertTrue(client.socket.closed)
        self.assertFalse(client.socket.cut)
