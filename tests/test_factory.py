"""
Tests for L{upperproto.factory}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.stdio import PipeAddress
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, capturedLogs, eventAsText
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.memory import Client, MemoryNetwork
from upperproto import rules
from upperproto.factory import UpperFactory
from upperproto.interfaces import IServedConnection
from upperproto.monitoring.connectionlog import ConnectionLog
from upperproto.protocol import UpperProtocol
from upperproto.reactor import unsentbytes


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
        self.patch(unsentbytes, "fcntl", self.network)

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
        self.network.iterateUntilIdle()
        return client

    def say(self, client: Client, data: bytes) -> bytes:
        """
        Let a client say something, and give what it is answered at once.
        """
        client.send(data)
        self.network.iterateUntilIdle()
        return client.receive()

    def leave(self, client: Client) -> None:
        """
        Let a client end its side.
        """
        client.finish()
        self.network.iterateUntilIdle()
        self.assertTrue(client.socket.closed)

    def boom(self) -> None:
        """
        Put a fault into the service: it cannot say C{boom}.
        """

        def upper(data: bytes, errors: str = "strict") -> bytes:
            if b"boom" in data:
                raise RuntimeError("a fault")
            return data.upper()

        self.patch(rules, "upper", upper)


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

    def test_noTimerOnSockets(self) -> None:
        """
        Nor does it on a socket.
        """
        self.factory = UpperFactory()
        client = self.connect()
        client.send(b"a\nb")
        client.finish()
        self.network.iterateUntilIdle()
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
            self.network.iterateUntilIdle()
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
            self.network.iterateUntilIdle()
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

    def test_accessLog(self) -> None:
        """
        An access log is told of the connections in place of what C{log} says, as soon
        as there is one; and all that is known of those that are not let in.
        """
        told: list[tuple[object, ...]] = []

        class Log(ConnectionLog):
            def opened(self, connection: IServedConnection) -> None:
                told.append(("opened", connection))

            def closed(self, *arguments: object) -> None:
                told.append(("closed", *arguments))

            def refused(self, *arguments: object) -> None:
                told.append(("refused", *arguments))

            def truncated(self, connection: IServedConnection) -> None:
                told.append(("truncated", connection))

        self.serve(log="connections", accessLog=Log(), maxConnections=1)
        with capturedLogs() as events:
            client = self.connect()
            self.leave(self.connect())
            self.network.wait(1.5)
            self.factory.truncated(client.protocol)
            self.leave(client)
            address: Any = object()
            self.factory.refused(address, "why", "transport", 2.0)
        self.assertEqual(events, [])
        first, second = (each.protocol for each in self.network.clients)
        self.assertEqual(
            told,
            [
                ("opened", first),
                ("opened", second),
                ("closed", second, 0, "too many connections", True),
                ("truncated", first),
                ("closed", first, 1.5, "closed by the client", False),
                ("refused", address, "why", "transport", 2.0),
            ],
        )
        self.assertIsNotNone(UpperFactory(accessLog=Log()).clock)

    def test_marks(self) -> None:
        """
        A fault is logged with the name that the access log has given its connection.
        """

        class Log(ConnectionLog):
            def opened(self, connection: IServedConnection) -> None:
                connection.mark = "[5d41402a-1] "

        self.serve(accessLog=Log())
        client = self.connect()
        self.patch(type(client.protocol), "lastAnswer", None)
        with capturedLogs() as events:
            client.protocol.finish("because")
        self.assertEqual(
            text(events[0]).partition("\n")[0],
            "[5d41402a-1] A fault ends the connection",
        )
        self.flushLoggedErrors(TypeError)

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


class NameTests(FactoryTestCase):
    """
    What a client is told first.
    """

    def told(self, client: Client) -> bytes:
        """
        The notice that a client is due.
        """
        host, port = client.transport.client[:2]
        return f"server: name=pod-7 peer={host}:{port}\n".encode()

    def test_first(self) -> None:
        """
        It is one line before all answers, though the client may have said something
        before it was accepted.
        """
        self.serve(name="pod-7")
        client = self.network.connect(self.factory)
        client.send(b"a\nb")
        client.finish()
        self.network.iterateUntilIdle()
        self.assertEqual(client.receive(), self.told(client) + b"A\nB")
        self.assertTrue(client.ended)

    def test_withoutName(self) -> None:
        """
        Without a name, nothing is said.
        """
        self.serve()
        self.assertIsNone(self.factory.name)
        self.assertEqual(self.connect().receive(), b"")

    def test_badName(self) -> None:
        """
        A name that would break the notice is refused.
        """
        for name in ("", "a b", "a=b", "a\n"):
            self.assertRaises(ValueError, UpperFactory, name=name)

    def test_peers(self) -> None:
        """
        The client is named as the log names it; what has no address is not.
        """
        for address, said in [
            (IPv4Address("TCP", "192.0.2.1", 1), b" peer=192.0.2.1:1"),
            (IPv6Address("TCP", "::1", 65535), b" peer=[::1]:65535"),
            (UNIXAddress(None), b" peer=unix"),
            (PipeAddress(), b""),
        ]:
            transport = StringTransport(peerAddress=address)
            connectTo(UpperFactory(name="a"), transport)
            self.assertEqual(transport.value(), b"server: name=a%s\n" % said)

    def test_told(self) -> None:
        """
        Where a PROXY header has told another address, and the handshake a version of
        TLS, they are said.
        """
        conversation = UpperFactory(name="a").buildProtocol(None)
        assert isinstance(conversation, UpperProtocol)
        conversation.peer = IPv4Address("TCP", "192.0.2.9", 9)
        conversation.tlsVersion = "1.3"
        transport = StringTransport()
        conversation.makeConnection(transport)
        self.assertEqual(
            transport.value(), b"server: name=a peer=192.0.2.9:9 tls=1.3\n"
        )

    def test_refused(self) -> None:
        """
        Who is refused is told by whom, and then why; but not where there are so many
        that they are only cut off.
        """
        self.serve(name="pod-7", maxConnections=1, maxRefused=1)
        self.connect()
        client = self.connect()
        self.assertEqual(
            client.receive(), self.told(client) + b"error: too many connections\n"
        )
        self.assertTrue(client.ended)
        another = self.connect()
        self.assertEqual(another.receive(), b"")

    def test_log(self) -> None:
        """
        It is among the bytes that are counted, and in the log with what is said.
        """
        self.serve(name="pod-7", log="lines")
        with capturedLogs() as events:
            client = self.connect()
            self.say(client, b"a\n")
            self.leave(client)
        told = self.told(client)
        _, first, *_, closed = events
        self.assertEqual(text(first), f"sending: {told.decode().strip()}")
        self.assertEqual(closed["bytesOut"], len(told) + len(b"A\n"))
        self.assertEqual(closed["undelivered"], 0)

    def test_undelivered(self) -> None:
        """
        Where it could not be delivered, that is counted, too.
        """
        self.serve(name="pod-7", log="connections")
        with capturedLogs() as events:
            client = self.connect(window=0)
            self.factory.abort("a second signal")
            self.network.iterateUntilIdle()
        self.assertEqual(events[-1]["bytesOut"], len(self.told(client)))
        self.assertEqual(events[-1]["undelivered"], len(self.told(client)))

    def test_quiet(self) -> None:
        """
        It is no activity of the client: it goes idle as any other.
        """
        self.serve(name="pod-7", idleTimeout=100)
        client = self.connect()
        self.assertEqual(client.receive(), self.told(client))
        self.network.wait(100)
        self.assertEqual(client.receive(), b"error: idle for 100 s\n")


def text(event: LogEvent) -> str:
    """
    What the text log says of an event.
    """
    return eventAsText(event, includeTimestamp=False, includeSystem=False)
