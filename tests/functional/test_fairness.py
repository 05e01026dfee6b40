"""
Whoever streams as fast as it can leaves time for the others.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import TIME_LIMIT, Server, chooseReactor

# Streams one text without end, and throws the answers away. A process, lest it
# share an interpreter with the client whose round trips are measured.
STREAM = """
import socket, sys, threading
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
text = bytes.fromhex(sys.argv[2])
text *= 65536 // len(text)
def read():
    buffer = bytearray(1 << 20)
    while connection.recv_into(buffer):
        pass
threading.Thread(target=read, daemon=True).start()
connection.sendall(text * 8)
print("streaming", flush=True)
while True:
    connection.sendall(text)
"""

# The costliest bytes that there are, each of its kind.
TEXTS = {
    "characters that double": ("ß" * 39 + "\n").encode(),
    "characters that triple": ("ΐ" * 39 + "\n").encode(),
    "invalid lines of one byte": b"\xff\n",
    "invalid lines": b"a" * 78 + b"\xff\n",
    "empty lines": b"\n",
    "a line that never ends": b"a",
}


def roundTrips(server: Server, count: int) -> list[float]:
    """
    Measure how long another client waits for its answers, in seconds.
    """
    times = []
    with server.connect() as connection:
        for _ in range(count):
            began = time.perf_counter()
            connection.sendall(b"hello\n")
            assert connection.recv(100) == b"HELLO\n"
            times.append(time.perf_counter() - began)
    return times


def roundTripsBesides(server: Server, text: bytes, count: int) -> list[float]:
    """
    Measure it while four clients stream a text.
    """
    streams = [
        subprocess.Popen(
            [sys.executable, "-c", STREAM, str(server.port), text.hex()],
            stdout=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    try:
        for stream in streams:
            assert stream.stdout is not None
            assert stream.stdout.readline() == b"streaming\n"
        return roundTrips(server, count)
    finally:
        for stream in streams:
            stream.kill()
            stream.communicate(timeout=TIME_LIMIT)


class FairnessTests(SynchronousTestCase):
    """
    Four clients stream the costliest text; another asks.
    """

    def setUp(self) -> None:
        """
        Read as our reactor does: as much as takes a bounded time.
        """
        chooseReactor(self)

    def test_roundTrips(self) -> None:
        """
        While the other waits for its answer, the server handles a few reads of each
        stream. (That is a number of bytes, at the pace that the log tells, and so
        the same on a machine of any speed; L{tests.functional.figures} has the times.)
        """
        for name, text in TEXTS.items():
            with Server() as server:
                median = statistics.median(roundTripsBesides(server, text, 50))
                log = server.stop()
            paces = [
                int(bytesIn) / float(seconds)
                for seconds, bytesIn in re.findall(
                    r"closed after (\S+) s: .*; (\d{4,}) bytes in", log
                )
            ]
            self.assertEqual(len(paces), 4, name)
            # How much is read at a time follows the time that it costs.
            if name == "invalid lines of one byte":
                read = 4 << 10
            elif name == "invalid lines":
                read = 16 << 10
            elif name == "characters that triple":
                read = 64 << 10
            else:
                read = 256 << 10
            self.assertLess(median * statistics.mean(paces), 8 * read, name)
