"""
Tests for L{upperproto.reactor.epoll}.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from twisted.internet import main
from twisted.internet.error import UnsupportedAddressFamily
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IPullProducer,
    IReactorSocket,
    IReactorTCP,
    IReactorTime,
    IReactorUNIX,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import capturedLogs
from twisted.python import log, threadable
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.memory import Client
from tests.reactor.memory import MemoryReactor, OneProtocolFactory
from upperproto.interfaces import IIterationEnd, IUNIXAdoption
from upperproto.reactor import epoll, transports
from upperproto.reactor.epoll import UpperReactor
from upperproto.reactor.ports import InheritedUNIXPort, TCPPort, UNIXPort
from upperproto.reactor.readsize import SMALLEST_READ
from upperproto.reactor.transports import LONG_READ

# What log messages call their system outside of any connection.
NOBODY = "-"


class Echo(Protocol):
    """
    Give back what comes, with a note in the log of each thing that happens.

    @ivar events: what has happened.
    @cvar all: what has happened to any of them, in order.
    """

    def __init__(self, events: list[object] | None = None) -> None:
        """
        @param events: where to note what happens.
        """
        self.events: list[object] = [] if events is None else events

    def dataReceived(self, data: bytes) -> None:
        """
        Give it back.
        """
        log.msg("read")
        self.events.append(data)
        assert self.transport is not None
        self.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Note why.
        """
        log.msg("lost")
        self.events.append(reason.type)


class QuietEcho(Echo):
    """
    An L{Echo} that has no use for a log context.
    """

    logContext = False


@implementer(IHalfCloseableProtocol)
class HalfCloseable(QuietEcho):
    """
    One that notes the end of its client's side.
    """

    def readConnectionLost(self) -> None:
        """
        Note it, and close.
        """
        self.events.append("half")
        assert self.transport is not None
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """
        Note it.
        """


@implementer(IPullProducer)
class Endless:
    """
    A producer that always has more.

    @ivar produced: how many pieces it has produced.
    """

    def __init__(self, transport: Any) -> None:
        """
        @param transport: what it produces for.
        """
        self.transport = transport
        self.produced = 0
        transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """
        Produce a piece.
        """
        log.msg("resumed")
        self.produced += 1
        self.transport.write(b"more")

    def stopProducing(self) -> None:
        """
        Its consumer has gone.
        """


def systems(test: SynchronousTestCase) -> list[tuple[str, str]]:
    """
    Collect what is logged from now on: each message, and the system that it names.
    """
    logged: list[tuple[str, str]] = []

    def observe(event: dict[str, Any]) -> None:
        if not event["isError"]:
            logged.append((log.textFromEventDict(event) or "", event["system"]))

    log.addObserver(observe)
    test.addCleanup(log.removeObserver, observe)
    return logged


class ReactorTestCase(SynchronousTestCase):
    """
    A reactor, connections to which are in memory.
    """

    def setUp(self) -> None:
        """
        Make the reactor.
        """
        self.reactor = MemoryReactor()
        self.addCleanup(self.reactor.close)
        self.events: list[object] = []

    def connect(
        self, protocol: Protocol | None = None, **options: int
    ) -> tuple[Client, Any]:
        """
        Connect a client to a server, an L{Echo} by default.
        """
        client = self.reactor.connect(protocol or QuietEcho(self.events), **options)
        return client, client.transport


