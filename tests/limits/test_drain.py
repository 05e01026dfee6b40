"""
Tests for L{upperproto.limits.drain}.
"""

from __future__ import annotations

from unittest.mock import patch

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from tests.test_factory import ClosingAtOnce, FactoryTestCase, connectTo, text
from upperproto.limits.drain import CLOSING_TIME, QUIET_TIME
from upperproto.servedconnection import LINGER_TIMEOUT


class DrainTests(FactoryTestCase):
    """
    Tests for L{UpperFactory.drain} and L{Drain}.
    """

    def setUp(self) -> None:
        """
        Make a factory.
        """
        super().setUp()
        self.serve()

    def drain(self, seconds: float = 10) -> Deferred[None]:
        """
        Drain.
        """
        drained = self.factory.drain(seconds)
        self.network.iterateUntilIdle()
        return drained

    def gone(self, drained: Deferred[None]) -> None:
        """
        Check that nothing is left.
        """
        self.assertIsNone(self.successResultOf(drained))
        self.assertEqual(self.factory.connections, {})
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_nobody(self) -> None:
        """
        Without a connection, it is done at once, and nothing is logged.
        """
        with capturedLogs() as events:
            self.gone(self.drain())
        self.assertEqual(events, [])

    def test_idle(self) -> None:
        """
        An idle client sees the end of the stream at once, and nothing else.
        """
        client = self.connect()
        drained = self.drain()
        self.network.wait(2 * QUIET_TIME)
        self.assertTrue(client.ended)
        self.assertNoResult(drained)
        self.leave(client)
        self.assertEqual(client.receive(), b"")
        self.gone(drained)

    def test_stays(self) -> None:
        """
        One that does not end its side is closed after L{LINGER_TIMEOUT} seconds, with
        no reset.
        """
        client = self.connect()
        drained = self.drain()
        self.network.wait(LINGER_TIMEOUT)
        self.assertNoResult(drained)
        self.network.wait(2 * QUIET_TIME)
        self.gone(drained)
        self.assertFalse(client.socket.cut)

    def test_waitingLine(self) -> None:
        """
        One that is quiet within a line is answered first.
        """
        client = self.connect()
        self.say(client, b"a\nb")
        self.drain()
        self.network.wait(2 * QUIET_TIME)
        self.assertEqual(client.receive(), b"B")
        self.assertTrue(client.ended)

    def test_busy(self) -> None:
        """
        A busy one is served until it goes quiet.
        """
        client = self.connect()
        drained = self.drain()
        for _ in range(50):
            self.network.wait(QUIET_TIME * 0.75)
            self.assertEqual(self.say(client, b"abc\n"), b"ABC\n")
        self.assertFalse(client.ended)
        self.network.wait(2 * QUIET_TIME)
        self.assertTrue(client.ended)
        self.leave(client)
        self.gone(drained)

    def test_busyServer(self) -> None:
        """
        Nobody is taken for quiet because the server had no time to listen: a
        check that comes late is not followed too soon by the next one.
        """
        client = self.connect()
        self.drain()
        client.send(b"abc\n")
        # For so long it has been busy in the turn that reads this.
        self.network.rightNow += QUIET_TIME * 1.95
        client.transport.doRead()
        self.network.iterateUntilIdle()
        self.assertEqual(client.receive(), b"ABC\n")
        self.network.wait(QUIET_TIME * 0.95)
        self.assertFalse(client.ended)
        self.network.wait(QUIET_TIME)
        self.assertTrue(client.ended)

    def test_busyBeforeTheCheck(self) -> None:
        """
        Nor because the check comes late, before what the client has said meanwhile
        is read.
        """
        client = self.connect()
        self.drain()
        client.send(b"abc\n")
        self.network.rightNow += QUIET_TIME * 3
        self.network.iterateUntilIdle()
        self.assertEqual(client.receive(), b"ABC\n")
        self.assertFalse(client.ended)

    def test_twice(self) -> None:
        """
        A second drain has its own time; both end together.
        """
        client = self.connect()
        first = self.drain()
        second = self.drain(1)
        self.network.wait(2 * QUIET_TIME)
        self.leave(client)
        self.gone(first)
        self.gone(second)

    def test_notTaken(self) -> None:
        """
        One that has not taken its answers is not quiet, and gets them all.
        """
        client = self.connect(window=10)
        client.send(b"abcdefgh\n" * 50)
        drained = self.drain()
        for _ in range(20):
            self.network.wait(QUIET_TIME)
            self.assertFalse(client.ended)
            client.receive(5)
        while client.receive():
            self.network.iterateUntilIdle()
        self.network.wait(2 * QUIET_TIME)
        self.assertTrue(client.ended)
        self.leave(client)
        self.gone(drained)
        self.assertEqual(client.received, client.sent.upper())
        self.assertEqual(client.protocol.undeliveredBytes, 0)

    def test_deadline(self) -> None:
        """
        When the time is up, one that is still busy gets whole answers to what
        has been read, and the end. What it goes on to say is thrown away, and
        nothing is reset while it does.
        """
        client = self.connect()
        drained = self.drain(10)
        while self.network.seconds() < 10 - QUIET_TIME:
            self.network.wait(QUIET_TIME / 2)
            self.say(client, b"abc\nd")
        self.assertFalse(client.ended)
        self.network.wait(QUIET_TIME)
        self.network.iterateUntilIdle()
        lines = client.sent.count(b"\n")
        self.assertEqual(client.received.count(b"\n"), lines)
        self.assertTrue(client.received.endswith(b"\n"))
        self.assertTrue(client.ended)
        self.assertEqual(self.say(client, b"abc\n"), b"")
        self.assertFalse(client.socket.cut)
        self.leave(client)
        self.gone(drained)

    def test_deadlineOfAStream(self) -> None:
        """
        One that does not even end then is cut off L{CLOSING_TIME} seconds later.
        """
        client = self.connect()
        drained = self.drain(10)
        while self.network.seconds() < 10 + CLOSING_TIME - QUIET_TIME:
            self.network.wait(QUIET_TIME / 2)
            self.say(client, b"abc\n")
        self.assertFalse(client.socket.closed)
        self.network.wait(QUIET_TIME)
        self.assertTrue(client.socket.cut)
        self.gone(drained)

    def test_deadlineWithoutReading(self) -> None:
        """
        So is one that does not read.
        """
        client = self.connect(window=10)
        client.send(b"abcdefgh\n" * 50)
        drained = self.drain(10)
        self.network.wait(10 + CLOSING_TIME - QUIET_TIME)
        self.assertFalse(client.socket.closed)
        self.network.wait(2 * QUIET_TIME)
        self.assertTrue(client.socket.cut)
        self.gone(drained)
        self.assertEqual(client.protocol.undeliveredBytes, 450)

    def test_noTime(self) -> None:
        """
        Without any time, all conversations end at once.
        """
        client = self.connect()
        self.say(client, b"a\nb")
        drained = self.drain(0)
        self.assertEqual(client.receive(), b"")
        self.assertTrue(client.ended)
        self.leave(client)
        self.gone(drained)

    def test_refused(self) -> None:
        """
        Those who are being turned away are waited for, too.
        """
        self.serve(maxConnections=1)
        client, other = self.connect(), self.connect()
        drained = self.drain()
        self.network.wait(2 * QUIET_TIME)
        self.leave(client)
        self.assertNoResult(drained)
        self.leave(other)
        self.gone(drained)

    def test_log(self) -> None:
        """
        While it waits, the log says each second how many connections are left,
        and how much is unsent.
        """
        for size in (10, 20):
            client = self.connect(window=0)
            client.send(b"a" * size)
            client.finish()
        self.network.iterateUntilIdle()
        with capturedLogs() as events:
            drained = self.drain(10)
            self.network.wait(2.5)
            client.socket.reset()
            self.network.wait(2)
            self.network.clients[0].socket.reset()
            self.network.wait(5)
        self.gone(drained)
        both = "Draining: 2 still open, 30 bytes unsent"
        one = "Draining: 1 still open, 10 bytes unsent"
        self.assertEqual([text(event) for event in events], [both] * 3 + [one] * 2)

    def test_closedAtOnce(self) -> None:
        """
        A transport that closes in the call that asks for it leaves nothing.
        """
        transport = ClosingAtOnce()
        transport.protocol = connectTo(self.factory, transport)
        drained = self.drain(0)
        self.gone(drained)

    def test_fault(self) -> None:
        """
        A fault ends the connection that meets it, is logged once, and keeps no
        other one from its end.
        """
        self.boom()
        client, other = self.connect(), self.connect()
        self.say(client, b"boom")
        self.say(other, b"abc")
        drained = self.drain()
        self.network.wait(2 * QUIET_TIME)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertTrue(client.socket.closed)
        self.assertEqual(other.receive(), b"ABC")
        self.leave(other)
        self.gone(drained)

    def test_faultyTransport(self) -> None:
        """
        A connection that cannot say what is unsent is logged, keeps no other one from
        its end, and has its own as soon as it can.
        """
        client, other = self.connect(), self.connect()
        faulty, _ = self.factory.connections
        with patch.object(faulty, "unsentBytes", side_effect=RuntimeError("a fault")):
            drained = self.drain(2)
            self.network.wait(2)
            self.assertTrue(other.ended)
            self.leave(other)
            self.assertFalse(client.ended)
        self.assertGreater(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.network.wait(2 * QUIET_TIME)
        self.leave(client)
        self.gone(drained)

    def test_abort(self) -> None:
        """
        All connections can be ended while it waits.
        """
        self.serve(maxConnections=1)
        client, other = self.connect(window=0), self.connect()
        client.send(b"abc\n")
        drained = self.drain()
        self.factory.abort("the reason")
        self.network.iterateUntilIdle()
        self.assertTrue(client.socket.cut)
        self.assertTrue(other.socket.cut)
        self.assertEqual(client.protocol.closingReason, "the reason")
        self.gone(drained)
