"""
Tests for L{upperproto.factory}.
"""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.address import IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, capturedLogs, eventAsText
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.memory import Client, MemoryNetwork
from upperproto import protocol
from upperproto.factory import UpperFactory
from upperproto.protocol import LARGE_READ, LINGER, UpperProtocol
from upperproto.reactor import transports as eager


class ClosingAtOnce(StringTransport):
    """
    A transport that closes in the call that asks for it.
    """

    protocol: UpperProtocol

    def loseConnection(self) -> None:
        """
        Close.
        """
        super().loseConnection()
        self.protocol.connectionLost(Failure(ConnectionDone()))


def connectTo(factory: UpperFactory, transport: StringTransport) -> UpperProtocol:
    """
    Connect a protocol over a transport of a test's own.
    """
    conversation = factory.buildProtocol(None)
    assert isinstance(conversation, UpperProtocol)
    conversation.makeConnection(transport)
    return conversation


class FactoryTestCase(SynchronousTestCase):
    """
    What these tests share.
    """

    def setUp(self) -> None:
        """
        Set up a network.
        """
        self.network = MemoryNetwork()
        self.patch(eager, "fcntl", self.network)

    def serve(self, **settings: Any) -> UpperFactory:
        """
        Make the factory that L{connect} connects to.
        """
        settings.setdefault("clock", self.network)
        self.factory = UpperFactory(**settings)
        return self.factory

    def connect(self, host: str = "192.0.2.1", window: int = 65536) -> Client:
        """
        Connect a client.
        """
        client = self.network.connect(self.factory, window, host)
        self.network.turn()
        return client

    def say(self, client: Client, data: bytes) -> bytes:
        """
        Let a client say something, and give what it is answered at once.
        """
        client.send(data)
        self.network.turn()
        return client.receive()

    def leave(self, client: Client) -> None:
        """
        Let a client end its side.
        """
        client.finish()
        self.network.turn()
        self.assertTrue(client.socket.closed)

    def boom(self) -> None:
        """
        Put a fault into the service: it cannot say C{boom}.
        """

        def upper(data: bytes, errors: str = "strict") -> bytes:
            if b"boom" in data:
                raise RuntimeError("a fault")
            return data.upper()

        self.patch(protocol, "upper", upper)