class IterationTests(ReactorTestCase):
    """
    What is done in one iteration, and in which order.
    """

    def test_readThenSent(self) -> None:
        """
        All that can be read is read before anything is sent, and both are done in the
        iteration that has been told of it.
        """
        clients = [self.connect()[0] for _ in range(3)]
        last, _ = self.connect()

        def look(data: bytes) -> None:
            self.events.append([client.receive() for client in clients])

        self.patch(last.protocol, "dataReceived", look)
        for client in [*clients, last]:
            client.send(b"a")
        self.reactor.iterate(0)
        self.assertEqual(self.events, [b"a", b"a", b"a", [b"", b"", b""]])
        self.assertEqual([client.receive() for client in clients], [b"a"] * 3)

    def beSlow(self, *clients: Client) -> None:
        """
        Let the protocols of some clients take long for all that they read.
        """
        now = [0.0]

        def work(data: bytes) -> None:
            self.events.append("slow")
            now[0] += 2 * LONG_READ

        self.patch(transports, "perf_counter", lambda: now[0])
        for client in clients:
            self.patch(client.protocol, "dataReceived", work)
            client.send(bytes(SMALLEST_READ))
        self.reactor.iterate(0)
        self.events.clear()

    def test_sentAfterLongRead(self) -> None:
        """
        When a read has taken long, what was written is sent before the next such read.
        """
        quick, first, second = (self.connect()[0] for _ in range(3))
        self.beSlow(first, second)
        self.patch(
            second.protocol,
            "dataReceived",
            lambda data: self.events.append(quick.receive()),
        )
        quick.send(b"a")
        first.send(bytes(SMALLEST_READ))
        second.send(bytes(SMALLEST_READ))
        self.reactor.iterate(0)
        self.assertEqual(self.events, [b"a", "slow", b"a"])

    def test_readAfterLongRead(self) -> None:
        """
        Then those who are quick are read before the next such read, and each of them
        once, also if what they have sent has come meanwhile.
        """
        first, second, known, late = (self.connect()[0] for _ in range(4))
        self.beSlow(first, second)
        receive = first.protocol.dataReceived

        def receiveAndMore(data: bytes) -> None:
            receive(data)
            late.send(b"late")

        self.patch(first.protocol, "dataReceived", receiveAndMore)
        for slow in (first, second):
            slow.send(bytes(2 * SMALLEST_READ))
        known.send(b"known")
        reads: list[str] = []

        def countReads(name: str, client: Client) -> None:
            read = client.transport.doRead

            def counted() -> Any:
                reads.append(name)
                return read()

            self.patch(client.transport, "doRead", counted)

        countReads("known", known)
        countReads("late", late)
        self.reactor.iterate(0)
        quick = self.events[1:-1]
        self.assertEqual((self.events[0], self.events[-1]), ("slow", "slow"))
        self.assertEqual(sorted(quick), [b"known", b"late"])
        self.assertEqual(sorted(reads), ["known", "late"])

    def test_slowOnesInTurn(self) -> None:
        """
        Slow ones are read once in an iteration, however much they have sent.
        """
        first, second, quick = (self.connect()[0] for _ in range(3))
        self.beSlow(first, second)
        for slow in (first, second):
            slow.send(bytes(8 * SMALLEST_READ))
        self.reactor.iterate(0)
        self.assertEqual(self.events, ["slow", "slow"])
        quick.send(b"a")
        self.reactor.iterate(0)
        self.assertEqual(self.events, ["slow", "slow", "slow", b"a", "slow"])

    def test_systemCalls(self) -> None:
        """
        A round trip takes one call of C{epoll_wait} and none of C{epoll_ctl}.
        """
        client, _ = self.connect()
        for _ in range(3):
            client.send(b"a")
            self.reactor.iterate(1)
        self.assertEqual(client.receive(), b"aaa")
        self.assertEqual(self.reactor.poller.timeouts, [1, 1, 1])
        self.assertEqual(self.reactor.poller.controls, [])

    def test_callAtEnd(self) -> None:
        """
        What is asked for while events are handled is called once, before anything is
        sent; after that, before anything is waited for. A fault of it is logged, and
        keeps nothing else from being called.
        """
        verifyObject(IIterationEnd, self.reactor)
        self.patch(threadable, "ioThread", threadable.getThreadID())
        seen: list[object] = []

        def look() -> None:
            seen.append((client.receive(), len(self.reactor.poller.timeouts)))

        def fail() -> None:
            raise ZeroDivisionError

        class Asking(QuietEcho):
            def dataReceived(echo, data: bytes) -> None:  # noqa: N805 # Two selves.
                super().dataReceived(data)
                for call in (look, fail, look):
                    self.assertTrue(self.reactor.callAtEnd(call))

        # It waits until it runs.
        self.assertFalse(self.reactor.callAtEnd(look))
        client, _ = self.connect()
        self.reactor.poller.timeouts.clear()
        client.transport.protocol = Asking()
        client.transport.protocol.makeConnection(client.transport)
        client.send(b"a")
        self.reactor.iterate(0)
        self.assertEqual(seen, [(b"", 1)])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(self.reactor.callAtEnd(look))
        self.reactor.iterate(0)
        self.assertEqual(seen, [(b"", 1), (b"a", 1)])
        asked: list[bool] = []
        thread = threading.Thread(
            target=lambda: asked.append(self.reactor.callAtEnd(look))
        )
        thread.start()
        thread.join()
        self.assertEqual(asked, [False])

    def test_inOrder(self) -> None:
        """
        What a protocol writes leaves in the order in which it was written, however it
        was written.
        """
        client, transport = self.connect()
        transport.write(b"a")
        transport.writeSequence([b"b", b"c"])
        transport.write(b"d")
        self.reactor.iterate(0)
        transport.write(b"e")
        self.reactor.iterate(0)
        self.assertEqual(client.receive(), b"abcde")

    def test_waits(self) -> None:
        """
        It waits for events for as long as it is told; by default, for ever.
        """
        for timeout, waited in [(None, -1), (0, 0), (False, 0), (2.5, 2.5)]:
            self.reactor.doIteration(timeout)
            self.assertEqual(self.reactor.poller.timeouts.pop(), waited)

    def test_timer(self) -> None:
        """
        What a timer has written is sent before anything is waited for. Then nothing is,
        in that iteration: whoever noticed that it was sent may have set a timer, or may
        have stopped the reactor.
        """
        client, transport = self.connect()
        self.reactor.callLater(0, transport.write, b"a")
        self.reactor.runUntilCurrent()
        self.assertEqual(client.receive(), b"")
        self.reactor.doIteration(None)
        self.assertEqual(client.receive(), b"a")
        self.assertEqual(self.reactor.poller.timeouts, [0])

    def test_thread(self) -> None:
        """
        What a thread has written by C{callFromThread} is sent before anything is waited
        for, too.
        """
        client, transport = self.connect()
        self.reactor.callFromThread(transport.write, b"a")
        self.reactor.iterate(5)
        self.assertEqual(client.receive(), b"a")
        self.assertEqual(self.reactor.poller.timeouts, [0])

    def test_lostByTimer(self) -> None:
        """
        A connection that a timer ends is closed without waiting, and whoever stops the
        reactor then is heard.
        """
        _, transport = self.connect()
        self.patch(
            transport.protocol, "connectionLost", lambda reason: self.reactor.stop()
        )
        self.reactor.callLater(0, transport.loseConnection)
        self.reactor.callWhenRunning(lambda: None)
        self.reactor.run(installSignalHandlers=False)
        self.assertNotIn(-1, self.reactor.poller.timeouts)

    def test_bounded(self) -> None:
        """
        A producer that always has more keeps nobody waiting: between two pieces, the
        others are heard.
        """
        client, transport = self.connect(window=1000000)
        producer = Endless(transport)
        other, _ = self.connect()
        producer.produced = 0
        other.send(b"a")
        self.reactor.iterate(0)
        self.assertEqual(other.receive(), b"a")
        self.assertLessEqual(producer.produced, 2)
        self.reactor.iterateUntilIdle()
        self.assertGreater(producer.produced, 5)
        self.assertEqual(client.receive(4), b"more")

    def test_closedMeanwhile(self) -> None:
        """
        Who was closed by an earlier event of the same iteration is not called.
        """

        class Closer(QuietEcho):
            def dataReceived(self, data: bytes) -> None:
                for client in clients:
                    if client.protocol is not self:
                        client.transport.connectionLost(Failure(main.CONNECTION_LOST))
                super().dataReceived(data)

        clients = [self.connect(Closer(self.events))[0] for _ in range(2)]
        for client in clients:
            client.send(b"a")
        self.reactor.iterate(0)
        self.assertEqual(self.events, [type(main.CONNECTION_LOST), b"a"])

    def test_pausedMeanwhile(self) -> None:
        """
        Who was paused by an earlier event of the same iteration is not read.
        """

        class Pauser(QuietEcho):
            def dataReceived(self, data: bytes) -> None:
                for client in clients:
                    if client.protocol is not self:
                        client.transport.pauseProducing()
                super().dataReceived(data)

        for blocked in (False, True):
            pairs = [self.connect(Pauser(self.events), window=1) for _ in range(2)]
            clients = [client for client, _ in pairs]
            for _, transport in pairs:
                transport.write(b"too much" if blocked else b"")
            self.reactor.iterateUntilIdle()
            for client in clients:
                client.send(b"a")
            self.reactor.iterateUntilIdle()
            self.assertEqual(self.events, [b"a"])
            for _, transport in pairs:
                transport.resumeProducing()
            self.reactor.iterateUntilIdle()
            self.assertEqual(self.events, [b"a", b"a"])
            self.events.clear()

    def test_ends(self) -> None:
        """
        The end of the client's side is told to a protocol that can hear it, and is the
        end of the connection for any other; so is a reset.
        """
        for protocol, cut, expected in [
            (HalfCloseable, False, [b"a", "half", type(main.CONNECTION_DONE)]),
            (HalfCloseable, True, [b"a", type(main.CONNECTION_LOST)]),
            (QuietEcho, False, [b"a", type(main.CONNECTION_DONE)]),
            (Echo, False, [b"a", type(main.CONNECTION_DONE)]),
            (Echo, True, [b"a", type(main.CONNECTION_LOST)]),
        ]:
            events: list[object] = []
            client, _ = self.connect(protocol(events))
            client.send(b"a")
            self.reactor.iterate(0)
            client.socket.reset() if cut else client.finish()
            self.reactor.iterateUntilIdle()
            self.assertEqual(events, expected)
            self.assertTrue(client.socket.closed)

    def test_endsAtOnce(self) -> None:
        """
        One that closes because its client's side has ended, is closed before the next
        event: whoever comes next finds its place free. What it has written is sent.
        """
        closing, transport = self.connect(HalfCloseable())
        other, _ = self.connect()
        self.patch(
            other.protocol,
            "dataReceived",
            lambda data: self.events.append(closing.socket.closed),
        )
        closing.finish()
        other.send(b"a")
        transport.write(b"bye")
        self.reactor.iterate(0)
        self.assertEqual(self.events, [True])
        self.assertEqual(closing.receive(), b"bye")


