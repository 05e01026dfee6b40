"""
Tests for L{upperproto.reactor.ports}.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import tempfile
from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from tests.reactor.memory import MemoryReactor
from upperproto.reactor.ports import (
    ACCEPT_AGAIN,
    ACCEPTS,
    InheritedUNIXPort,
    ListeningSocket,
    TCPPort,
    UNIXPort,
)
from upperproto.reactor.transports import TCPServer, UNIXServer


class RecordingFactory(Factory):
    """
    A factory that notes the connections that it makes protocols for.

    @ivar made: the protocols.
    @ivar wanted: whether it wants any.
    """

    noisy = False
    wanted = True

    def __init__(self) -> None:
        """
        Begin with none.
        """
        self.made: list[Protocol] = []

    def buildProtocol(self, addr: object) -> Protocol | None:
        """
        Make one, if it is wanted.
        """
        self.made.append(Protocol())
        return self.made[-1] if self.wanted else None


class ListeningSocketTests(SynchronousTestCase):
    """
    The socket that a TCP port accepts from.
    """

    def test_replaces(self) -> None:
        """
        It takes the place of the original, of the same family and type, and does not
        block.
        """
        for family in (socket.AF_INET, socket.AF_INET6):
            original = socket.socket(family)
            number = original.fileno()
            with ListeningSocket(original) as listening:
                self.assertEqual((original.fileno(), listening.fileno()), (-1, number))
                self.assertEqual(listening.family, family)
                self.assertEqual(listening.type, socket.SOCK_STREAM)
                self.assertFalse(listening.getblocking())

    def test_accepts(self) -> None:
        """
        It accepts as any socket does.
        """
        path = os.path.join(self.mktemp(), "socket")
        os.makedirs(os.path.dirname(path))
        original = socket.socket(socket.AF_UNIX)
        original.bind(path)
        original.listen()
        with ListeningSocket(original) as listening:
            self.assertRaises(BlockingIOError, listening.accept)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                accepted, _ = listening.accept()
            with accepted:
                self.assertEqual(accepted.family, socket.AF_UNIX)
                self.assertEqual(accepted.recv(1), b"")


class AcceptTests(SynchronousTestCase):
    """
    How ports accept.
    """

    def setUp(self) -> None:
        """
        Listen.
        """
        self.reactor = MemoryReactor()
        self.addCleanup(self.reactor.close)
        self.factory = RecordingFactory()
        self.port = self.reactor.listen(self.factory)

    def knock(self, count: int) -> None:
        """
        Let some connections wait to be accepted.
        """
        for _ in range(count):
            self.reactor.knock(self.port)

    def accepted(self) -> int:
        """
        How many connections an iteration accepts.
        """
        before = len(self.factory.made)
        self.reactor.iterate(0)
        return len(self.factory.made) - before

    def listening(self) -> bool:
        """
        Whether the reactor waits for connections.
        """
        return self.port in self.reactor.getReaders()

    def test_transport(self) -> None:
        """
        A connection gets a transport of the reactor's own.
        """
        self.knock(1)
        self.reactor.iterate(0)
        self.assertIsInstance(self.factory.made[0].transport, TCPServer)
        self.assertIs(TCPPort.transport, TCPServer)
        self.assertIs(UNIXPort.transport, UNIXServer)
        self.assertTrue(issubclass(UNIXPort, TCPPort))

    def test_bounded(self) -> None:
        """
        However many connections wait, a bounded number is accepted in an iteration, and
        all in time.
        """
        self.knock(3 * ACCEPTS + 1)
        self.assertEqual(self.accepted(), ACCEPTS)
        self.assertEqual(self.accepted(), ACCEPTS)
        for _ in range(10):
            self.reactor.iterate(0)
        self.assertEqual(len(self.factory.made), 3 * ACCEPTS + 1)
        self.assertTrue(self.listening())

    def test_none(self) -> None:
        """
        A port that finds no connection, because it was aborted or another process had
        it, goes on.
        """
        self.port.doRead()
        self.assertTrue(self.listening())

    def test_cannot(self) -> None:
        """
        A port that cannot accept is left alone for a while, each time, and accepts when
        it can again.
        """
        for error in (errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
            self.port.socket.error = error
            self.knock(2)
            for _ in range(3):
                self.assertEqual(self.accepted(), 0)
                self.assertFalse(self.listening())
                self.reactor.now += ACCEPT_AGAIN * 0.9
                self.assertEqual(self.accepted(), 0)
                self.assertFalse(self.listening())
                self.reactor.now += ACCEPT_AGAIN * 0.2
                self.reactor.runUntilCurrent()
                self.assertTrue(self.listening())
            self.port.socket.error = 0
            self.reactor.iterateUntilIdle()
            self.assertEqual(self.port.socket.waiting, [])
        stopped = self.port.stopListening()
        self.reactor.iterate(0)
        self.successResultOf(stopped)

    def test_late(self) -> None:
        """
        A connection that comes just after the port has found no other keeps nobody
        waiting.
        """
        build = self.factory.buildProtocol

        def buildLast(address: object) -> Protocol | None:
            self.port.socket.error = errno.EWOULDBLOCK
            return build(address)

        self.patch(self.factory, "buildProtocol", buildLast)
        self.knock(2)
        self.assertEqual(self.accepted(), 1)
        self.assertTrue(self.listening())
        self.port.socket.error = 0
        self.assertEqual(self.accepted(), 1)

    def test_unwanted(self) -> None:
        """
        Connections that the factory does not want keep no other waiting.
        """
        self.factory.wanted = False
        self.knock(5 * ACCEPTS)
        self.reactor.iterateUntilIdle()
        self.assertEqual(len(self.factory.made), 5 * ACCEPTS)
        self.assertTrue(self.listening())

    def test_stopped(self) -> None:
        """
        When it stops meanwhile, nothing is left in the reactor, and nobody is accepted.
        """
        for stop in ("stopListening", "loseConnection"):
            self.port.socket.error = errno.ENFILE
            self.knock(1)
            self.reactor.iterate(0)
            self.assertFalse(self.listening())
            stopped = getattr(self.port, stop)()
            self.reactor.now += ACCEPT_AGAIN * 2
            self.reactor.iterate(0)
            self.successResultOf(stopped)
            self.assertEqual(self.reactor.getDelayedCalls(), [])
            self.assertEqual(self.factory.made, [])
            self.port = self.reactor.listen(self.factory)

    def test_readable(self) -> None:
        """
        A real port knows whether a connection waits.
        """
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("")
            bound.listen()
            port = UNIXPort(b"", self.factory, reactor=self.reactor)
            port.fileno = bound.fileno  # type: ignore[method-assign] # as it does
            self.assertFalse(port._readable())
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(bound.getsockname())
                self.assertTrue(port._readable())


class InheritedUNIXPortTests(SynchronousTestCase):
    """
    Tests for L{InheritedUNIXPort}.
    """

    def test_untouched(self) -> None:
        """
        The socket keeps its mode and its backlog, and is neither shut down nor removed
        at the end.
        """
        reactor = MemoryReactorClock()
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        path = os.path.join(folder, "s")
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path)
            os.chmod(path, 0o600)
            bound.listen(0)
            factory = RecordingFactory()
            port = InheritedUNIXPort(bound.fileno(), factory, reactor)
            port.startListening()
            self.assertEqual(factory.numPorts, 1)
            self.assertIn(port, reactor.readers)
            self.assertEqual(port.getHost().name, os.fsencode(path))
            self.assertNotEqual(port.fileno(), bound.fileno())
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
            clients: list[Any] = [socket.socket(socket.AF_UNIX) for _ in range(2)]
            for client in clients:
                self.addCleanup(client.close)
                client.setblocking(False)
            clients[0].connect(path)
            # The queue is full with one, as it was told to be.
            self.assertRaises(BlockingIOError, clients[1].connect, path)
            stopped = port.stopListening()
            reactor.advance(0)
            self.successResultOf(stopped)
            self.assertEqual(factory.numPorts, 0)
            self.assertTrue(os.path.exists(path))
            # It still listens.
            bound.accept()[0].close()
            clients[1].connect(path)