class DefaultTests(FactoryTestCase):
    """
    An L{UpperFactory} without arguments.
    """

    def test_noTimer(self) -> None:
        """
        It asks nobody for the time and starts no timer, so that a test with a
        fake transport leaves the reactor clean: the one that runs this test
        would say so.
        """
        self.factory = UpperFactory()
        self.assertIsNone(self.factory.clock)
        transport = StringTransport()
        conversation = connectTo(self.factory, transport)
        conversation.dataReceived(b"a\nb")
        self.assertEqual(transport.value(), b"A\n")
        conversation.readConnectionLost()
        self.assertEqual(transport.value(), b"A\nB")
        conversation.connectionLost()
        self.assertEqual(self.factory.connections, {})

    def test_readSoon(self) -> None:
        """
        A new connection is read soon where somebody does so, if it is a socket; what
        is not, such as TLS, has its own ways.
        """
        soon: list[object] = []
        factory = self.serve()
        factory.readSoon = soon.append
        client = self.connect()
        connectTo(factory, StringTransport())
        self.assertEqual(soon, [client.transport])

    def test_noTimerOnSockets(self) -> None:
        """
        Nor does it on a socket.
        """
        self.factory = UpperFactory()
        client = self.connect()
        client.send(b"a\nb")
        client.finish()
        self.network.turn()
        self.assertEqual(client.receive(), b"A\nB")
        self.assertTrue(client.ended)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_noLimit(self) -> None:
        """
        It serves any number of clients, and logs nothing.
        """
        self.factory = UpperFactory()
        with capturedLogs() as events:
            clients = [self.connect() for _ in range(100)]
            for client in clients:
                self.assertEqual(self.say(client, b"a\n"), b"A\n")
                self.leave(client)
        self.assertEqual(events, [])

    def test_reactor(self) -> None:
        """
        Where time matters, the global reactor tells it.
        """
        from twisted.internet import reactor

        for settings in ({"flushAfter": 1}, {"idleTimeout": 1}, {"log": "lines"}):
            arguments: dict[str, Any] = {**settings}
            self.assertIs(UpperFactory(**arguments).clock, reactor)
        self.assertIs(UpperFactory().getClock(), reactor)
        self.assertIs(UpperFactory(clock=self.network).getClock(), self.network)


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

    def test_turnedAway(self) -> None:
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
        self.network.turn()
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
                list(self.factory.connections), [each.protocol for each in open_]
            )
            self.flushLoggedErrors(RuntimeError)
        for client in open_:
            self.end(client, random)
        self.flushLoggedErrors(RuntimeError)
        self.network.wait(LINGER)
        self.assertEqual(self.factory.connections, {})
        # Nothing is kept of those who have gone.
        self.assertEqual(len(self.factory._perPeer), 0)
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
        self.network.turn()
        while client.receive():
            self.network.turn()
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
        IPv6 addresses are limited as well; UNIX sockets have none to limit.
        """
        self.serve(maxPerPeer=1)
        kinds: dict[IAddress, bytes] = {
            IPv6Address("TCP", "2001:db8::1", 5000): (
                b"error: too many connections from 2001:db8::1\n"
            ),
            UNIXAddress(None): b"",
        }
        for address, answer in kinds.items():
            for expected in (b"", answer):
                transport = StringTransport(peerAddress=address)
                connectTo(self.factory, transport)
                self.assertEqual(transport.value(), expected)

    def test_maxTurnedAway(self) -> None:
        """
        So many are told that there is no place, and may take their time to
        read it; more are only cut off.
        """
        self.serve(maxConnections=1, maxTurnedAway=2)
        clients = [self.connect() for _ in range(4)]
        for client in clients[1:3]:
            self.assertEqual(client.receive(), b"error: too many connections\n")
            self.assertTrue(client.ended)
        self.assertTrue(clients[3].socket.cut)
        self.assertTrue(clients[3].socket.closed)
        self.leave(clients[1])
        self.assertEqual(self.connect().receive(), b"error: too many connections\n")
        self.assertTrue(self.connect().socket.cut)

    def test_turnedAwayForLong(self) -> None:
        """
        One that is told and stays is closed all the same.
        """
        self.serve(maxConnections=1)
        self.connect()
        client = self.connect()
        self.network.wait(LINGER - 0.125)
        self.assertFalse(client.socket.closed)
        self.network.wait(0.125)
        self.assertTrue(client.socket.closed)
        self.assertFalse(client.socket.cut)


class IdleTests(FactoryTestCase):
    """
    Connections over which nothing moves, with a time of 100 seconds.
    """

    def setUp(self) -> None:
        """
        Make a factory.
        """
        super().setUp()
        self.serve(idleTimeout=100)

    def test_told(self) -> None:
        """
        A client that is silent is told, and closed.
        """
        client = self.connect()
        self.network.wait(99)
        self.assertEqual(client.receive(), b"")
        self.network.wait(26)
        self.assertEqual(client.receive(), b"error: idle for 100 s\n")
        self.assertTrue(client.ended)
        self.network.wait(LINGER)
        self.assertTrue(client.socket.closed)
        self.assertFalse(client.socket.cut)

    def test_inTime(self) -> None:
        """
        Never early, and at most a quarter late, whenever a client was last
        heard, with one timer for all of them.
        """
        random = Random(5000)
        clients: list[tuple[Client, float]] = []
        for _ in range(50):
            self.network.wait(random.randrange(12) / 4)
            client = self.connect()
            for _ in range(random.randrange(3)):
                self.network.wait(random.randrange(4) / 4)
                self.say(client, b"a\n")
            clients.append((client, self.network.seconds()))
            self.assertEqual(len(self.network.getDelayedCalls()), 1)
        closed: dict[Client, float] = {}
        while len(closed) < len(clients):
            calls = self.network.getDelayedCalls()
            self.network.wait(
                min(call.getTime() for call in calls) - self.network.seconds()
            )
            for client, _ in clients:
                client.receive()
                if client.ended:
                    closed.setdefault(client, self.network.seconds())
        for client, heard in clients:
            self.assertGreaterEqual(closed[client] - heard, 100)
            self.assertLessEqual(closed[client] - heard, 125)

    def test_exactWhenAlone(self) -> None:
        """
        A client that is seldom heard is closed at its time.
        """
        client = self.connect()
        self.network.wait(30)
        self.say(client, b"a\n")
        self.network.wait(99.9)
        self.assertFalse(client.ended)
        self.network.wait(0.2)
        self.assertEqual(client.receive(), b"error: idle for 100 s\n")

    def test_fewSweeps(self) -> None:
        """
        Deadlines that lie close together cost few sweeps.
        """
        for _ in range(50):
            self.connect()
            self.network.wait(0.01)
        times = set()
        while self.factory.connections:
            [time, *_] = sorted(c.getTime() for c in self.network.getDelayedCalls())
            times.add(round(time, 6))
            self.network.wait(time - self.network.seconds())
            if self.network.seconds() > 101:
                break
        # Three quarters, two for the deadlines, and one for each that lingers.
        self.assertLess(len(times), 10)

    def test_talking(self) -> None:
        """
        A client that says something now and then stays.
        """
        client = self.connect()
        for _ in range(10):
            self.network.wait(90)
            self.assertEqual(self.say(client, b"a"), b"")
        self.assertEqual(self.say(client, b"\n"), b"A" * 10 + b"\n")

    def test_waitingLine(self) -> None:
        """
        A line that was never finished is answered, above the reason.
        """
        client = self.connect()
        self.say(client, b"abc")
        self.network.wait(125)
        self.assertEqual(client.receive(), b"ABC\nerror: idle for 100 s\n")

    def test_flush(self) -> None:
        """
        An answer that quiet has brought is a movement, too.
        """
        self.serve(idleTimeout=100, flushAfter=80)
        client = self.connect()
        self.say(client, b"abc")
        self.network.wait(80)
        self.assertEqual(client.receive(), b"ABC")
        self.network.wait(99)
        self.assertEqual(client.receive(), b"")
        self.network.wait(26)
        self.assertEqual(client.receive(), b"\nerror: idle for 100 s\n")

    def test_notReading(self) -> None:
        """
        A client that does not read is cut off, although it is still owed
        something; the account says how much it has missed.
        """
        client = self.connect(window=1000)
        client.send(b"a" * 2 * LARGE_READ + b"\n")
        self.network.wait(99)
        self.assertFalse(client.socket.closed)
        self.network.wait(26)
        self.assertTrue(client.socket.cut)
        self.assertTrue(client.socket.closed)
        self.assertEqual(client.protocol.ending, "idle for 100 s, not reading")
        self.assertEqual(client.protocol.undelivered, client.protocol.bytesOut)

    def test_slowReader(self) -> None:
        """
        One that reads now and then stays, however slow it is.
        """
        client = self.connect(window=1000)
        client.send(b"a" * 2 * LARGE_READ + b"\n")
        for _ in range(20):
            self.network.wait(70)
            self.assertEqual(client.receive(1), b"A")
        self.network.wait(99)
        self.assertFalse(client.socket.closed)
        self.network.wait(26)
        self.assertTrue(client.socket.cut)

    def test_halfClosed(self) -> None:
        """
        One that has ended its side and does not take its answers is cut off.
        """
        client = self.connect(window=10)
        client.send(b"a" * 100 + b"\n")
        client.finish()
        self.network.wait(99)
        self.assertFalse(client.socket.closed)
        self.network.wait(26)
        self.assertTrue(client.socket.closed)
        self.assertEqual(client.protocol.undelivered, 101)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_shorterThanTheLinger(self) -> None:
        """
        A client that has been told, and does not end its side, is cut off when
        the time has passed once more.
        """
        self.serve(idleTimeout=LINGER / 4)
        client = self.connect()
        self.network.wait(LINGER)
        self.assertTrue(client.socket.closed)

    def test_noTimer(self) -> None:
        """
        There is no timer while there is no connection.
        """
        self.assertEqual(self.network.getDelayedCalls(), [])
        for _ in range(2):
            client, other = self.connect(), self.connect()
            self.assertEqual(len(self.network.getDelayedCalls()), 1)
            self.leave(client)
            self.assertEqual(len(self.network.getDelayedCalls()), 1)
            self.leave(other)
            self.assertEqual(self.network.getDelayedCalls(), [])
            self.network.wait(40)

    def test_closedAtOnce(self) -> None:
        """
        A transport that closes in the call that asks for it leaves no timer.
        """
        transport = ClosingAtOnce()
        transport.protocol = connectTo(self.factory, transport)
        self.network.wait(125)
        self.assertEqual(transport.value(), b"error: idle for 100 s\n")
        self.assertEqual(self.factory.connections, {})
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_fault(self) -> None:
        """
        A fault ends the connection that meets it, is logged once, and keeps no
        other one from its end.
        """
        self.boom()
        client, other = self.connect(), self.connect()
        self.say(client, b"boom")
        self.network.wait(125)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertTrue(client.socket.closed)
        self.assertEqual(other.receive(), b"error: idle for 100 s\n")
        client = self.connect()
        self.network.wait(125)
        self.assertEqual(client.receive(), b"error: idle for 100 s\n")


class LogTests(FactoryTestCase):
    """
    What the log says.
    """

    def logged(self, log: str) -> list[LogEvent]:
        """
        Log a conversation, and give what is logged.
        """
        self.serve(log=log, clock=self.network)
        with capturedLogs() as events:
            client = self.connect()
            self.network.wait(1.5)
            self.say(client, "ß\na".encode())
            self.leave(client)
        return list(events)

    def test_none(self) -> None:
        """
        C{none} is nothing.
        """
        self.assertEqual(self.logged("none"), [])

    def test_connections(self) -> None:
        """
        C{connections} is a line when one opens and one when it closes.
        """
        opened, closed = self.logged("connections")
        port = self.network.clients[0].transport.client[1]
        self.assertEqual(text(opened), f"Connection from 192.0.2.1:{port}")
        self.assertEqual(
            text(closed),
            f"Connection from 192.0.2.1:{port} closed after 1.500 s: closed by the"
            " client; 4 bytes in, 4 bytes out, 0 undelivered",
        )

    def test_lines(self) -> None:
        """
        C{lines} adds each line and each answer.
        """
        self.assertEqual(
            [text(event) for event in self.logged("lines")][1:-1],
            [
                "from connected user: ß",
                "sending: SS",
                "from connected user: a",
                "sending: A",
            ],
        )

    def test_linesOfErrors(self) -> None:
        """
        An error that nothing was said for is logged as an answer alone.
        """
        self.serve(log="lines", idleTimeout=100)
        with capturedLogs() as events:
            client = self.connect()
            self.network.wait(125)
            client.finish()
            self.network.turn()
        self.assertEqual(
            [text(event) for event in events][1:-1], ["sending: error: idle for 100 s"]
        )

    def test_linesOfNothing(self) -> None:
        """
        Where nothing is answered, no answer is logged.
        """
        self.serve(log="lines", flushAfter=1)
        with capturedLogs() as events:
            client = self.connect()
            self.leave(client)
            client = self.connect()
            self.say(client, "ß".encode()[:1])
            self.network.wait(1)
            client.socket.reset()
            self.network.turn()
        self.assertEqual(len(events), 4)

    def test_noPlace(self) -> None:
        """
        A client that is turned away is logged as any other, with the reason.
        """
        self.serve(log="connections", maxConnections=1)
        self.connect()
        with capturedLogs() as events:
            client = self.connect()
            self.leave(client)
        opened, closed = events
        self.assertEqual(closed["peer"], opened["peer"])
        self.assertEqual(closed["why"], "too many connections")
        self.assertEqual(closed["bytesOut"], len(b"error: too many connections\n"))
        self.assertEqual(closed["seconds"], 0)

    def test_identity(self) -> None:
        """
        What is verified of a client stands with its address, escaped.
        """

        class Verified(UpperProtocol):
            identity = "CN=\x1b[2J"

        self.serve(log="connections")
        self.factory.protocol = Verified
        with capturedLogs() as events:
            self.leave(self.connect())
        for event in events:
            self.assertIn(r" (CN=\x1b[2J)", text(event))
        self.assertEqual(len(events), 2)


def text(event: LogEvent) -> str:
    """
    What the text log says of an event.
    """
    return eventAsText(event, includeTimestamp=False, includeSystem=False)