class AcceptedTests(ReactorTestCase):
    """
    What becomes of a connection in the iteration that has accepted it.
    """

    def accept(self, made: Callable[[Any], object] = lambda transport: None) -> Any:
        """
        Accept a connection whose client has spoken.

        @param made: what the protocol does with its transport first.
        @return: the server's socket.
        """
        protocol = QuietEcho(self.events)
        protocol.connectionMade = lambda: made(  # type: ignore[method-assign]
            protocol.transport
        )
        port = self.reactor.listen(OneProtocolFactory(protocol))
        socket = self.reactor.knock(port)
        socket.inbound += b"a"
        self.reactor.iterate(0)
        return socket

    def test_read(self) -> None:
        """
        It is read, and answered.
        """
        self.assertEqual(self.accept().outbound, b"a")
        self.assertEqual(len(self.reactor.poller.timeouts), 1)

    def test_readLast(self) -> None:
        """
        It is read after all events of the iteration.
        """
        watch, _ = self.connect()
        watch.send(b"first")
        self.accept()
        self.assertEqual(self.events, [b"first", b"a"])

    def test_nothing(self) -> None:
        """
        Where nothing has come yet, it waits as any other does.
        """
        socket = self.accept(lambda transport: transport.socket.inbound.clear())
        self.assertEqual(self.events, [])
        socket.inbound += b"b"
        self.reactor.iterate(0)
        self.assertEqual(self.events, [b"b"])

    def test_paused(self) -> None:
        """
        It is not read if its protocol has paused it.
        """
        self.accept(lambda transport: transport.pauseProducing())
        self.reactor.iterateUntilIdle()
        self.assertEqual(self.events, [])

    def test_closed(self) -> None:
        """
        It is not read if its protocol has closed it.
        """
        socket = self.accept(lambda transport: transport.loseConnection())
        self.assertEqual(self.events, [type(main.CONNECTION_DONE)])
        self.assertTrue(socket.closed)
        self.events.clear()
        self.accept(lambda transport: transport.abortConnection())
        self.assertEqual(self.events, [])


