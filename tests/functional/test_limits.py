"""
The limits hold exactly, and running out of descriptors is survived.
"""

from __future__ import annotations

import random
import re
import resource
import socket
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import (
    Server,
    allowDescriptors,
    chooseReactor,
    eventually,
    receiveAll,
    reset,
)

FULL = b"error: too many connections\n"


def isServed(connection: socket.socket) -> bool:
    """
    Ask something, and tell whether the connection has a place.
    """
    try:
        connection.sendall(b"a\n")
        return connection.recv(100) == b"A\n"
    except ConnectionError:
        return False


class CapTests(SynchronousTestCase):
    """
    C{--max-connections} and C{--max-per-peer}.
    """

    def test_oneTooMany(self) -> None:
        """
        The one beyond the limit is told so and closed; a place that is given
        back is given to the next.
        """
        with Server("--max-connections", "3") as server:
            held = [server.connect() for _ in range(3)]
            self.assertTrue(all(map(isServed, held)))
            for _ in range(3):
                with server.connect() as another:
                    self.assertEqual(receiveAll(another), FULL)
                held.pop().close()
                eventually(lambda: self.takesPlace(server, held), "the place")
            for connection in held:
                connection.close()

    def takesPlace(self, server: Server, held: list[socket.socket]) -> bool:
        """
        Try to hold one more connection that is served.
        """
        connection = server.connect()
        if isServed(connection):
            held.append(connection)
            return True
        connection.close()
        return False

    def test_churn(self) -> None:
        """
        After thousands of connections that came and went in every way, as many
        are served as the limit says; not one more, not one less.
        """
        cap = 10
        choose = random.Random(5)
        with Server("--max-connections", str(cap), "--max-per-peer", "9") as server:
            before = server.descriptorsAtRest()
            held: list[socket.socket] = []
            for _ in range(2000):
                if len(held) < 20 and choose.random() < 0.5:
                    held.append(server.connect())
                elif held:
                    connection = held.pop(choose.randrange(len(held)))
                    end = choose.randrange(4)
                    try:
                        if end == 1:
                            connection.sendall(b"half a line")
                        elif end == 2:
                            connection.shutdown(socket.SHUT_WR)
                    except OSError:
                        pass  # It was one too many.
                    if end == 3:
                        reset(connection)
                    connection.close()
            for connection in held:
                connection.close()
            eventually(lambda: server.descriptors() == before, "all to close")
            held = [server.connect() for _ in range(15)]
            self.assertEqual(sum(map(isServed, held)), 9)
            others = [server.connect(source_address=("127.0.0.2", 0)) for _ in range(5)]
            self.assertEqual(sum(map(isServed, others)), 1)
            for connection in held + others:
                connection.close()

    def test_perPeer(self) -> None:
        """
        Each address has its own places, and is told when it has no more.
        """
        with Server("--max-per-peer", "2") as server:
            first, second = server.connect(), server.connect()
            self.assertTrue(isServed(first) and isServed(second))
            with server.connect() as third:
                self.assertEqual(
                    receiveAll(third), b"error: too many connections from 127.0.0.1\n"
                )
            with server.connect(source_address=("127.0.0.2", 0)) as other:
                self.assertTrue(isServed(other))
            reset(first)
            held = [second]
            eventually(lambda: self.takesPlace(server, held), "the place")
            for connection in held:
                connection.close()


class DescriptorTests(SynchronousTestCase):
    """
    C{RLIMIT_NOFILE}.
    """

    def setUp(self) -> None:
        """
        Accept as our reactor does: a bounded number at a time.
        """
        chooseReactor(self)

    def test_raised(self) -> None:
        """
        The soft limit is raised to what the caps need.
        """
        allowDescriptors(3000)
        with Server("--max-connections", "1500", descriptors=(256, 3000)) as server:
            limits = Path(f"/proc/{server.process.pid}/limits").read_text()
            found = re.search(r"Max open files +(\d+) +(\d+)", limits)
            assert found is not None
            # 1500 with a place, 1024 being told that there is none, 64 spare.
            self.assertEqual(found.groups(), ("2588", "3000"))
            self.assertNotIn("descriptors", server.log())

    def test_refused(self) -> None:
        """
        Where the system refuses, a warning says so, and every client is served
        or told that there is no place.
        """
        with Server(descriptors=(200, 200)) as server:
            server.waitFor(
                r"10000 connections need 11088 file descriptors and the system"
                r" allows 200: serving \d+ at a time"
            )
            connections = [server.connect() for _ in range(250)]
            served = [each for each in connections if isServed(each)]
            self.assertGreater(len(served), 100)
            self.assertLess(len(served), 200)
            self.assertTrue(all(map(isServed, served)))
            self.assertFalse("EMFILE" in server.log(), "it ran out of descriptors")
            for connection in connections:
                connection.close()
            self.assertEqual(server.ask(b"again\n"), b"AGAIN\n")

    def test_outOfDescriptors(self) -> None:
        """
        Out of descriptors, those who are in are served, the process sleeps, the
        log stays small, and when there are descriptors again, others are served.
        """
        with Server() as server:
            held = [server.connect() for _ in range(10)]
            self.assertTrue(all(map(isServed, held)))
            _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
            numbers = Path(f"/proc/{server.process.pid}/fd").iterdir()
            full = max(int(each.name) for each in numbers) + 1
            resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (full, hard))
            waiting = [server.connect() for _ in range(100)]
            logged, busy = len(server.log()), server.processorTime()
            held[0].settimeout(1)
            self.assertRaises(TimeoutError, held[0].recv, 1)
            self.assertTrue(all(map(isServed, held)))
            self.assertLess(server.processorTime() - busy, 0.5)
            self.assertLess(len(server.log()) - logged, 20_000)
            resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (hard, hard))
            self.assertEqual(server.ask(b"again\n"), b"AGAIN\n")
            for connection in held + waiting:
                connection.close()


class MemoryTests(SynchronousTestCase):
    """
    Tests for L{keepMemory}. Whatever else a process has done changes what its C
    library does with memory, so it has one to itself.
    """

    def test_kept(self) -> None:
        """
        Large blocks that come and go cost no page faults. (With glibc, these cost
        8,000 otherwise.)
        """
        script = """
import resource
from upperproto.limits.descriptorlimit import WORKING_MEMORY, keepMemory


def faults():
    for _ in range(100):
        [bytes(WORKING_MEMORY // 8) + b"x" for _ in range(4)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


keepMemory()
before = faults()
print(faults() - before)
"""
        output = subprocess.check_output([sys.executable, "-c", script])
        self.assertLess(int(output), 100)
