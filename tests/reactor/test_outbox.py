"""
Tests for L{upperproto.reactor.outbox}.
"""

from __future__ import annotations

from functools import partial

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from tests.memory import Client, MemoryNetwork
from upperproto.reactor.outbox import ROOM, Outbox


class OutboxTests(SynchronousTestCase):
    """
    Tests for L{Outbox}.
    """

    def setUp(self) -> None:
        """
        Set up a network and an outbox.
        """
        self.network = MemoryNetwork()
        self.outbox = Outbox(partial(self.network.callLater, 0))

    def connect(self) -> Client:
        """
        Connect a client to a server that does nothing by itself.
        """
        return self.network.connect(Factory.forProtocol(Protocol), window=ROOM * 2)

    def test_endOfTurn(self) -> None:
        """
        Answers wait for the end of the turn, and are sent in their order.
        """
        first, second = self.connect(), self.connect()
        for data in [b"a", b"b"]:
            self.outbox.write(first.transport, data)
            self.outbox.write(second.transport, data)
        self.assertEqual(first.receive() + second.receive(), b"")
        self.network.advance(0)
        self.assertEqual(first.receive(), b"ab")
        self.assertEqual(second.receive(), b"ab")

    def test_single(self) -> None:
        """
        A single answer is sent when the turn ends, too.
        """
        client = self.connect()
        self.outbox.write(client.transport, b"a")
        self.network.advance(0)
        self.assertEqual(client.receive(), b"a")

    def test_oneCall(self) -> None:
        """
        One call of the reactor serves a whole turn, and the next turn has its
        own.
        """
        client = self.connect()
        for _ in range(2):
            self.outbox.write(client.transport, b"a")
            self.outbox.write(client.transport, b"b")
            self.assertEqual(len(self.network.getDelayedCalls()), 1)
            self.network.advance(0)
            self.assertEqual(client.receive(), b"ab")
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_room(self) -> None:
        """
        When too much waits, all of it is sent at once; what follows waits again.
        """
        client, other = self.connect(), self.connect()
        self.outbox.write(other.transport, b"c")
        self.outbox.write(client.transport, b"a" * (ROOM - 2))
        self.assertEqual(client.receive() + other.receive(), b"")
        self.outbox.write(client.transport, b"b")
        self.assertEqual(client.receive(), b"a" * (ROOM - 2) + b"b")
        self.assertEqual(other.receive(), b"c")
        self.outbox.write(client.transport, b"a" * (ROOM - 1))
        self.assertEqual(client.receive(), b"")
        self.network.advance(0)
        self.assertEqual(client.receive(), b"a" * (ROOM - 1))

    def test_flush(self) -> None:
        """
        What waits can be sent before the turn ends; then the turn's end finds
        nothing.
        """
        client = self.connect()
        self.outbox.write(client.transport, b"a")
        self.outbox.flush()
        self.assertEqual(client.receive(), b"a")
        self.network.advance(0)
        self.assertEqual(client.receive(), b"")

    def test_notASocket(self) -> None:
        """
        What is no socket is written to at once, and leaves the reactor clean.
        """
        transport = StringTransport()
        self.outbox.write(transport, b"a")
        self.assertEqual(transport.value(), b"a")
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_withoutClock(self) -> None:
        """
        Without a reactor whose turns count, nothing waits.
        """
        client = self.connect()
        Outbox(None).write(client.transport, b"a")
        self.assertEqual(client.receive(), b"a")

    def test_fault(self) -> None:
        """
        A fault while one answer is sent ends that connection, with one record, and
        no other.
        """
        broken, client = self.connect(), self.connect()
        self.patch(broken.transport, "write", lambda data: 1 // 0)
        self.patch(broken.socket, "window", 0)
        self.outbox.write(broken.transport, b"a")
        self.outbox.write(client.transport, b"b")
        self.network.turn()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(client.receive(), b"b")
        self.assertTrue(broken.socket.closed)

    def test_unsent(self) -> None:
        """
        It can tell what waits for a connection.
        """
        client, other = self.connect(), self.connect()
        for data in [b"a", b"bc"]:
            self.outbox.write(client.transport, data)
        self.assertEqual(self.outbox.unsent(client.transport), 3)
        self.assertEqual(self.outbox.unsent(other.transport), 0)
        self.outbox.flush()
        self.assertEqual(self.outbox.unsent(client.transport), 0)

    def test_lostConnection(self) -> None:
        """
        An answer to a client that has gone meanwhile harms nobody else's.
        """
        gone, client = self.connect(), self.connect()
        self.outbox.write(gone.transport, b"a")
        self.outbox.write(client.transport, b"b")
        gone.transport.abortConnection()
        self.network.turn()
        self.assertEqual(client.receive(), b"b")
