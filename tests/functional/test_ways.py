"""
The promises of the service, on each way in.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import TIME_LIMIT, Server
from tests.functional.ways import (
    Client,
    IPv6Way,
    Proxy2Way,
    ProxyTLSWay,
    ProxyUNIXWay,
    ProxyWay,
    TLS12Way,
    TLSWay,
    UNIXWay,
    Way,
)

MEGABYTE = 1_000_000

if TYPE_CHECKING:
    _Case = SynchronousTestCase
else:
    # Else it would be collected, and run without a way.
    _Case = object


class WayTestsMixin(_Case):
    """
    A server that listens for one way in.

    @cvar makeWay: gives the way.
    """

    makeWay: Callable[[], Way]

    def setUp(self) -> None:
        """
        Prepare the way.
        """
        self.way = type(self).makeWay()
        self.addCleanup(shutil.rmtree, self.way.folder)

    def serve(self, *options: str) -> Server:
        """
        Make the server.
        """
        return Server(*self.way.options(), *options)

    def connect(self, server: Server) -> Client:
        """
        Come to it.
        """
        client = self.way.connect(server)
        self.addCleanup(client.close)
        return client

    def test_end(self) -> None:
        """
        A client whose last line and whose end come in one segment is answered
        in full, every time, and then our side ends in order. The log has its
        address.
        """
        with self.serve() as server:
            for _ in range(20):
                client = self.connect(server)
                client.end("straße\nthe last line".encode())
                self.assertEqual(client.receiveAll(), b"STRASSE\nTHE LAST LINE")
            server.waitFor(r"closed after .*: closed by the client; 21 bytes in")
            log = server.stop()
        self.assertEqual(log.count(f"Connection from {self.way.peer}"), 40, log)
        self.assertNotIn("Traceback", log)

    def test_slowReader(self) -> None:
        """
        50 MB from a client that does not read, until nothing moves any more,
        arrive whole, and the server has not held them in memory.
        """
        line = b"the quick brown fox jumps over the lazy dog, and again 123456\n"
        said = line * (50 * MEGABYTE // len(line))
        with self.serve() as server:
            client = self.connect(server)
            before = server.memory()
            begun = client.stuff(said)
            self.assertLess(begun, len(said))
            self.assertLess(server.memory() - before, 10 * MEGABYTE)
            received = client.unstuff(said[begun:])
            client.end()
            received += client.receiveAll()
            self.assertTrue(received == said.upper(), len(received))
            server.waitFor(r"closed by the client; .* 0 undelivered")

    def test_drain(self) -> None:
        """
        At the end of the service, a quiet client is sent an orderly end, and
        one that has not taken its answers gets them all before.
        """
        said = b"the quick brown fox jumps over the lazy dog\n" * MEGABYTE
        with self.serve("--drain", "30") as server:
            quiet, slow = self.connect(server), self.connect(server)
            quiet.send(b"hello\n")
            self.assertEqual(quiet.receive(), b"HELLO\n")
            begun = slow.stuff(said)
            self.assertLess(begun, len(said))
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(quiet.receiveAll(), b"")
            quiet.end()
            received = slow.unstuff() + slow.receiveAll()
            self.assertTrue(received == said[:begun].upper(), len(received))
            slow.end()
            server.process.wait(TIME_LIMIT)
            log = server.log()
        self.assertIn(": the service is shutting down; 6 bytes in", log)
        self.assertNotIn("Traceback", log)

    def test_idle(self) -> None:
        """
        A client that says nothing is told so, and then our side ends in order.
        """
        with self.serve("--idle-timeout", "0.2") as server:
            client = self.connect(server)
            self.assertEqual(client.receiveAll(), b"error: idle for 0.2 s\n")

    def test_turnedAway(self) -> None:
        """
        A client for which there is no place is told so, and then our side ends
        in order.
        """
        with self.serve("--max-connections", "1") as server:
            first, second = self.connect(server), self.connect(server)
            self.assertEqual(second.receiveAll(), b"error: too many connections\n")
            first.end(b"hello\n")
            self.assertEqual(first.receiveAll(), b"HELLO\n")


class TCPTests(WayTestsMixin, SynchronousTestCase):
    """
    TCP over IPv4.
    """

    makeWay = Way


class IPv6Tests(WayTestsMixin, SynchronousTestCase):
    """
    TCP over IPv6.
    """

    makeWay = IPv6Way


class UNIXTests(WayTestsMixin, SynchronousTestCase):
    """
    A UNIX socket.
    """

    makeWay = UNIXWay


class TLSTests(WayTestsMixin, SynchronousTestCase):
    """
    TLS 1.3.
    """

    makeWay = TLSWay


class TLS12Tests(WayTestsMixin, SynchronousTestCase):
    """
    TLS 1.2.
    """

    makeWay = TLS12Way


class ProxyTests(WayTestsMixin, SynchronousTestCase):
    """
    The PROXY protocol, version 1.
    """

    makeWay = ProxyWay


class Proxy2Tests(WayTestsMixin, SynchronousTestCase):
    """
    The PROXY protocol, version 2.
    """

    makeWay = Proxy2Way


class ProxyTLSTests(WayTestsMixin, SynchronousTestCase):
    """
    The PROXY protocol, with TLS behind it.
    """

    makeWay = ProxyTLSWay


class ProxyUNIXTests(WayTestsMixin, SynchronousTestCase):
    """
    The PROXY protocol over a UNIX socket.
    """

    makeWay = ProxyUNIXWay
