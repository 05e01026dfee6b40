"""
Tests for L{upperproto.command.standardio}, as far as they need no descriptor; those
that need one are in L{tests.functional.command}.
"""

from __future__ import annotations

import errno
import os

from twisted.internet.error import ConnectionDone
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.testing import MemoryReactor
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from upperproto.command import standardio as stdio


class StandardInputTests(SynchronousTestCase):
    """
    L{stdio.StandardInput}.
    """

    def setUp(self) -> None:
        """
        Make one, and script what the system gives it.
        """
        self.reactor = MemoryReactor()
        self.received: list[bytes] = []
        self.ended: list[Failure] = []
        self.input = stdio.StandardInput(
            self.received.append, self.ended.append, self.reactor
        )
        self.reads: list[bytes | OSError] = []

        def read(descriptor: int, size: int) -> bytes:
            self.assertEqual(descriptor, self.input.fileno())
            result = self.reads.pop(0)
            if isinstance(result, OSError):
                raise result
            return result

        self.patch(os, "read", read)

    def test_read(self) -> None:
        """
        What is there is passed on.
        """
        self.reads = [b"abc", b"d"]
        self.assertIsNone(self.input.doRead())
        self.assertIsNone(self.input.doRead())
        self.assertEqual(self.received, [b"abc", b"d"])

    def test_end(self) -> None:
        """
        The end of input is passed on by way of the reactor.
        """
        self.reads = [b""]
        self.assertIs(self.input.doRead(), CONNECTION_DONE)
        self.input.connectionLost(Failure(CONNECTION_DONE))
        self.assertTrue(self.ended[0].check(ConnectionDone))

    def test_error(self) -> None:
        """
        An error ends the input.
        """
        error = OSError(errno.EIO, "Input/output error")
        self.reads = [error]
        self.assertIs(self.input.doRead(), error)

    def test_nothingThere(self) -> None:
        """
        Where somebody else was faster, reading goes on.
        """
        self.reads = [BlockingIOError(errno.EAGAIN, "")]
        self.assertIsNone(self.input.doRead())
        self.assertEqual((self.received, self.ended), ([], []))

    def test_producer(self) -> None:
        """
        It is read only while it is wanted.
        """
        self.input.startReading()
        self.assertEqual(self.reactor.getReaders(), [self.input])
        self.input.pauseProducing()
        self.assertEqual(self.reactor.getReaders(), [])
        self.input.resumeProducing()
        self.assertEqual(self.reactor.getReaders(), [self.input])
        self.input.stopProducing()
        self.assertEqual(self.reactor.getReaders(), [])
        self.assertEqual(self.reactor.getWriters(), [])


class WriteTests(SynchronousTestCase):
    """
    L{stdio.write}.
    """

    def test_parts(self) -> None:
        """
        All is written, also when the system takes only a part.
        """
        written = b""

        def write(descriptor: int, data: bytes) -> int:
            nonlocal written
            self.assertEqual(descriptor, stdio.STDOUT)
            written += data[:2]
            return len(data[:2])

        self.patch(os, "write", write)
        stdio.write(b"abcde")
        self.assertEqual(written, b"abcde")

    def test_noRoom(self) -> None:
        """
        Where the output has no room, and does not block, that is waited for.
        """
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        self.patch(stdio, "STDOUT", writer)
        taken: list[bytes] = []

        def write(descriptor: int, data: bytes) -> int:
            if not taken:
                taken.append(b"")
                raise BlockingIOError(errno.EAGAIN, "no room")
            taken.append(data)
            return len(data)

        self.patch(os, "write", write)
        stdio.write(b"abc")
        self.assertEqual(taken, [b"", b"abc"])
