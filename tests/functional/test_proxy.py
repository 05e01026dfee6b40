"""
The PROXY protocol, where clients and options go wrong.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import time

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import Server, failToStart, receiveAll
from tests.functional.ways import TLSWay
from upperproto.ways.handshake import HANDSHAKE_TIMEOUT

HEADER = b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 5000\r\n"


class ProxyTests(SynchronousTestCase):
    """
    A server that wants a header.
    """

    def assertRefused(self, connection: socket.socket) -> None:
        """
        Assert that a connection is closed without an answer.
        """
        with contextlib.suppress(ConnectionError):
            self.assertEqual(receiveAll(connection), b"")

    def test_refused(self) -> None:
        """
        Whoever sends something else, or goes away without a word, makes one
        line in the log each, and no traceback.
        """
        with Server("--proxy-protocol") as server:
            for said in (b"hello\n", b"PROXY TCP4 nonsense\r\n", b"\x16\x03\x01\0"):
                with server.connect() as connection:
                    connection.sendall(said)
                    self.assertRefused(connection)
            server.connect().close()
            server.waitFor("refused: closed before a PROXY header")
            log = server.stop()
        self.assertEqual(log.count("Connection from"), 4, log)
        self.assertEqual(log.count("refused: no PROXY header"), 2, log)
        self.assertEqual(log.count("refused: an invalid PROXY header"), 1, log)
        self.assertNotIn("Traceback", log)

    def test_exact(self) -> None:
        """
        What is almost a header is refused, too, in whichever pieces it comes, and the
        log says what is wrong with it.
        """
        with Server("--proxy-protocol") as server:
            for said, why in [
                (HEADER.replace(b"5000", b"5_000"), "not an address or a port"),
                (HEADER.replace(b"5000", b"05000"), "not a port"),
                (HEADER.replace(b"5000", b"5000 more"), "not an address or a port"),
                (
                    HEADER.replace(b"192.0.2.2", b"1921"),
                    "not an address of this family",
                ),
                (HEADER.replace(b"\r", b""), "not an address or a port"),
                (b"PROXY UNKNOWN " + b"x" * 93 + b"\r\n", "no CRLF within 107 bytes"),
            ]:
                for size in (1000, 7):
                    with server.connect() as connection:
                        with contextlib.suppress(ConnectionError):
                            for start in range(0, len(said), size):
                                connection.sendall(said[start : start + size])
                        self.assertRefused(connection)
                line = re.escape(f"refused: an invalid PROXY header ({why})\n")
                server.waitFor(rf"({line}[\s\S]*){{2}}")
            self.assertEqual(server.ask(HEADER + b"hello"), b"HELLO")

    def test_tls(self) -> None:
        """
        Under a header, TLS that fails is logged under the client's address, too.
        """
        way = TLSWay()
        self.addCleanup(shutil.rmtree, way.folder)
        with Server(*way.options(), "--proxy-protocol") as server:
            with server.connect() as connection:
                connection.sendall(HEADER + b"hello\n")
                with contextlib.suppress(ConnectionError):
                    receiveAll(connection)
            server.waitFor("Connection from 192.0.2.1:40000 refused: TLS handshake")

    def test_late(self) -> None:
        """
        A header that never comes is waited for in bounded time.
        """
        with Server("--proxy-protocol") as server, server.connect() as connection:
            began = time.monotonic()
            connection.sendall(HEADER[:-1])
            self.assertRefused(connection)
            self.assertGreater(time.monotonic() - began, HANDSHAKE_TIMEOUT - 1)
            server.waitFor("refused: no PROXY header within 10 s")

    def test_stranger(self) -> None:
        """
        A header is taken from the given addresses only.
        """
        options = ("--proxy-protocol", "--proxy-from", "192.0.2.10")
        with Server(*options) as server, server.connect() as connection:
            self.assertRefused(connection)
            log = server.stop()
        self.assertIn("refused: not a proxy of --proxy-from", log)
        self.assertEqual(log.count("Connection from"), 1, log)

    def test_maxPerPeer(self) -> None:
        """
        The client's address is what C{--max-per-peer} counts, in one process
        and in several.
        """
        options = ("--proxy-protocol", "--max-per-peer", "1")
        other = HEADER.replace(b"192.0.2.1 ", b"192.0.2.3 ")
        with (
            Server(*options) as server,
            server.connect() as first,
            server.connect() as second,
            server.connect() as third,
        ):
            for connection, header, answer in [
                (first, HEADER, b"HELLO\n"),
                (second, HEADER, b"error: too many connections from 192.0.2.1\n"),
                (third, other, b"HELLO\n"),
            ]:
                connection.sendall(header + b"hello\n")
                self.assertEqual(connection.recv(100), answer)

    def test_workers(self) -> None:
        """
        Several processes want a header, too.
        """
        options = ("--proxy-protocol", "--proxy-from", "127.0.0.1", "--workers", "2")
        with Server(*options) as server:
            for _ in range(10):
                self.assertEqual(server.ask(HEADER + b"hello"), b"HELLO")

    def test_options(self) -> None:
        """
        Options that make no sense end the start with a message.
        """
        for options, message in [
            (("--proxy-from", "127.0.0.1"), "--proxy-from needs --proxy-protocol"),
            (("--proxy-from", "localhost"), "--proxy-from takes ADDRESS[/BITS]: "),
            (("--proxy-from", "10.0.0.1/8"), "10.0.0.1/8 has host bits set"),
            (("--listen", "haproxy:tcp:0"), "would lose answers; use --proxy-protocol"),
        ]:
            self.assertIn(message, failToStart(*options))
