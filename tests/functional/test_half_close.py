"""
Every answer reaches a client that has ended its side, whenever it reads.
"""

from __future__ import annotations

import socket
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import Server, eventually, receiveAll, sendInBackground


class HalfCloseTests(SynchronousTestCase):
    """
    Over TCP, with default options.
    """

    options: ClassVar[tuple[str, ...]] = ()

    def test_sendAndEndInOneGo(self) -> None:
        """
        A client that sends a line and ends its side in one go is answered, a
        thousand times out of a thousand.
        """
        with Server(*self.options) as server:
            for number in range(1000):
                self.assertEqual(
                    server.ask(b"hello %d\n" % number), b"HELLO %d\n" % number
                )

    def test_readerThatSleeps(self) -> None:
        """
        50 MB of answers arrive at a client that does not begin to read before
        nothing moves any more.
        """
        line = b"a" * 9999 + b"\n"
        with Server(*self.options) as server, server.connect() as connection:
            # Until the server reads no more, because we do not.
            connection.settimeout(0.5)
            sent = 0
            try:
                while sent < 50_000_000:
                    sent += connection.send((line * 10)[sent % 10_000 :])
            except TimeoutError:
                pass
            self.assertLess(sent, 50_000_000)
            connection.settimeout(60)
            rest = (line * 5000)[sent:]
            thread = sendInBackground(connection, rest)
            answer = receiveAll(connection)
            thread.join()
            self.assertTrue(answer == line.upper() * 5000, "not every byte arrived")

    def test_lateReader(self) -> None:
        """
        The answers wait for a client that begins to read when the server has
        closed its connection already.
        """
        lines = b"late\n" * 10_000
        with Server(*self.options) as server, server.connect() as connection:
            connection.sendall(lines)
            connection.shutdown(socket.SHUT_WR)
            server.waitFor(r"closed after .* 50000 bytes out, 0 undelivered")
            self.assertEqual(receiveAll(connection), lines.upper())

    def test_finishedBeforeAccepted(self) -> None:
        """
        500 clients that had sent all and ended their side before the server
        accepted them are answered.
        """
        with Server(*self.options) as server:
            server.pause()
            connections = [server.connect() for _ in range(500)]
            for number, connection in enumerate(connections):
                connection.sendall(b"early %d\n" % number)
                connection.shutdown(socket.SHUT_WR)
            server.resume()
            for number, connection in enumerate(connections):
                with connection:
                    self.assertEqual(receiveAll(connection), b"EARLY %d\n" % number)
            eventually(
                lambda: server.log().count(", 0 undelivered") == 500,
                "500 connections to close, each with all delivered",
            )


class UNIXHalfCloseTests(HalfCloseTests):
    """
    Over a UNIX socket.
    """

    options = ("--listen", "unix:socket")


class EveryOptionHalfCloseTests(HalfCloseTests):
    """
    Over TCP, with every option other than its default.
    """

    options = (
        *("--errors", "surrogateescape"),
        *("--flush-after", "0.01"),
        *("--idle-timeout", "50"),
        *("--max-connections", "600"),
        *("--max-per-peer", "550"),
        *("--log", "lines"),
        *("--drain", "1"),
        *("--backlog", "600"),
    )
