"""
Tests for L{upperproto.ways.handshake}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.memory import Client, MemoryNetwork
from upperproto.factory import UpperFactory
from upperproto.ways.handshake import PATIENCE, Door, DoorFactory


class PasswordDoor(Door):
    """
    Wait for a password.
    """

    asked = "password"

    def dataReceived(self, data: bytes) -> None:
        """
        Let in who has it.
        """
        if data != b"sesame":
            self.refuse("wrong password")
        elif self.leave():
            self.transport.protocol = self.inner
            self.inner.makeConnection(self.transport)


class PasswordFactory(DoorFactory):
    """
    Ask for a password.
    """

    door = PasswordDoor


class Refusals:
    """
    Take the place of the transcript.
    """

    lines = False

    def __init__(self) -> None:
        """
        Begin with none.
        """
        self.refusals: list[str] = []
        self.conversations = 0
        self.cut = 0

    def refused(self, peer: str, why: str) -> None:
        """
        Take note of a refusal.
        """
        self.refusals.append(why)

    def opened(self, peer: str) -> None:
        """
        Count a conversation.
        """
        self.conversations += 1

    def cutShort(self, peer: str) -> None:
        """
        Count a client that was cut short.
        """
        self.cut += 1

    def closed(self, *arguments: object) -> None:
        """
        That a conversation ends is of no interest here.
        """


class DoorTests(SynchronousTestCase):
    """
    A service that is entered with a password.
    """

    def setUp(self) -> None:
        """
        Make the service, with room for three at the door.
        """
        self.network = MemoryNetwork()
        self.service = UpperFactory(clock=self.network, maxTurnedAway=3)
        self.refusals = Refusals()
        self.service.transcript = self.refusals  # type: ignore[assignment] # a fake
        self.factory = PasswordFactory(self.service, self.service)

    def connect(self) -> Client:
        """
        Come to the door.
        """
        client = self.network.connect(self.factory)
        self.network.turn()
        return client

    def test_comeIn(self) -> None:
        """
        Who comes in is served by the protocol, on the transport itself; the
        door is left to nobody, and no timer remains.
        """
        client = self.connect()
        self.assertEqual(self.refusals.conversations, 0)
        client.send(b"sesame")
        self.network.turn()
        self.assertEqual(self.refusals.conversations, 1)
        [protocol] = self.service.connections
        self.assertIs(protocol.transport, client.transport)
        self.assertEqual(self.service.arriving, {})
        self.assertEqual(self.network.getDelayedCalls(), [])
        client.send(b"hello")
        client.finish()
        self.network.turn()
        self.assertEqual(client.receive(), b"HELLO")
        self.assertTrue(client.ended)
        self.assertEqual(self.refusals.refusals, [])

    def test_refused(self) -> None:
        """
        Who shows the wrong thing is cut off, with one line in the log.
        """
        client = self.connect()
        client.send(b"please")
        self.network.turn()
        self.assertTrue(client.socket.closed)
        self.assertEqual(self.refusals.refusals, ["wrong password"])
        self.assertEqual(self.refusals.conversations, 0)
        self.assertEqual(self.service.arriving, {})

    def test_refusedOnce(self) -> None:
        """
        Who has been refused, or has gone, is not refused again.
        """
        client = self.connect()
        door = client.protocol
        door.refuse("one reason")
        door.refuse("another reason")
        self.assertEqual(self.refusals.refusals, ["one reason"])

    def test_late(self) -> None:
        """
        Who shows nothing in time is cut off.
        """
        client = self.connect()
        self.network.wait(PATIENCE - 0.1)
        self.assertFalse(client.socket.closed)
        self.network.wait(0.1)
        self.assertTrue(client.socket.closed)
        self.assertEqual(self.refusals.refusals, ["no password within 10 s"])

    def test_gone(self) -> None:
        """
        Who goes away without a word, as a health check may, makes one line.
        """
        client = self.connect()
        client.finish()
        self.network.turn()
        self.assertTrue(client.socket.closed)
        self.assertEqual(self.refusals.refusals, ["closed before a password"])
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_crowd(self) -> None:
        """
        When too many wait, whoever has waited longest makes room.
        """
        clients = [self.connect() for _ in range(4)]
        self.network.turn()
        self.assertEqual(
            [client.socket.closed for client in clients], [True, False, False, False]
        )
        self.assertEqual(self.refusals.refusals, ["too many others wait"])

    def test_drain(self) -> None:
        """
        Who waits at the end of the service is cut off at once.
        """
        client = self.connect()
        self.successResultOf(self.service.drain(10))
        self.network.turn()
        self.assertTrue(client.socket.closed)
        self.assertEqual(self.refusals.refusals, ["the service is shutting down"])

    def test_abort(self) -> None:
        """
        So it is when all connections are ended.
        """
        client = self.connect()
        self.service.abort("a second signal")
        self.network.turn()
        self.assertTrue(client.socket.closed)
        self.assertEqual(self.refusals.refusals, ["a second signal"])

    def test_silentService(self) -> None:
        """
        A service without a log refuses without a word.
        """
        self.service.transcript = None
        client = self.connect()
        client.send(b"please")
        self.network.turn()
        self.assertTrue(client.socket.closed)

    def test_closedHouse(self) -> None:
        """
        Where the inner factory builds no protocol, there is no door.
        """
        self.service.buildProtocol = (  # type: ignore[method-assign] # a fake
            lambda addr: None
        )
        self.assertIsNone(self.factory.buildProtocol(None))

    def test_startAndStop(self) -> None:
        """
        The inner factory is started and stopped with the door's.
        """
        self.factory.doStart()
        self.assertEqual(self.service.numPorts, 1)
        self.factory.doStop()
        self.assertEqual(self.service.numPorts, 0)
