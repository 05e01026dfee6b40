"""
Tests for L{upperproto.processes.sockets}. They bind ports of the loopback interface,
to which nobody connects: what C{SO_REUSEPORT} does, only the kernel knows.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.processes.spawning import SpawningReactor
from upperproto.processes import sockets
from upperproto.processes.sockets import CannotShare, SharedSockets, Workers


class FakePort:
    """
    A port with a socket that does not listen.

    @ivar events: what it was told.
    @ivar error: what keeps it from stopping.
    """

    error: Exception | None = None

    def __init__(self, bound: socket.socket) -> None:
        """
        @param bound: its socket.
        """
        self.socket = bound
        self.events: list[str] = []

    def stopReading(self) -> None:
        """
        Note it.
        """
        self.events.append("stopReading")

    def stopListening(self) -> None:
        """
        Note it.
        """
        self.events.append("stopListening")
        if self.error is not None:
            raise self.error


class SharedSocketsTests(SynchronousTestCase):
    """
    Tests for L{SharedSockets}.
    """

    def setUp(self) -> None:
        """
        Make a reactor.
        """
        self.reactor = SpawningReactor()

    def share(self) -> SharedSockets:
        """
        Stand in for it, for three workers.
        """
        shared = SharedSockets(3, self.reactor)
        self.addCleanup(self.close, shared)
        return shared

    def close(self, shared: SharedSockets) -> None:
        """
        Close the sockets, and let the ports stop.
        """
        closed = shared.close()
        self.reactor.advance(0)
        self.successResultOf(closed)

    def test_tcp(self) -> None:
        """
        A TCP port is bound once for each worker, by the same number, and the reactor
        accepts nothing from it.
        """
        for interface in ["127.0.0.1", "::1"]:
            shared = self.share()
            shared.listenTCP(0, Workers(), backlog=7, interface=interface)
            [bound] = shared.sockets
            self.assertEqual(len(set(bound)), 3)
            addresses = {each.getsockname() for each in bound}
            self.assertEqual([each[0] for each in addresses], [interface])
            for each in bound:
                self.assertFalse(each.getblocking())
                listening = each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                self.assertEqual(listening, 1)
            self.assertEqual(self.reactor.getReaders(), [])

    def test_taken(self) -> None:
        """
        A port that is taken is an error, even where another service shares it
        among its own workers.
        """
        first = self.share()
        first.listenTCP(0, Workers(), interface="127.0.0.1")
        port = first.sockets[0][0].getsockname()[1]
        second = self.share()
        with self.assertRaises(CannotListenError) as caught:
            second.listenTCP(port, Workers(), interface="127.0.0.1")
        self.assertEqual(caught.exception.port, port)
        self.assertEqual(second.sockets, [])

    def test_refused(self) -> None:
        """
        What the reactor refuses is refused with its words.
        """
        for port, interface in [(0, "no.such.host.invalid"), (70000, "127.0.0.1")]:
            errors = []
            for listening in (self.reactor, self.share()):
                with self.assertRaises(Exception) as caught:
                    listening.listenTCP(port, Workers(), interface=interface)
                errors.append(repr(caught.exception))
            self.assertEqual(errors[0], errors[1])

    def test_outOfDescriptors(self) -> None:
        """
        Where there is no descriptor for the second socket, the first can be closed.
        """

        class System:
            SOL_SOCKET, SO_REUSEPORT = socket.SOL_SOCKET, socket.SO_REUSEPORT
            SOCK_STREAM = socket.SOCK_STREAM

            @staticmethod
            def socket(*arguments: object) -> None:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        shared = self.share()
        self.patch(sockets, "socket", System)
        with self.assertRaises(OSError):
            shared.listenTCP(0, Workers(), interface="127.0.0.1")
        [[first]] = shared.sockets
        self.close(shared)
        self.assertEqual(first.fileno(), -1)

    def test_udp(self) -> None:
        """
        A UDP port is bound once for each worker, beside the first TCP port; one that is
        taken is an error.
        """
        shared = self.share()
        first = shared.listenTCP(0, Workers(), interface="127.0.0.1")
        shared.listenUDP("same", "::")
        bound = shared.sockets[-1]
        self.assertEqual(len(set(bound)), 3)
        address = ("127.0.0.1", first.getHost().port)
        self.assertEqual({each.getsockname() for each in bound}, {address})
        self.assertRaises(CannotListenError, shared.listenUDP, address[1], "::")
        self.assertEqual(len(shared.sockets), 2)

    def test_tls(self) -> None:
        """
        TLS is the workers': its port is bound like any other.
        """
        shared = self.share()
        shared.listenSSL(0, Workers(), object(), backlog=7, interface="127.0.0.1")
        self.assertEqual(len(shared.sockets[0]), 3)

    def test_once(self) -> None:
        """
        A UNIX socket, and one that was inherited, are accepted from by all workers.
        When they are closed the port stops, too; it finds them closed, and so cannot
        shut down what the workers listen on.
        """
        for listen in ("listenUNIX", "adoptStreamPort"):
            bound = socket.socket()
            self.addCleanup(bound.close)
            port = FakePort(bound)
            setattr(self.reactor, listen, lambda *arguments, port=port: port)
            shared = self.share()
            self.assertIs(getattr(shared, listen)("where", Factory()), port)
            self.assertEqual(shared.sockets, [[bound] * 3])
            self.assertEqual(port.events, ["stopReading"])
            self.successResultOf(shared.close())
            self.assertEqual(port.events, ["stopReading", "stopListening"])
            self.assertEqual(bound.fileno(), -1)
            self.assertEqual(shared.sockets, [])

    def test_notStopped(self) -> None:
        """
        What keeps a port from stopping in order, such as a UNIX socket that somebody
        has removed, is logged, and is no failure.
        """
        bound = socket.socket()
        port = FakePort(bound)
        port.error = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        reactor: Any = self.reactor
        reactor.listenUNIX = lambda *arguments: port
        shared = self.share()
        shared.listenUNIX("where", Workers())
        with capturedLogs() as events:
            self.successResultOf(shared.close())
        self.assertEqual(bound.fileno(), -1)
        [event] = events
        self.assertIn("No such file", formatEvent(event))

    def test_notShared(self) -> None:
        """
        What wants more than a socket that listens cannot be shared.
        """
        shared: Any = self.share()
        with self.assertRaises(CannotShare):
            shared.addReader(object())
        with self.assertRaises(CannotShare):
            Workers().buildProtocol(object())
