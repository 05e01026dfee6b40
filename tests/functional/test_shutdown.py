"""
What clients and the operator see when the service is told to end.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import TIME_LIMIT, Server, eventually, receiveAll
from tests.functional.test_back_pressure import sendUntilItStalls

TWIST = ("twist", "--log-format=text")


class DrainTests(SynchronousTestCase):
    """
    C{twistd}, which is sent SIGTERM.
    """

    runner: ClassVar[tuple[str, ...]] = ("twistd", "--nodaemon", "--pidfile=")
    number = signal.SIGTERM

    def serve(self, *options: str) -> Server:
        """
        Make the server.
        """
        return Server(*options, runner=self.runner)

    def signal(self, server: Server) -> None:
        """
        Send the signal.
        """
        os.kill(server.process.pid, self.number)

    def assertEnded(self, server: Server) -> None:
        """
        Assert that the process ends by the signal, as twistd has it end, and
        that it has logged no traceback.
        """
        self.assertEqual(server.process.wait(TIME_LIMIT), -self.number)
        self.assertNotIn("Traceback", server.log())
        self.assertIn("Main loop terminated", server.log())

    def test_withoutConnections(self) -> None:
        """
        It ends at once when nobody is connected.
        """
        with self.serve("--drain", "1000") as server:
            self.signal(server)
            self.assertEnded(server)

    def test_idleClient(self) -> None:
        """
        An idle client sees the end of the stream, and the process ends when
        that client has ended its side.
        """
        with self.serve("--drain", "1000") as server:
            with server.connect() as connection:
                connection.sendall(b"before\n")
                self.assertEqual(connection.recv(100), b"BEFORE\n")
                self.signal(server)
                self.assertEqual(connection.recv(100), b"")
            self.assertEnded(server)
            self.assertIn("closed after", server.log())

    def test_unfinishedLine(self) -> None:
        """
        A client that is quiet in the middle of a line has been understood so
        far, and is answered so far.
        """
        with self.serve("--drain", "1000", "--flush-after", "never") as server:
            with server.connect() as connection:
                connection.sendall(b"whole\nunfin")
                self.assertEqual(connection.recv(100), b"WHOLE\n")
                self.signal(server)
                self.assertEqual(receiveAll(connection), b"UNFIN")
            self.assertEnded(server)

    def test_refusesAtOnce(self) -> None:
        """
        While it serves a busy client to its end, it refuses new ones.
        """
        with self.serve("--drain", "1000") as server:
            with server.connect() as connection:
                # Answers wait for it, so it is busy.
                sendUntilItStalls(connection, b"a" * 9999 + b"\n", 400_000_000)
                self.signal(server)
                server.waitFor("Draining: 1 still open")
                self.assertRaises(ConnectionRefusedError, server.connect)
            self.assertEnded(server)

    def test_busyClient(self) -> None:
        """
        A client that asks without a pause is served until it is quiet, and then
        sees the end of the stream.
        """
        with self.serve("--drain", "1000") as server:
            with server.connect() as connection:

                def ask(number: int) -> None:
                    connection.sendall(b"question %d\n" % number)
                    self.assertEqual(connection.recv(100), b"QUESTION %d\n" % number)

                # Whenever the server looks, there is something new.
                asking = threading.Event()

                def keepBusy() -> None:
                    number = 0
                    while asking.is_set():
                        ask(number)
                        number += 1

                # What still waits to be accepted is reset.
                ask(0)
                asking.set()
                thread = threading.Thread(target=keepBusy, daemon=True)
                thread.start()
                self.signal(server)
                server.waitFor("(?s)Draining: 1 .*Draining: 1 ")
                asking.clear()
                thread.join()
                self.assertEqual(connection.recv(100), b"")
            self.assertEnded(server)

    def test_streamingClient(self) -> None:
        """
        A client that still sends when the drain time is up gets whole answers,
        one for each line that was read, and a clean end of stream: no reset.
        """
        with self.serve("--drain", "0.5") as server:
            with server.connect() as connection:

                def send() -> None:
                    try:
                        while True:
                            connection.sendall(b"a" * 999 + b"\n")
                    except OSError:
                        pass  # The process has ended, as it should.

                thread = threading.Thread(target=send, daemon=True)
                thread.start()
                self.assertEqual(connection.recv(1000, socket.MSG_WAITALL)[-1:], b"\n")
                self.signal(server)
                answers = receiveAll(connection)
                thread.join()
            self.assertEnded(server)
            self.assertEqual(set(answers.splitlines()), {b"A" * 999})
            self.assertEqual(answers[-1:], b"\n")
            closed = re.search(
                r"the service is shutting down; .* (\d+) bytes out, (\d+) undelivered",
                server.log(),
            )
            assert closed is not None
            self.assertEqual(int(closed.group(1)), 1000 + len(answers))
            self.assertEqual(int(closed.group(2)), 0)

    def test_slowReaderWithinDrain(self) -> None:
        """
        A client that begins to read while the service drains receives all its
        answers.
        """
        with self.serve("--drain", "1000") as server:
            with server.connect() as connection:
                sent = sendUntilItStalls(connection, b"a" * 9999 + b"\n", 400_000_000)
                self.signal(server)
                server.waitFor("Draining")
                self.assertEqual(len(receiveAll(connection)), sent)
            self.assertEnded(server)

    def test_reportsEachSecond(self) -> None:
        """
        While it waits, the log tells each second how many connections are left
        and how much is unsent. It ends when the drain time is up and a second
        more, whatever its clients do, and tells what was lost.
        """
        with self.serve("--drain", "2") as server, server.connect() as connection:
            sendUntilItStalls(connection, b"a" * 9999 + b"\n", 400_000_000)
            began = time.monotonic()
            self.signal(server)
            self.assertEnded(server)
            took = time.monotonic() - began
            self.assertGreater(took, 2)
            # 3, and what a loaded machine adds.
            self.assertLess(took, 8)
            reports = re.findall(
                r"Draining: (\d+) still open, (\d+) bytes unsent", server.log()
            )
            self.assertEqual(len(reports), 3)
            for left, unsent in reports:
                self.assertEqual(left, "1")
                self.assertGreater(int(unsent), 0)
            self.assertRegex(server.log(), r"closed after .* [1-9]\d* undelivered")

    def test_secondSignal(self) -> None:
        """
        A second signal ends it now.
        """
        with self.serve("--drain", "1000") as server, server.connect() as connection:
            sendUntilItStalls(connection, b"a" * 9999 + b"\n", 400_000_000)
            self.signal(server)
            server.waitFor("Draining")
            self.signal(server)
            self.assertEnded(server)
            self.assertRegex(server.log(), r"a second signal; .* [1-9]\d* undelivered")


class InterruptDrainTests(DrainTests):
    """
    C{twistd}, which is sent SIGINT.
    """

    number = signal.SIGINT


class TwistDrainTests(DrainTests):
    """
    C{twist}, which is sent SIGTERM.
    """

    runner = TWIST


class OtherSignalsTests(SynchronousTestCase):
    """
    What Twisted makes of other signals, and we leave as it is.
    """

    def assertEnds(self, number: int, *runner: str) -> None:
        """
        Assert that a signal ends the process at once, without a drain.
        """
        server = Server("--drain", "1000", runner=runner)
        with server, server.connect() as connection:
            connection.sendall(b"a\n")
            self.assertEqual(connection.recv(10), b"A\n")
            self.assertNotIn("shutting down", server.stop(number))
            self.assertEqual(server.process.returncode, -number)

    def test_withoutLogFile(self) -> None:
        """
        SIGHUP, SIGUSR1 and SIGUSR2 end the process at once.
        """
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            self.assertEnds(number, *DrainTests.runner)
            self.assertEnds(number, *TWIST)

    def test_rotation(self) -> None:
        """
        With a log file of its own, C{twistd} begins a new one at SIGUSR1.
        """
        # Where the server would otherwise write to standard output.
        runner = (*DrainTests.runner, "--logfile=log")
        with Server("--drain", "0", runner=runner) as server:
            os.kill(server.process.pid, signal.SIGUSR1)
            eventually(lambda: "starting on" not in server.log(), "a new log")
            self.assertEqual(server.ask(b"still here\n"), b"STILL HERE\n")
            server.waitFor("closed by the client")
