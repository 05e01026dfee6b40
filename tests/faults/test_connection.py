"""
Tests for L{upperproto.faults.endpoint}, C{connection} and C{pipe}: what a client sees
of a service behind faults.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, ITCPTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import alsoProvides

from tests.memory import Client, MemoryNetwork
from upperproto.factory import UpperFactory
from upperproto.faults.connection import FaultyConnection
from upperproto.faults.endpoint import FaultEndpoint, FaultFactory, parse
from upperproto.faults.settings import FaultSettings
from upperproto.faults.shaping import MAX_QUEUED
from upperproto.limits.pendingconnections import PendingConnections
from upperproto.reactor import unsentbytes
from upperproto.ways.proxyprotocol.headerwait import ProxyFactory


class FaultTestCase(SynchronousTestCase):
    """
    What these tests share.
    """

    def setUp(self) -> None:
        """
        Set up a network.
        """
        self.network = MemoryNetwork()
        self.patch(unsentbytes, "fcntl", self.network)

    def connect(self, window: int = 1 << 30, **faults: Any) -> Client:
        """
        Connect a client to a service that has faults.
        """
        self.factory = UpperFactory(clock=self.network)
        clock: Any = self.network
        factory = FaultFactory(self.factory, FaultSettings(**faults), clock)
        return self.network.connect(factory, window)

    def say(self, client: Client, data: bytes) -> bytes:
        """
        Let a client say something, and give what it is answered at once.
        """
        client.send(data)
        self.network.iterateUntilIdle()
        return client.receive()


class NoFaultTests(FaultTestCase):
    """
    C{fault:} with nothing asked.
    """

    def test_nothing(self) -> None:
        """
        Nothing stands between the socket and the protocol.
        """
        client = self.connect()
        self.assertNotIsInstance(client.protocol, FaultyConnection)
        client.send(b"abc\ndef")
        client.finish()
        self.network.iterateUntilIdle()
        self.assertEqual(client.receive(), b"ABC\nDEF")
        self.assertTrue(client.ended)

    def test_otherConnections(self) -> None:
        """
        Nor does it for connections that a share leaves out.
        """
        clients = [self.connect(silent=0.5, seed="1") for _ in range(2)]
        settings = FaultSettings(silent=0.5, seed="1")
        silent = settings.forConnection(0).silent
        for client in clients:
            self.assertEqual(isinstance(client.protocol, FaultyConnection), silent)


class FaultTests(FaultTestCase):
    """
    Each fault.
    """

    def test_delay(self) -> None:
        """
        An answer takes twice the delay: once each way. So does the end.
        """
        client = self.connect(delay=0.25)
        client.send(b"abc")
        client.finish()
        self.network.wait(0.49)
        self.assertEqual(client.receive(), b"")
        self.network.wait(0.01)
        self.assertEqual(client.receive(), b"ABC")
        self.assertTrue(client.ended)
        self.assertTrue(client.socket.closed)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_jitter(self) -> None:
        """
        The delay varies, and nothing overtakes anything.
        """
        client = self.connect(delay=1.0, jitter=1.0, seed="1")
        times = []
        for number in range(50):
            self.assertEqual(self.say(client, b"%d\n" % number), b"")
        for _ in range(401):
            received = client.receive()
            times += [self.network.seconds()] * received.count(b"\n")
            self.network.wait(0.01)
        self.assertEqual(
            client.received, b"".join(b"%d\n" % number for number in range(50))
        )
        self.assertGreater(len(set(times)), 3)
        self.assertLessEqual(max(times), 4.01)

    def test_rate(self) -> None:
        """
        So many bytes pass in a second, each way, and evenly.
        """
        client = self.connect(rate=1000)
        client.send(b"a" * 999 + b"\n")
        self.network.wait(0.99)
        self.assertEqual(client.receive(), b"")
        self.network.wait(0.51)
        received = len(client.receive())
        self.assertTrue(440 <= received <= 500, received)
        self.network.wait(0.51)
        client.receive()
        self.assertEqual(len(client.received), 1000)

    def test_slice(self) -> None:
        """
        No segment has more bytes, either way, and all arrive.
        """
        client = self.connect(slice=3)
        sent: list[bytes] = []
        received: list[bytes] = []
        self.patch(client.socket, "send", self.spy(client.socket.send, sent))
        inner = client.protocol.protocol
        self.patch(inner, "dataReceived", self.spy(inner.dataReceived, received))
        self.assertEqual(self.say(client, b"abcdefgh\n"), b"ABCDEFGH\n")
        self.assertEqual(received, [b"abc", b"def", b"gh\n"])
        self.assertEqual(sent, [b"ABC", b"DEF", b"GH\n"])

    def spy(self, call: Any, seen: list[bytes]) -> Any:
        """
        Note the bytes that a call is given.
        """

        def spied(data: bytes) -> Any:
            seen.append(bytes(data))
            return call(data)

        return spied

    def test_limit(self) -> None:
        """
        After so many bytes of answers the connection is closed.
        """
        client = self.connect(limit=5)
        self.assertEqual(self.say(client, b"abc\ndef\n"), b"ABC\nD")
        self.network.wait(0)
        self.assertTrue(client.ended)
        self.assertFalse(client.socket.cut)
        self.assertEqual(self.factory.connections, {})

    def test_reset(self) -> None:
        """
        After so many it is reset.
        """
        client = self.connect(limit=5, reset=1.0)
        client.send(b"abc\ndef\n")
        self.network.iterateUntilIdle()
        self.network.wait(0)
        self.assertTrue(client.socket.cut)
        self.assertEqual(self.factory.connections, {})

    def test_resetAtRandom(self) -> None:
        """
        Without a limit, it is reset within 64 KiB.
        """
        client = self.connect(reset=1.0)
        client.send(b"a" * 65535 + b"\n")
        self.network.iterateUntilIdle()
        self.network.wait(0)
        self.assertTrue(client.socket.cut)

    def test_silent(self) -> None:
        """
        The client is accepted, read and not answered, until it ends its side.
        """
        client = self.connect(silent=1.0)
        self.assertEqual(self.say(client, b"abc\n" * 1000), b"")
        self.network.wait(100)
        self.assertEqual(client.receive(), b"")
        self.assertEqual(len(client.socket.inbound), 0)
        self.assertEqual(self.factory.connections, {})
        client.finish()
        self.network.iterateUntilIdle()
        self.network.wait(0)
        self.assertTrue(client.socket.closed)

    def test_slowClose(self) -> None:
        """
        The answer comes at once and the end later.
        """
        client = self.connect(slowclose=2.0)
        client.send(b"abc")
        client.finish()
        self.network.wait(1.9)
        self.assertEqual(client.receive(), b"ABC")
        self.assertFalse(client.ended)
        self.network.wait(0.1)
        self.assertTrue(client.ended)

    def test_noHalfClose(self) -> None:
        """
        The client's end is taken for the end of all: what was sent with it is not
        answered.
        """
        client = self.connect(halfclose=False)
        self.assertFalse(IHalfCloseableProtocol.providedBy(client.protocol))
        client.send(b"abc\n")
        self.network.wait(1)
        self.assertEqual(client.receive(), b"ABC\n")
        client.send(b"def\n")
        client.finish()
        self.network.wait(1)
        self.assertEqual(client.receive(), b"")
        self.assertTrue(client.socket.closed)
        self.assertEqual(self.factory.connections, {})

    def test_garble(self) -> None:
        """
        One byte of each answer is another.
        """
        client = self.connect(garble=1.0)
        for _ in range(100):
            answer = self.say(client, b"abcdefgh\n")
            changed = [a for a, b in zip(answer, b"ABCDEFGH\n", strict=True) if a != b]
            self.assertEqual(len(changed), 1)


class PressureTests(FaultTestCase):
    """
    Memory stays bounded, and back-pressure is passed on.
    """

    def test_slowReader(self) -> None:
        """
        A client that does not read is not read, and gets everything in the end.
        """
        client = self.connect(window=1000, delay=0.001)
        client.send(b"a" * 99 + b"\n" + b"b" * 4_999_900)
        self.network.wait(1)
        self.assertGreater(len(client.socket.inbound), 1_000_000)
        self.assertLess(client.protocol.unsentBytes(), 2 * MAX_QUEUED)
        self.assertGreater(client.protocol.unacknowledgedBytes(), 1000)
        client.socket.window = 1 << 30
        client.finish()
        for _ in range(100):
            self.network.wait(0.01)
            client.receive()
        self.assertEqual(client.received, client.sent.upper())
        self.assertTrue(client.ended)

    def test_replaced(self) -> None:
        """
        A protocol may hand its connection over to another one: a PROXY header has come,
        for example. The half-close is the other one's then.
        """
        self.factory = UpperFactory(clock=self.network)
        pending = PendingConnections(self.network, 10, self.factory.refused)
        proxies = ProxyFactory(pending, self.factory, [ip_network("0.0.0.0/0")])
        clock: Any = self.network
        factory = FaultFactory(proxies, FaultSettings(delay=0.25), clock)
        client = self.network.connect(factory)
        client.send(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nabc")
        client.finish()
        self.network.wait(0.5)
        self.assertEqual(client.receive(), b"ABC")
        self.assertTrue(client.ended)
        self.assertEqual(self.factory.connections, {})

    def test_tinySlices(self) -> None:
        """
        However small the pieces are, what is under way costs its bytes and no more.
        """
        client = self.connect(slice=1, rate=10)
        client.send(b"a" * 500_000)
        self.network.iterateUntilIdle()
        pipe = client.protocol._inbound
        self.assertEqual(pipe.size, 500_000)
        self.assertLess(len(pipe._queue), 10)

    def test_slowPath(self) -> None:
        """
        What comes faster than it passes waits in the kernel.
        """
        client = self.connect(rate=1000)
        client.send(b"a" * 5_000_000)
        self.network.wait(1)
        self.assertGreater(len(client.socket.inbound), 5_000_000 - 2 * MAX_QUEUED)

    def test_abort(self) -> None:
        """
        Who is not served any more loses what was under way.
        """
        client = self.connect(delay=1.0)
        client.send(b"abc\n")
        self.network.wait(1.5)
        self.factory.abort("the reason")
        self.network.iterateUntilIdle()
        self.assertTrue(client.socket.cut)
        [calls] = [self.network.getDelayedCalls()]
        self.assertEqual(calls, [])


class EndpointTests(SynchronousTestCase):
    """
    Tests for L{parse} and L{FaultEndpoint}.
    """

    def test_description(self) -> None:
        """
        The faults are taken out of a description, and what is left is the endpoint.
        """
        clock: Any = MemoryNetwork()
        keywords = {"delay": "1", "interface": "::1", "seed": "a:b", "backlog": "7"}
        endpoint = parse(clock, ["tcp", "5000"], keywords)
        self.assertEqual(endpoint.settings, FaultSettings(delay=1, seed="a:b"))
        endpoint.listen(UpperFactory())
        [(port, factory, backlog, interface)] = clock.tcpServers
        self.assertEqual((port, backlog, interface), (5000, 7, "::1"))
        self.assertIsInstance(factory, FaultFactory)

    def test_bad(self) -> None:
        """
        What is no fault, or stands before nothing, is refused.
        """
        clock: Any = MemoryNetwork()
        for arguments, keywords in [([], {}), (["tcp", "1"], {"delay": "x"})]:
            self.assertRaises(ValueError, parse, clock, arguments, keywords)

    def test_sliceOverUNIX(self) -> None:
        """
        A UNIX socket is not asked to send small segments at once, although its
        transport may say that it is one of TCP.
        """
        network: Any = MemoryNetwork()
        settings = FaultSettings(slice=3)
        built: Any = FaultFactory(UpperFactory(), settings, network).buildProtocol(None)
        transport = StringTransport(peerAddress=UNIXAddress(""))
        alsoProvides(transport, ITCPTransport)
        built.makeConnection(transport)
        self.assertIs(built.protocol.transport, built)

    def test_noProtocol(self) -> None:
        """
        A factory that builds no protocol still refuses the connection.
        """

        class Nobody(Factory):
            def buildProtocol(self, addr: object) -> None:
                return None

        clock: Any = MemoryNetwork()
        factory = FaultFactory(Nobody(), FaultSettings(delay=1), clock)
        self.assertIsNone(factory.buildProtocol(None))

    def test_lost(self) -> None:
        """
        A protocol that takes the client's end for the end of all is told of it in its
        time.
        """
        lost: list[Any] = []

        class Noting(Protocol):
            def connectionLost(self, reason: Any = None) -> None:
                lost.append(reason.type)

        network: Any = MemoryNetwork()
        factory = FaultFactory(
            Factory.forProtocol(Noting), FaultSettings(delay=1), network
        )
        client = network.connect(factory)
        client.finish()
        network.wait(0.9)
        self.assertEqual(lost, [])
        network.wait(1.2)
        self.assertEqual(lost, [ConnectionDone])

    def test_listen(self) -> None:
        """
        It gives the port of the endpoint in it.
        """
        port = object()

        class Endpoint:
            def listen(self, factory: object) -> Deferred[object]:
                return succeed(port)

        inner: Any = Endpoint()
        clock: Any = MemoryNetwork()
        endpoint = FaultEndpoint(inner, FaultSettings(), clock)
        self.assertIs(self.successResultOf(endpoint.listen(UpperFactory())), port)
