"""
Tests for L{upperproto.limits.idle}, by what clients of a service see of it.
"""

from __future__ import annotations

from random import Random
from unittest.mock import patch

from tests.memory import Client
from tests.test_factory import ClosingAtOnce, FactoryTestCase, connectTo
from upperproto.servedconnection import LINGER_TIMEOUT


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
        self.network.wait(LINGER_TIMEOUT)
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
        client.send(b"a" * 131072 + b"\n")
        self.network.wait(99)
        self.assertFalse(client.socket.closed)
        self.network.wait(26)
        self.assertTrue(client.socket.cut)
        self.assertTrue(client.socket.closed)
        self.assertEqual(client.protocol.closingReason, "idle for 100 s, not reading")
        self.assertEqual(
            client.protocol.undeliveredBytes, client.protocol.answeredBytes
        )

    def test_slowReader(self) -> None:
        """
        One that reads now and then stays, however slow it is.
        """
        client = self.connect(window=1000)
        client.send(b"a" * 131072 + b"\n")
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
        self.assertEqual(client.protocol.undeliveredBytes, 101)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_shorterThanTheLinger(self) -> None:
        """
        A client that has been told, and does not end its side, is cut off when
        the time has passed once more.
        """
        self.serve(idleTimeout=LINGER_TIMEOUT / 4)
        client = self.connect()
        self.network.wait(0.7)
        self.assertEqual(client.receive(), b"error: idle for 0.5 s\n")
        self.assertFalse(client.socket.closed)
        self.network.wait(0.7)
        self.assertTrue(client.socket.cut)

    def test_endedAndStuck(self) -> None:
        """
        A connection that both sides have ended, and that stays for whatever reason,
        is cut off.
        """
        client = self.connect(window=0)
        client.finish()
        self.network.iterateUntilIdle()
        self.assertFalse(client.socket.closed)
        self.network.wait(125)
        self.assertTrue(client.socket.closed)
        self.assertEqual(self.factory.connections, {})

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

    def test_listening(self) -> None:
        """
        While a port listens, a timer that runs is there for the next connection. When
        none listens any more, it goes with the last connection, or with the port.
        """
        for portGoesFirst in (False, True):
            self.factory.doStart()
            client = self.connect()
            [timer] = self.network.getDelayedCalls()
            if portGoesFirst:
                self.factory.doStop()
                self.assertEqual(self.network.getDelayedCalls(), [timer])
            self.leave(client)
            if not portGoesFirst:
                self.assertEqual(self.network.getDelayedCalls(), [timer])
                self.factory.doStop()
            self.assertEqual(self.network.getDelayedCalls(), [])

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

    def test_faultyTransport(self) -> None:
        """
        A connection that cannot be asked or ended is logged, and keeps no other one
        from its end.
        """
        for name, isCut in (("unacknowledgedBytes", False), ("finish", True)):
            client, other = self.connect(), self.connect()
            faulty, _ = self.factory.connections
            with patch.object(faulty, name, side_effect=RuntimeError("a fault")):
                self.network.wait(125)
            self.assertGreater(len(self.flushLoggedErrors(RuntimeError)), 0)
            self.assertEqual(client.socket.cut, isCut)
            self.assertEqual(other.receive(), b"error: idle for 100 s\n")
            self.factory.abort("the end of the test")
            self.network.iterateUntilIdle()
