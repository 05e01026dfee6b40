"""
Floods of connections: fast, cheap, and leaving nothing behind.
"""

from __future__ import annotations

import sys
import time

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import (
    Server,
    allowDescriptors,
    chooseReactor,
    eventually,
    reset,
)

IDLE = 5000


def idleMemory(server: Server, count: int) -> float:
    """
    Measure what an idle connection costs, in bytes.
    """
    allowDescriptors(count + 200)
    descriptors, memory = server.descriptorsAtRest(), server.memory()
    connections = [server.connect() for _ in range(count)]
    eventually(lambda: server.descriptors() == descriptors + count, "all of them")
    grown = server.memory() - memory
    # They are idle, but they are served.
    for connection in connections[:: count // 10]:
        connection.sendall(b"a\n")
        assert connection.recv(10) == b"A\n"
    for connection in connections:
        connection.close()
    eventually(lambda: server.descriptors() == descriptors, "their end")
    return grown / count


def connectOneAfterAnother(server: Server, count: int) -> float:
    """
    Measure how long it takes to connect, ask and close, again and again.

    @return: seconds for all.
    """
    began = time.perf_counter()
    for _ in range(count):
        with server.connect() as connection:
            connection.sendall(b"a\n")
            assert connection.recv(10) == b"A\n"
    return time.perf_counter() - began


def resetHalfway(server: Server, count: int) -> None:
    """
    Connect, send half a line and reset, again and again.
    """
    for _ in range(count):
        connection = server.connect()
        connection.sendall(b"half a line")
        reset(connection)


class FloodTests(SynchronousTestCase):
    """
    Thousands of connections.
    """

    def setUp(self) -> None:
        """
        Accept as our reactor does: a bounded number at a time.
        """
        chooseReactor(self)

    def test_oneAfterAnother(self) -> None:
        """
        5,000 connections one after another take about a second. (The bound is for
        a machine that is busy; a short backlog took 75 seconds.)
        """
        with Server() as server:
            self.assertLess(connectOneAfterAnother(server, 5000), 30)

    def test_idle(self) -> None:
        """
        An idle connection costs about 1.5 KiB of memory; with Python 3.10, whose
        objects are larger, about 2.
        """
        most = 2048 if sys.version_info >= (3, 11) else 2560
        with Server() as server:
            self.assertLess(idleMemory(server, IDLE), most)

    def test_resets(self) -> None:
        """
        20,000 clients that connect, send half a line and reset leave nothing
        behind but two log lines each.
        """

        with Server() as server:
            descriptors = server.descriptorsAtRest()
            resetHalfway(server, 2000)
            memory = server.memory()
            resetHalfway(server, 18_000)
            self.assertEqual(server.ask(b"a\n"), b"A\n")
            eventually(lambda: server.descriptors() == descriptors, "their end")
            self.assertLess(server.memory() - memory, 2 << 20)
            lines = [
                line
                for line in server.log().splitlines()
                if "Connection from 127.0.0.1:" in line
            ]
            self.assertLessEqual(len(lines), 2 * 20_002)
            self.assertNotIn("Traceback", server.log())
