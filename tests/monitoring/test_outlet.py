"""
Tests for L{upperproto.monitoring.outlet}.
"""

from __future__ import annotations

import os
import socket
import sys
from errno import EACCES
from fcntl import F_GETPIPE_SZ, fcntl
from tempfile import TemporaryFile
from typing import IO, Any

from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogEvent, Logger, LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from upperproto.monitoring.outlet import LIMIT, Outlet, _withoutWaiting, unblock


class OutletTests(SynchronousTestCase):
    """
    An outlet into a pipe.
    """

    def setUp(self) -> None:
        """
        Make both.
        """
        self.reader, self.writer = os.pipe()
        self.addCleanup(os.close, self.reader)
        # The thread of the outlet may still write to it when a test ends.
        self.outlet = Outlet(self.writer, "ascii")

    def read(self, count: int) -> bytes:
        """
        Read a number of bytes.
        """
        data = b""
        while len(data) < count:
            data += os.read(self.reader, count - len(data))
        return data

    def test_inOrder(self) -> None:
        """
        Records come out in order, and each is reported as written.
        """
        self.assertEqual(self.outlet.write("a\n"), 2)
        self.assertEqual(self.outlet.write("bc\n"), 3)
        self.assertEqual(self.read(5), b"a\nbc\n")

    def test_encoding(self) -> None:
        """
        What the encoding lacks is escaped.
        """
        self.assertEqual(self.outlet.write("é\n"), 2)
        self.assertEqual(self.read(5), b"\\xe9\n")

    def test_lost(self) -> None:
        """
        Whole records are lost when too much waits. When there is room again,
        a warning says how many lines.
        """
        size = fcntl(self.writer, F_GETPIPE_SZ)
        for length in (size, LIMIT):
            self.outlet.write("a" * (length - 1) + "\n")
        self.outlet.write("b\n")
        self.outlet.write("b\nb\n")
        for length in (size, LIMIT):
            self.assertEqual(self.read(length), b"a" * (length - 1) + b"\n")
        self.outlet.finish()
        events: list[LogEvent] = []
        observe: Any = events.append
        self.patch(Outlet, "_log", Logger(observer=observe))
        # Its thread has written the first, but may not have counted it yet.
        while not events:
            self.outlet.write("c\n")
        (event,) = events
        self.assertEqual(event["log_level"], LogLevel.warn)
        self.assertGreaterEqual(event["lost"], 3)
        self.assertIn("lines of the log are lost here", formatEvent(event))
        self.assertEqual(self.read(2), b"c\n")

    def test_atOnce(self) -> None:
        """
        What nobody has to wait for is there at once, even if a thread has waited
        before.
        """
        text = "a" * (LIMIT - 1) + "\n"
        self.outlet.write(text)
        self.assertEqual(self.read(LIMIT), text.encode())
        self.outlet.finish()
        self.outlet.write("b\n")
        self.assertEqual(self.read(2), b"b\n")
        os.set_blocking(self.reader, False)
        outlet = Outlet(self.writer, "utf-8")
        for record in ("c\n", "d\n"):
            outlet.write(record)
            self.assertEqual(os.read(self.reader, 10), record.encode())

    def test_otherDescriptors(self) -> None:
        """
        A socket and a terminal are not waited for either, and stay as they are
        for those who share them.
        """
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        for reader, writer in [(theirs.fileno(), ours.fileno()), (master, slave)]:
            self.assertIsNotNone(_withoutWaiting(writer))
            outlet = Outlet(writer, "utf-8")
            outlet.write("a")
            self.assertEqual(os.read(reader, 10), b"a")
            self.assertTrue(os.get_blocking(writer))

    def test_noWay(self) -> None:
        """
        Where there is no way to write without waiting, the thread writes all.
        """

        def refuse(path: str, flags: int) -> None:
            raise PermissionError(EACCES, "Permission denied", path)

        self.patch(os, "open", refuse)
        self.assertIsNone(_withoutWaiting(self.writer))
        outlet = Outlet(self.writer, "utf-8")
        outlet.write("a\n")
        self.assertEqual(self.read(2), b"a\n")

    def test_sharedDescriptor(self) -> None:
        """
        It waits where somebody has made the descriptor non-blocking.
        """
        os.set_blocking(self.writer, False)
        text = "a" * (LIMIT - 1) + "\n"
        self.outlet.write(text)
        self.assertEqual(self.read(LIMIT), text.encode())

    def test_finish(self) -> None:
        """
        At the end, it waits for what is written; but not for long when nobody
        reads.
        """
        self.outlet.finish()
        self.outlet.write("last\n")
        os.set_blocking(self.reader, False)
        self.assertEqual(os.read(self.reader, 10), b"last\n")
        self.outlet.write("a" * LIMIT)

    def test_readerGone(self) -> None:
        """
        When nobody can read, records are thrown away.
        """
        reader, writer = os.pipe()
        os.close(reader)
        outlet = Outlet(writer, "utf-8")
        outlet.finish()
        for _ in range(3):
            outlet.write("a" * LIMIT)


class UnblockTests(SynchronousTestCase):
    """
    Taking over the standard streams.
    """

    def streams(self, output: IO[str] | None, error: IO[str] | None) -> list[object]:
        """
        Take over, and give the triggers that were added.
        """
        self.patch(sys, "__stdout__", output)
        self.patch(sys, "__stderr__", error)
        reactor = MemoryReactorClock()
        unblock(reactor)
        return list(reactor.triggers.get("after", {}).get("shutdown", []))

    def test_pipe(self) -> None:
        """
        A pipe is taken over; a stream that is not there is not.
        """
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        with open(writer, "w") as output:
            triggers = self.streams(output, None)
            self.assertEqual(len(triggers), 1)
            output.write("a\n")
            self.assertEqual(os.read(reader, 10), b"a\n")

    def test_file(self) -> None:
        """
        A file is written to as before.
        """
        with TemporaryFile("w+") as output, open(os.devnull, "w") as null:
            self.assertEqual(self.streams(output, null), [])
            output.write("a\n")
            output.seek(0)
            self.assertEqual(output.read(), "a\n")
