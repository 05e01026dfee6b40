"""
Tests for L{upperproto.ways.endpoints}.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.internet.tcp import Port
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from upperproto.ways.endpoints import (
    ACCEPT_AGAIN,
    ACCEPTS,
    CannotStart,
    InheritedUNIXPort,
    Inheriting,
    Listener,
    endpointFrom,
)


class CannotStartTests(SynchronousTestCase):
    """
    Tests for L{CannotStart}.
    """

    def test_bothKinds(self) -> None:
        """
        It ends a process with its message, and whoever cleans up after any
        exception meets it.
        """
        error = CannotStart("upper: because")
        self.assertIsInstance(error, SystemExit)
        self.assertIsInstance(error, Exception)
        self.assertEqual(error.code, "upper: because")
        self.assertEqual(str(error), "upper: because")


class EndpointFromTests(SynchronousTestCase):
    """
    Tests for L{endpointFrom}.
    """

    def test_endpoint(self) -> None:
        """
        A description becomes an endpoint of the reactor.
        """
        reactor = MemoryReactorClock()
        factory = Factory()
        endpointFrom(reactor, "tcp:5000:interface=127.0.0.1").listen(factory)
        self.assertEqual(reactor.tcpServers, [(5000, factory, 50, "127.0.0.1")])

    def test_notAnEndpoint(self) -> None:
        """
        Whatever is wrong with a description, the error says which it is.
        """
        for description in ["", "foo:1", "tcp", "tcp:x", "unix:a:b:c:d:e"]:
            with self.assertRaises(CannotStart) as caught:
                endpointFrom(MemoryReactorClock(), description)
            self.assertIn(f"not an endpoint: {description}", str(caught.exception))


class StubEndpoint:
    """
    An endpoint that gives what it was told to.
    """

    def __init__(self, result: Deferred[Any]) -> None:
        """
        @param result: what to give.
        """
        self.result = result

    def listen(self, factory: object) -> Deferred[Any]:
        """
        Give it.
        """
        return self.result


class ListenerTests(SynchronousTestCase):
    """
    Tests for L{Listener}.
    """

    def listener(self, endpoint: Any) -> Listener:
        """
        Make a listener.
        """
        self.reactor = MemoryReactorClock()
        return Listener(endpoint, Factory(), self.reactor)

    def test_once(self) -> None:
        """
        It listens when the process has its privileges, or when it starts, but
        only once.
        """
        reactor = MemoryReactorClock()
        for privileged in [False, True]:
            listener = self.listener(serverFromString(reactor, "tcp:5000"))
            if privileged:
                listener.privilegedStartService()
            listener.startService()
            self.assertEqual(len(reactor.tcpServers), 1)
            reactor.tcpServers.clear()

    def test_cannot(self) -> None:
        """
        If it cannot listen, it says why in one line.
        """
        reason = CannotListenError("127.0.0.1", 5000, OSError("Address in use"))
        listener = self.listener(StubEndpoint(fail(reason)))
        with self.assertRaises(CannotStart) as caught:
            listener.startService()
        self.assertEqual(
            str(caught.exception),
            "upper: Couldn't listen on 127.0.0.1:5000: Address in use.",
        )

    def test_undecided(self) -> None:
        """
        An endpoint that does not know yet whether it can listen is refused: the
        process would stay, and listen on nothing.
        """
        listener = self.listener(StubEndpoint(Deferred()))
        with self.assertRaises(CannotStart) as caught:
            listener.startService()
        self.assertIn("does not know at once", str(caught.exception))

    def test_stop(self) -> None:
        """
        It has stopped when its port has.
        """
        stopped: Deferred[None] = Deferred()

        class StubPort:
            def stopListening(self) -> Deferred[None]:
                return stopped

        listener = self.listener(StubEndpoint(succeed(StubPort())))
        listener.startService()
        waiting = listener.stopService()
        self.assertNoResult(waiting)
        stopped.callback(None)
        self.successResultOf(waiting)

    def test_stopAtOnce(self) -> None:
        """
        A port may stop at once, and say nothing.
        """
        listener = self.listener(serverFromString(MemoryReactorClock(), "tcp:5000"))
        listener.startService()
        self.successResultOf(listener.stopService())


class StubPort(Port):
    """
    A port that accepts what a test says.

    @ivar accepts: how many connections it accepts.
    @ivar queue: makes its socket readable, when something is sent.
    """

    def __init__(self, reactor: Any) -> None:
        """
        @param reactor: what it listens on.
        """
        super().__init__(0, Factory(), reactor=reactor)
        self.socket, self.queue = socket.socketpair()
        self.accepts = 0
        self.numberAccepts = 1
        self.reading = True

    def fileno(self) -> int:
        """
        Its socket's descriptor.
        """
        return self.socket.fileno()

    def doRead(self) -> None:
        """
        Accept.
        """
        self.sessionno += self.accepts

    def startReading(self) -> None:
        """
        Wait for connections.
        """
        self.reading = True

    def stopReading(self) -> None:
        """
        Wait for none.
        """
        self.reading = False

    def stopListening(self, reason: object = None) -> None:
        """
        Stop.
        """


class AcceptTests(SynchronousTestCase):
    """
    Tests for how a L{Listener} accepts.
    """

    def setUp(self) -> None:
        """
        Listen.
        """
        self.reactor = MemoryReactorClock()
        self.port = StubPort(self.reactor)
        for end in [self.port.socket, self.port.queue]:
            self.addCleanup(end.close)
        endpoint: Any = StubEndpoint(succeed(self.port))
        self.listener = Listener(endpoint, Factory(), self.reactor)
        self.listener.startService()

    def fail(self) -> None:  # type: ignore[override] # Fail to accept, here.
        """
        Be told of a connection that cannot be accepted.
        """
        self.port.queue.send(b"a connection")
        self.port.doRead()

    def test_accepted(self) -> None:
        """
        A port that accepts goes on.
        """
        self.port.accepts = 1
        self.port.queue.send(b"one more")
        self.port.doRead()
        self.assertTrue(self.port.reading)

    def test_another(self) -> None:
        """
        A port that finds no connection, because it was aborted or another
        process had it, goes on.
        """
        self.port.doRead()
        self.assertTrue(self.port.reading)

    def test_cannotAccept(self) -> None:
        """
        A port that cannot accept is left alone for a while, each time.
        """
        for _ in range(3):
            self.fail()
            self.assertFalse(self.port.reading)
            self.reactor.advance(ACCEPT_AGAIN * 0.9)
            self.assertFalse(self.port.reading)
            self.reactor.advance(ACCEPT_AGAIN * 0.2)
            self.assertTrue(self.port.reading)

    def test_stopMeanwhile(self) -> None:
        """
        When the service stops meanwhile, nothing is left in the reactor.
        """
        self.fail()
        self.successResultOf(self.listener.stopService())
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_fewAtATime(self) -> None:
        """
        However many connections wait, a bounded number is accepted in a turn.
        """
        self.port.numberAccepts = 1000
        self.port.doRead()
        self.assertEqual(self.port.numberAccepts, ACCEPTS)
        self.port.numberAccepts = 2
        self.port.doRead()
        self.assertEqual(self.port.numberAccepts, 2)


class InheritingTests(SynchronousTestCase):
    """
    Tests for L{Inheriting} and L{InheritedUNIXPort}.
    """

    def setUp(self) -> None:
        """
        Set up a reactor, and what adopts sockets in it.
        """
        self.reactor = MemoryReactorClock()
        self.adopted: list[tuple[int, int, Factory]] = []

        def adopt(descriptor: int, family: int, factory: Factory) -> None:
            self.adopted.append((descriptor, family, factory))

        self.patch(self.reactor, "adoptStreamPort", adopt)
        self.factory = Factory()
        self.factory.noisy = False

    def bind(self, family: socket.AddressFamily) -> int:
        """
        Make a socket to inherit.
        """
        bound = socket.socket(family, socket.SOCK_STREAM)
        self.addCleanup(bound.close)
        return bound.fileno()

    def test_none(self) -> None:
        """
        Where nothing is inherited, endpoints listen as ever.
        """
        inheriting = Inheriting(self.reactor)
        inheriting.listenTCP(5000, self.factory, backlog=7, interface="::1")
        inheriting.listenUNIX("/s", self.factory, backlog=7, mode=0o600, wantPID=True)
        self.assertEqual(self.reactor.tcpServers, [(5000, self.factory, 7, "::1")])
        self.assertEqual(
            self.reactor.unixServers, [("/s", self.factory, 7, 0o600, True)]
        )
        self.assertIs(inheriting.callLater.__self__, self.reactor)

    def test_inOrder(self) -> None:
        """
        Endpoints take what is inherited, one after the other, whatever they
        would have made themselves; and it does not block.
        """
        first, second = self.bind(socket.AF_INET), self.bind(socket.AF_INET6)
        inheriting = Inheriting(self.reactor, [first, second])
        inheriting.adoptStreamPort(1000, socket.AF_INET, self.factory)
        inheriting.listenTCP(5000, self.factory)
        self.assertEqual(
            self.adopted,
            [
                (first, socket.AF_INET, self.factory),
                (second, socket.AF_INET6, self.factory),
            ],
        )
        self.assertFalse(os.get_blocking(first))

    def test_adopt(self) -> None:
        """
        An endpoint that knows of a socket gets this one.
        """
        known = self.bind(socket.AF_INET)
        Inheriting(self.reactor).adoptStreamPort(known, socket.AF_INET, self.factory)
        self.assertEqual(self.adopted, [(known, socket.AF_INET, self.factory)])

    def test_unix(self) -> None:
        """
        A UNIX socket stays in the hands of whoever made it.
        """
        name = b"\0upper-test-of-inheriting"
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(name)
            bound.listen(7)
            inheriting = Inheriting(self.reactor, [bound.fileno()])
            port = inheriting.listenUNIX("/elsewhere", self.factory)
            self.assertIsInstance(port, InheritedUNIXPort)
            self.assertIn(port, self.reactor.readers)
            self.assertEqual(port.getHost().name, name)
            stopped = port.stopListening()
            self.reactor.advance(0)
            self.successResultOf(stopped)
            # It still listens.
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(name)
