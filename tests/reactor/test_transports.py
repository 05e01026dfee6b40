"""
Tests for L{upperproto.reactor.transports}.
"""

from __future__ import annotations

from socket import socketpair

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.tcp import Connection
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.trial.unittest import SynchronousTestCase

from tests.memory import Client, MemoryNetwork
from upperproto.reactor import transports as eager


class EagerTests(SynchronousTestCase):
    """
    Tests for L{eager.write}, L{eager.unsent} and L{eager.unacknowledged}.
    """

    def setUp(self) -> None:
        """
        Set up a network.
        """
        self.network = MemoryNetwork()
        self.patch(eager, "fcntl", self.network)

    def connect(self, window: int = 10) -> Client:
        """
        Connect a client to a server that does nothing by itself.
        """
        return self.network.connect(Factory.forProtocol(Protocol), window)

    def test_atOnce(self) -> None:
        """
        What the socket takes is sent before C{write} returns, and the reactor
        has nothing to do.
        """
        client = self.connect()
        eager.write(client.transport, b"0123456789")
        self.assertEqual(client.receive(), b"0123456789")
        self.assertEqual(self.network.writers, set())
        self.assertEqual(eager.unsent(client.transport), 0)

    def test_rest(self) -> None:
        """
        What the socket does not take waits, and is sent when it does.
        """
        client = self.connect()
        eager.write(client.transport, b"0123456789abc")
        self.assertEqual(eager.unsent(client.transport), 3)
        self.assertEqual(client.receive(), b"0123456789")
        self.network.turn()
        self.assertEqual(client.receive(), b"abc")
        self.assertEqual(eager.unsent(client.transport), 0)

    def test_many(self) -> None:
        """
        More than Twisted sends at a time is sent at once, too.
        """
        size = 3 * Connection.SEND_LIMIT
        client = self.connect(window=size)
        eager.write(client.transport, b"a" * (size - 1) + b"bc")
        self.assertEqual(eager.unsent(client.transport), 1)
        self.assertEqual(client.receive(), b"a" * (size - 1) + b"b")
        self.network.turn()
        self.assertEqual(client.receive(), b"c")

    def test_full(self) -> None:
        """
        If the socket takes nothing, all waits.
        """
        client = self.connect(window=0)
        eager.write(client.transport, b"abc")
        self.assertEqual(eager.unsent(client.transport), 3)
        client.socket.window = 10
        self.network.turn()
        self.assertEqual(client.receive(), b"abc")

    def test_inOrder(self) -> None:
        """
        Nothing overtakes what waits already, whether it was written just now
        or a turn of the reactor ago.
        """
        client = self.connect()
        client.transport.write(b"first")
        eager.write(client.transport, b"second")
        self.assertEqual(client.receive(), b"")
        self.network.turn()
        self.assertEqual(eager.unsent(client.transport), 1)
        eager.write(client.transport, b"third")
        self.assertEqual(eager.unsent(client.transport), 6)
        self.assertEqual(client.receive(), b"firstsecon")
        self.network.turn()
        self.assertEqual(client.receive(), b"dthird")
        eager.write(client.transport, b"0123456789abc")
        self.assertEqual(client.receive(1), b"0")
        self.network.turn()
        self.assertEqual(client.receive(), b"123456789a")
        eager.write(client.transport, b"d")
        self.assertEqual(client.receive(), b"")
        self.network.turn()
        self.assertEqual(client.receive(), b"bcd")

    def test_producer(self) -> None:
        """
        A producer is paused when what waits exceeds the transport's buffer, as
        by C{transport.write}.
        """
        client = self.connect(window=100)
        states = []

        class Producer:
            def pauseProducing(self) -> None:
                states.append("paused")

            def resumeProducing(self) -> None:
                states.append("resumed")

            def stopProducing(self) -> None:
                states.append("stopped")

        client.transport.registerProducer(Producer(), True)
        eager.write(client.transport, b"a" * (100 + client.transport.bufferSize))
        self.assertEqual(states, [])
        eager.write(client.transport, b"a")
        self.assertEqual(states, ["paused"])
        client.socket.window *= 1000
        self.network.turn()
        self.assertEqual(states, ["paused", "resumed"])

    def test_reset(self) -> None:
        """
        A connection that turns out to be lost is left for the reactor to find;
        what was written to it is unsent.
        """
        client = self.connect()
        client.socket.reset()
        eager.write(client.transport, b"abc")
        self.assertTrue(client.transport.connected)
        self.network.turn()
        self.assertFalse(client.transport.connected)
        self.assertEqual(eager.unsent(client.transport), 3)

    def test_afterTheEnd(self) -> None:
        """
        Nothing is sent on a connection whose write side, or all of which, has
        ended.
        """
        client = self.connect()
        client.transport.loseWriteConnection()
        self.network.turn()
        eager.write(client.transport, b"abc")
        self.assertEqual(client.receive(), b"")
        client.transport.loseConnection()
        self.network.turn()
        eager.write(client.transport, b"abc")
        self.assertEqual(client.receive(), b"")
        self.assertTrue(client.ended)
        client = self.connect()
        client.transport.loseConnection()
        self.network.turn()
        eager.write(client.transport, b"abc")
        self.assertEqual(client.receive(), b"")
        self.assertEqual(eager.unsent(client.transport), 0)

    def test_close(self) -> None:
        """
        A connection closes at once if nothing waits, and after that otherwise.
        """
        client = self.connect()
        eager.close(client.transport)
        self.assertTrue(client.socket.closed)
        client = self.connect()
        eager.write(client.transport, b"0123456789abc")
        eager.close(client.transport)
        self.assertFalse(client.socket.closed)
        self.assertEqual(client.receive(), b"0123456789")
        self.network.turn()
        self.assertTrue(client.socket.closed)
        self.assertEqual(client.receive(), b"abc")

    def test_closeOthers(self) -> None:
        """
        TLS has more to say, and what another transport does is its own business.
        """
        client = self.connect()
        calls: list[bool] = []
        self.patch(client.transport, "TLS", True)
        self.patch(client.transport, "loseConnection", lambda: calls.append(True))
        eager.close(client.transport)
        self.assertEqual(calls, [True])
        transport = StringTransport()
        eager.close(transport)
        self.assertTrue(transport.disconnecting)

    def test_startTls(self) -> None:
        """
        On a transport that speaks TLS, nothing passes by the encryption.
        """
        client = self.connect()
        written: list[bytes] = []
        self.patch(client.transport, "TLS", True)
        self.patch(client.transport, "write", written.append)
        eager.write(client.transport, b"abc")
        self.assertEqual(client.receive(), b"")
        self.assertEqual(written, [b"abc"])

    def test_otherTransports(self) -> None:
        """
        Any other transport gets a plain C{write}, and tells nothing.
        """
        transport = StringTransport()
        eager.write(transport, b"abc")
        self.assertEqual(transport.value(), b"abc")
        self.assertEqual(eager.unsent(transport), 0)
        self.assertEqual(eager.unacknowledged(transport), 0)

    def test_wrapped(self) -> None:
        """
        A wrapper gets a plain C{write}; what waits below it is known.
        """
        factory = WrappingFactory(Factory.forProtocol(Protocol))
        client = self.network.connect(factory, window=10)
        self.assertIsInstance(client.protocol, ProtocolWrapper)
        eager.write(client.protocol, b"0123456789abc")
        self.assertEqual(client.receive(), b"")
        self.assertEqual(eager.unsent(client.protocol), 13)
        self.network.turn()
        self.assertEqual(eager.unsent(client.protocol), 3)
        self.assertEqual(eager.unacknowledged(client.protocol), 13)

    def test_unacknowledged(self) -> None:
        """
        What the kernel has taken and the client has not is unacknowledged, as
        is what is unsent.
        """
        client = self.connect()
        self.assertEqual(eager.unacknowledged(client.transport), 0)
        eager.write(client.transport, b"0123456789abc")
        self.assertEqual(eager.unacknowledged(client.transport), 13)
        client.receive(4)
        self.assertEqual(eager.unacknowledged(client.transport), 9)
        client.receive()
        self.network.turn()
        client.receive()
        self.assertEqual(eager.unacknowledged(client.transport), 0)

    def test_unacknowledgedWhenClosed(self) -> None:
        """
        A closed socket is not asked.
        """
        client = self.connect(window=0)
        eager.write(client.transport, b"abc")
        client.transport.abortConnection()
        self.network.turn()
        self.assertEqual(eager.unacknowledged(client.transport), 3)

    def test_kernelDoesNotTell(self) -> None:
        """
        Where the kernel does not tell, what is unsent is all that is known.
        """

        def ioctl(*arguments: object) -> bytes:
            raise OSError("Inappropriate ioctl for device")

        self.patch(self.network, "ioctl", ioctl)
        client = self.connect()
        eager.write(client.transport, b"0123456789abc")
        self.assertEqual(eager.unacknowledged(client.transport), 3)

    def test_whatItReliesOn(self) -> None:
        """
        L{Connection} has the parts that are relied on.
        """
        server, peer = socketpair()
        self.addCleanup(server.close)
        self.addCleanup(peer.close)
        descriptor = Connection(server, Protocol(), self.network)
        self.assertIs(descriptor.socket, server)
        self.assertFalse(server.getblocking())
        self.assertFalse(descriptor.TLS)
        self.assertEqual(descriptor.dataBuffer, b"")
        self.assertEqual(descriptor.offset, 0)
        self.assertEqual(descriptor._tempDataBuffer, [])
        self.assertEqual(descriptor._tempDataLen, 0)
        descriptor.connected = 1
        descriptor.write(b"abc")
        self.assertEqual(descriptor._tempDataBuffer, [b"abc"])
        self.assertEqual(descriptor._tempDataLen, 3)
