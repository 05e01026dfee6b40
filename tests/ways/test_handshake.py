"""
Tests for L{upperproto.ways.handshake}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from tests.memory import Client, MemoryNetwork
from upperproto.factory import UpperFactory
from upperproto.limits.pendingconnections import PendingConnections
from upperproto.protocol import UpperProtocol
from upperproto.ways.handshake import HANDSHAKE_TIMEOUT, PendingFactory, PendingProtocol


class PendingPassword(PendingProtocol):
    """
    Wait for a password.
    """

    awaited = "password"

    def dataReceived(self, data: bytes) -> None:
        """
        Let in who has it.
        """
        if data != b"sesame":
            self.refuse("wrong password")
        elif self.leave():
            assert self.transport is not None
            self.transport.protocol = self.inner  # type: ignore[attr-defined]
            self.inner.makeConnection(self.transport)


class PasswordFactory(PendingFactory):
    """
    Ask for a password.
    """

    protocol = PendingPassword


class PendingProtocolTests(SynchronousTestCase):
    """
    A service that is entered with a password.
    """

    def setUp(self) -> None:
        """
        Make the service, at which three may wait.
        """
        self.network = MemoryNetwork()
        clock: Any = self.network
        self.service = UpperFactory(clock=clock)
        self.refusals: list[str] = []
        self.pending = PendingConnections(
            clock, 3, lambda peer, why, *rest: self.refusals.append(why)
        )
        self.factory = PasswordFactory(self.pending, self.service)

    def connect(self) -> Client:
        """
        Connect a client.
        """
        client = self.network.connect(self.factory)
        self.network.iterateUntilIdle()
        return client

    def test_comeIn(self) -> None:
        """
        Who comes in is served by the protocol, on the transport itself; nothing is left
        of the wait.
        """
        client = self.connect()
        self.assertEqual(self.service.connections, {})
        client.send(b"sesame")
        self.network.iterateUntilIdle()
        [protocol] = self.service.connections
        assert isinstance(protocol, UpperProtocol)
        self.assertIs(protocol.transport, client.transport)
        self.pending.refuseAll("nobody is left")
        self.assertEqual(self.network.getDelayedCalls(), [])
        client.send(b"hello")
        client.finish()
        self.network.iterateUntilIdle()
        self.assertEqual(client.receive(), b"HELLO")
        self.assertTrue(client.ended)
        self.assertEqual(self.refusals, [])

    def test_refused(self) -> None:
        """
        Who shows the wrong thing is cut off, with one line in the log.
        """
        client = self.connect()
        client.send(b"please")
        self.network.iterateUntilIdle()
        self.assertTrue(client.socket.closed)
        self.assertEqual(self.refusals, ["wrong password"])
        self.assertEqual(self.service.connections, {})
        self.pending.refuseAll("nobody is left")
        self.assertEqual(self.refusals, ["wrong password"])

    def test_refusedOnce(self) -> None:
        """
        Who has been refused, or has gone, is not refused again.
        """
        client = self.connect()
        client.protocol.refuse("one reason")
        client.protocol.refuse("another reason")
        self.assertEqual(self.refusals, ["one reason"])

    def test_late(self) -> None:
        """
        Who shows nothing in time is cut off.
        """
        client = self.connect()
        self.network.wait(HANDSHAKE_TIMEOUT - 0.1)
        self.assertFalse(client.socket.closed)
        self.network.wait(0.1)
        self.assertTrue(client.socket.closed)
        self.assertEqual(self.refusals, ["no password within 10 s"])

    def test_gone(self) -> None:
        """
        Who goes away without a word, as a health check may, makes one line.
        """
        client = self.connect()
        client.finish()
        self.network.iterateUntilIdle()
        self.assertTrue(client.socket.closed)
        self.assertEqual(self.refusals, ["closed before a password"])
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_crowd(self) -> None:
        """
        When too many wait, whoever has waited longest makes room.
        """
        clients = [self.connect() for _ in range(4)]
        self.network.iterateUntilIdle()
        self.assertEqual(
            [client.socket.closed for client in clients], [True, False, False, False]
        )
        self.assertEqual(self.refusals, ["too many others wait"])

    def test_refuseAll(self) -> None:
        """
        Who waits at the end of the service is cut off at once, whatever befalls others.
        """
        clients = [self.connect() for _ in range(2)]

        def abortConnection() -> None:
            raise RuntimeError("a fault")

        self.patch(clients[0].transport, "abortConnection", abortConnection)
        self.pending.refuseAll("the service is shutting down")
        self.network.iterateUntilIdle()
        self.assertTrue(clients[1].socket.closed)
        self.assertEqual(self.refusals, ["the service is shutting down"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_lateButThere(self) -> None:
        """
        Who has shown it while the service was busy is not late.
        """
        client = self.connect()
        client.send(b"sesame")
        self.network.wait(HANDSHAKE_TIMEOUT)
        self.assertEqual(self.refusals, [])
        self.assertEqual(len(self.service.connections), 1)

    def test_early(self) -> None:
        """
        A timer that does not follow the clock is no reason to refuse anybody.
        """
        client = self.connect()
        self.network.wait(HANDSHAKE_TIMEOUT / 2)
        [call] = self.network.getDelayedCalls()
        call.reset(0)
        self.network.wait(HANDSHAKE_TIMEOUT / 4)
        self.assertEqual(self.refusals, [])
        self.network.wait(HANDSHAKE_TIMEOUT / 4)
        self.assertTrue(client.socket.closed)

    def test_withoutAbort(self) -> None:
        """
        Where a transport has no other way to end, it is closed.
        """
        protocol: Any = self.factory.buildProtocol(None)
        transport = StringTransport()
        protocol.makeConnection(transport)
        protocol.refuse("the service is shutting down")
        self.assertTrue(transport.disconnecting)

    def test_noProtocol(self) -> None:
        """
        Where the inner factory builds no protocol, nothing waits.
        """
        self.service.buildProtocol = (  # type: ignore[method-assign] # a fake
            lambda addr: None
        )
        self.assertIsNone(self.factory.buildProtocol(None))

    def test_startAndStop(self) -> None:
        """
        The inner factory is started and stopped with it.
        """
        self.factory.doStart()
        self.assertEqual(self.service.numPorts, 1)
        self.factory.doStop()
        self.assertEqual(self.service.numPorts, 0)
