"""
Tests for L{upperproto.workers} and L{upperproto.worker}.
"""

from __future__ import annotations

import socket

from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from upperproto.workers import SharedSockets


class SharedSocketsTests(SynchronousTestCase):
    """
    Tests for L{SharedSockets}. They bind ports of the loopback interface, to
    which nobody connects: what C{SO_REUSEPORT} does, only the kernel knows.
    """

    def share(self, workers: int = 3) -> SharedSockets:
        """
        Stand in for a reactor.
        """
        shared = SharedSockets(workers, MemoryReactorClock())
        self.addCleanup(shared.close)
        return shared

    def test_tcp(self) -> None:
        """
        A TCP port is bound once for each worker, by the same number.
        """
        for interface in ["127.0.0.1", "::1"]:
            shared = self.share()
            shared.listenTCP(0, Factory(), backlog=7, interface=interface)
            [sockets] = shared.sockets
            self.assertEqual(len(sockets), 3)
            addresses = {each.getsockname() for each in sockets}
            self.assertEqual(len(addresses), 1)
            for each in sockets:
                self.assertFalse(each.getblocking())
                listening = each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                self.assertEqual(listening, 1)

    def test_taken(self) -> None:
        """
        A port that is taken is an error, even where another service shares it
        among its own workers.
        """
        first = self.share()
        first.listenTCP(0, Factory(), interface="127.0.0.1")
        port = first.sockets[0][0].getsockname()[1]
        second = self.share()
        with self.assertRaises(CannotListenError) as caught:
            second.listenTCP(port, Factory(), interface="127.0.0.1")
        self.assertEqual(caught.exception.port, port)
        self.assertEqual(second.sockets, [])

    def test_noSuchInterface(self) -> None:
        """
        An address that is none is an error.
        """
        with self.assertRaises(CannotListenError):
            self.share().listenTCP(0, Factory(), interface="no.such.host.invalid")
