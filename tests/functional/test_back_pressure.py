"""
A client that does not take its answers costs memory that is bounded, and
nobody else's time.
"""

from __future__ import annotations

import re
import socket

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import (
    TIME_LIMIT,
    Server,
    eventually,
    receiveAll,
    reset,
    sendInBackground,
)

# What the server may hold for one client, beside what the kernel does: what it
# has read at once, and its answer, which can be three times as long.
ENOUGH = 8 << 20


def sendUntilItStalls(connection: socket.socket, text: bytes, most: int) -> int:
    """
    Send, without reading, until half a second has taken nothing.

    @param text: what is sent again and again.
    @param most: after how many bytes it is given up.
    @return: how many bytes were sent.
    """
    connection.settimeout(0.5)
    sent = 0
    try:
        while sent < most:
            sent += connection.send(text)
    except TimeoutError:
        pass
    connection.settimeout(TIME_LIMIT)
    return sent


class BackPressureTests(SynchronousTestCase):
    """
    A server, and clients that do not read.
    """

    def test_memory(self) -> None:
        """
        A client that never reads is not read from either: its sending stalls,
        and the server's memory has grown by a few MB, whatever was sent.
        """
        with Server() as server, server.connect() as connection:
            server.ask(b"warm up\n")
            before = server.memory()
            # U+0390 is three times as long in upper case.
            sent = sendUntilItStalls(connection, "ΐ\n".encode() * 20_000, 100_000_000)
            # First what it costs: a server that reads on holds 200 MB by now.
            self.assertLess(server.memory() - before, ENOUGH)
            self.assertLess(sent, 100_000_000)

    def test_othersAreServed(self) -> None:
        """
        Ten clients that never read slow nobody down: with all of them stalled,
        the server does nothing for them, and another is answered.
        """
        with Server() as server:
            stalled = [server.connect() for _ in range(10)]
            for connection in stalled:
                sendUntilItStalls(connection, b"a" * 65_535 + b"\n", 400_000_000)
            before = server.processorTime()
            with server.connect() as other:
                for _ in range(100):
                    other.sendall(b"hello\n")
                    self.assertEqual(other.recv(100), b"HELLO\n")
                # And let a second pass.
                other.settimeout(1)
                self.assertRaises(TimeoutError, other.recv, 1)
            self.assertLess(server.processorTime() - before, 0.5)
            for connection in stalled:
                connection.close()

    def test_idleTime(self) -> None:
        """
        A client that never reads is cut off at the idle time although the
        server still holds answers for it, and the log tells how much was lost.
        """
        with Server("--idle-timeout", "1") as server:
            before = server.descriptorsAtRest()
            with server.connect() as connection:
                sendUntilItStalls(connection, b"a" * 65_535 + b"\n", 400_000_000)
                lost = server.waitFor(
                    r"idle for 1 s, not reading; .* ([1-9]\d*) undelivered"
                )
                self.assertGreater(int(lost.group(1)), 65_536)
                eventually(lambda: server.descriptors() == before, "its descriptor")

    def test_fullDuplex(self) -> None:
        """
        100 MB pass in both directions at once, and nobody waits for ever.
        """
        text = (b"a" * 79 + b"\n") * 1_250_000
        with Server() as server, server.connect() as connection:
            thread = sendInBackground(connection, text)
            answer = receiveAll(connection)
            thread.join()
            self.assertTrue(answer == text.upper(), "not every byte arrived")

    def test_longAnswersAreBounded(self) -> None:
        """
        Invalid lines of one byte, whose answers are eighteen times as long, are
        answered at the pace at which the client reads.
        """
        with Server() as server, server.connect() as connection:
            server.ask(b"warm up\n")
            before = server.memory()
            sendUntilItStalls(connection, b"\xff\n" * 30_000, 400_000_000)
            self.assertLess(server.memory() - before, ENOUGH)


class AccountingTests(SynchronousTestCase):
    """
    The line that closes a connection tells what did not arrive.
    """

    def test_nothingUndelivered(self) -> None:
        """
        It is nothing, however the client ends, once it has read its answers.
        """
        with Server() as server:
            server.ask(b"all\n" * 100_000)
            with server.connect() as connection:
                connection.sendall(b"all\n")
                connection.recv(100)
            with server.connect() as connection:
                connection.sendall(b"all\n")
                connection.recv(100)
                reset(connection)
            server.waitFor(r"(?s)closed after.*closed after.*closed after.*\n")
            self.assertEqual(
                re.findall(r"(\d+) bytes out, (\d+) undelivered", server.log()),
                [("400000", "0"), ("4", "0"), ("4", "0")],
            )

    def test_cutOff(self) -> None:
        """
        A client that resets the connection instead of reading has lost what
        still waited for it.
        """
        with Server() as server, server.connect() as connection:
            sendUntilItStalls(connection, b"a" * 65_535 + b"\n", 400_000_000)
            reset(connection)
            server.waitFor(r"cut off; .* [1-9]\d* undelivered")
            self.assertEqual(server.ask(b"next\n"), b"NEXT\n")