class FaultTests(ReactorTestCase):
    """
    A fault ends the connection that meets it, with one record in the log, and no other.
    """

    def check(self, kind: type[Echo], method: str, **options: int) -> None:
        """
        Check that, for a fault of a protocol's method.
        """
        events: list[object] = []
        pairs = [self.connect(kind(events), **options) for _ in range(3)]
        broken, _ = pairs[1]
        self.patch(broken.protocol, method, lambda *arguments: 1 // 0)
        for client, _ in pairs:
            client.send(b"a")
        if method == "connectionLost":
            broken.transport.loseConnection()
        self.reactor.iterateUntilIdle()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(broken.socket.closed)
        for client, _ in [pairs[0], pairs[2]]:
            self.assertEqual(client.receive(), b"a")
            self.assertFalse(client.socket.closed)

    def test_read(self) -> None:
        """
        Where the fault comes up while it is read.
        """
        for kind in [Echo, QuietEcho]:
            self.check(kind, "dataReceived")

    def test_name(self) -> None:
        """
        The record has the name that the access log has given the connection, if it has;
        under TLS, too.
        """
        for kind in [Echo, QuietEcho]:
            for name, isWrapped in [("", False), ("a1-1", False), ("a1-2", True)]:
                client, transport = self.connect(kind())
                prefix = transport.logPrefix()
                protocol: Any = transport.protocol
                if isWrapped:
                    protocol.wrappedProtocol = SimpleNamespace(connectionID=name)
                elif name:
                    protocol.connectionID = name
                self.patch(protocol, "dataReceived", lambda *arguments: 1 // 0)
                client.send(b"a")
                with capturedLogs() as events:
                    self.reactor.iterateUntilIdle()
                self.flushLoggedErrors(ZeroDivisionError)
                [system] = [each["system"] for each in events if each.get("isError")]
                self.assertEqual(system, f"{prefix},{name}" if name else prefix)

    def test_lost(self) -> None:
        """
        Where it comes up while its end is told.
        """
        for kind in [Echo, QuietEcho]:
            self.check(kind, "connectionLost")

    def test_sent(self) -> None:
        """
        Where it comes up when something was sent.
        """
        for kind in [Echo, QuietEcho]:
            pairs = [self.connect(kind()) for _ in range(3)]
            broken, transport = pairs[1]
            producer = Endless(transport)
            self.patch(producer, "resumeProducing", lambda: 1 // 0)
            for client, _ in pairs:
                client.send(b"a")
            self.reactor.iterateUntilIdle()
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
            self.assertTrue(broken.socket.closed)
            for client, _ in [pairs[0], pairs[2]]:
                self.assertEqual(client.receive(), b"a")

    def test_reset(self) -> None:
        """
        A connection that was reset meanwhile is lost when it is sent from, and no other
        is.
        """
        for kind in [Echo, QuietEcho]:
            pairs = [self.connect(kind(self.events)) for _ in range(3)]
            for _, transport in pairs:
                transport.pauseProducing()
                transport.write(b"a")
            pairs[1][0].socket.reset()
            self.reactor.iterate(0)
            self.assertEqual(self.events.pop(), type(main.CONNECTION_LOST))
            self.assertEqual(self.events, [])
            self.assertEqual(pairs[0][0].receive(), b"a")
            self.assertEqual(pairs[2][0].receive(), b"a")


class LogContextTests(ReactorTestCase):
    """
    Whom messages of C{twisted.python.log} name.
    """

    def logged(self, kind: type[Echo]) -> list[tuple[str, str]]:
        """
        Let a connection log that it was read, that it was sent from twice, and that it
        was lost; give the messages, and whom each names.
        """
        client, transport = self.connect(kind(), window=4)
        logged = systems(self)
        client.send(b"")
        producer = Endless(transport)
        logged.clear()
        # At the end of an iteration.
        self.reactor.iterate(0)
        # When the client has read.
        self.reactor.iterate(0)
        client.receive()
        self.reactor.iterate(0)
        transport.unregisterProducer()
        self.assertEqual(producer.produced, 3)
        client.send(b"a")
        self.reactor.iterate(0)
        client.finish()
        self.reactor.iterateUntilIdle()
        return logged

    def test_ordinary(self) -> None:
        """
        An ordinary protocol's messages name its connection, as on Twisted's reactors.
        """
        name = "Echo,0,192.0.2.1"
        self.assertEqual(
            self.logged(Echo),
            [("resumed", name), ("resumed", name), ("read", name), ("lost", name)],
        )

    def test_without(self) -> None:
        """
        Those of a protocol that has no use for it name nobody, in what is done most
        often.
        """
        name = "QuietEcho,0,192.0.2.1"
        self.assertEqual(
            self.logged(QuietEcho),
            [
                ("resumed", NOBODY),
                ("resumed", name),
                ("read", NOBODY),
                ("lost", NOBODY),
            ],
        )

    def test_changed(self) -> None:
        """
        What counts is the protocol that the connection has by then.
        """
        client, transport = self.connect(QuietEcho())
        transport.protocol = other = Echo()
        other.makeConnection(transport)
        logged = systems(self)
        client.send(b"a")
        self.reactor.iterate(0)
        self.assertNotEqual(dict(logged)["read"], NOBODY)
        self.assertEqual(client.receive(), b"a")

    def test_fault(self) -> None:
        """
        A fault names its connection in any case.
        """
        for kind in [Echo, QuietEcho]:
            client, _ = self.connect(kind())
            self.patch(client.protocol, "dataReceived", lambda data: 1 // 0)
            errors: list[Any] = []

            def observe(event: dict[str, Any], errors: list[Any] = errors) -> None:
                if event["isError"]:
                    errors.append(event["system"])

            log.addObserver(observe)
            self.addCleanup(log.removeObserver, observe)
            client.send(b"a")
            self.reactor.iterate(0)
            self.flushLoggedErrors(ZeroDivisionError)
            self.assertEqual(errors, [f"{kind.__name__},0,192.0.2.1"])


class QueuedTests(ReactorTestCase):
    """
    Transports that are to be sent from at the end of the iteration.
    """

    def test_writers(self) -> None:
        """
        They are among those who wait to send, and once only.
        """
        client, transport = self.connect(window=1)
        self.assertEqual(self.reactor.getWriters(), [])
        transport.write(b"ab")
        transport.stopWriting()
        self.assertEqual(self.reactor.getWriters(), [])
        transport.startWriting()
        self.assertEqual(self.reactor.getWriters(), [transport])
        self.reactor.iterate(0)
        self.assertEqual(self.reactor.getWriters(), [transport])
        client.receive()
        self.reactor.iterate(0)
        self.assertEqual(self.reactor.getWriters(), [])

    def test_shutdown(self) -> None:
        """
        At the end of the reactor they are told so, although nothing is read from them.
        """
        _, transport = self.connect()
        transport.pauseProducing()
        transport.write(b"a")
        self.assertEqual(self.reactor.removeAll(), [transport])
        self.assertEqual(self.reactor.removeAll(), [])
        transport.connectionLost(Failure(main.CONNECTION_LOST))
        _, transport = self.connect()
        transport.pauseProducing()
        transport.write(b"a")
        self.events.clear()
        self.reactor.disconnectAll()
        self.assertEqual(self.events, [type(main.CONNECTION_LOST)])

    def test_closed(self) -> None:
        """
        One that is closed meanwhile is sent from no more.
        """
        client, transport = self.connect()
        transport.write(b"a")
        transport.connectionLost(Failure(main.CONNECTION_LOST))
        self.reactor.iterate(0)
        self.assertEqual(client.receive(), b"")
        self.assertEqual(self.reactor.getWriters(), [])


class RealTests(SynchronousTestCase):
    """
    Tests for L{UpperReactor} on the epoll of the system.
    """

    def setUp(self) -> None:
        """
        Make a reactor.
        """
        self.reactor = UpperReactor()
        self.addCleanup(self.reactor._poller.close)
        self.addCleanup(self.reactor.waker.connectionLost, None)
        self.factory = Factory()
        self.factory.noisy = False

    def test_interfaces(self) -> None:
        """
        It provides what Twisted's reactor does.
        """
        for interface in (
            IReactorTCP,
            IReactorUNIX,
            IReactorSocket,
            IReactorTime,
            IUNIXAdoption,
        ):
            verifyObject(interface, self.reactor)

    def test_whatItReliesOn(self) -> None:
        """
        C{EPollReactor} has the parts that are relied on, and events of descriptors
        that are no connections, such as pipes, are handled.
        """
        for name in ("_doReadOrWrite", "_disconnectSelectable"):
            self.assertTrue(callable(getattr(self.reactor, name)))
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        events: list[bytes] = []

        class Pipe:
            def fileno(self) -> int:
                return reader

            def logPrefix(self) -> str:
                return "pipe"

            def doRead(self) -> None:
                events.append(os.read(reader, 10))

            def connectionLost(self, reason: Failure) -> None:
                events.append(b"lost")

        self.reactor.addReader(Pipe())
        self.assertIn(reader, self.reactor._reads)
        self.assertIn(reader, self.reactor._selectables)
        os.write(writer, b"abc")
        self.reactor.doIteration(5)
        os.close(writer)
        self.reactor.doIteration(5)
        self.assertEqual(events, [b"abc", b"lost"])

    def test_ports(self) -> None:
        """
        It listens on its own ports, on sockets that it is given, too.
        """
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        path = os.path.join(folder, "s")
        ports: list[Any] = [
            self.reactor.listenTCP(0, self.factory, interface="127.0.0.1"),
            self.reactor.listenUNIX(path, self.factory),
        ]
        for port, family in zip(
            list(ports), (socket.AF_INET, socket.AF_UNIX), strict=True
        ):
            ports.append(
                self.reactor.adoptStreamPort(port.fileno(), family, self.factory)
            )
        kinds = [TCPPort, UNIXPort, TCPPort, InheritedUNIXPort]
        self.assertEqual([type(port) for port in ports], kinds)
        stopped = [port.stopListening() for port in reversed(ports)]
        self.reactor.iterate(0)
        for each in stopped:
            self.successResultOf(each)

    def test_otherFamilies(self) -> None:
        """
        It adopts no socket of a family that it does not know.
        """
        with self.assertRaises(UnsupportedAddressFamily):
            self.reactor.adoptStreamPort(0, socket.AF_NETLINK, self.factory)

    def test_install(self) -> None:
        """
        It can be made the reactor of the process.
        """
        installed: list[object] = []
        self.patch(epoll, "installReactor", installed.append)
        epoll.install()
        [reactor] = installed
        assert isinstance(reactor, UpperReactor)
        reactor._poller.close()
        reactor.waker.connectionLost(None)
        self.assertNotIn(reactor, sys.modules.values())
