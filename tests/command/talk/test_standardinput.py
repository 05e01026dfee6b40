"""
Tests for L{upperproto.command.talk.pipe.StandardInput}, as far as they need no
descriptor.
"""

from __future__ import annotations

import errno
import os

from twisted.internet.error import ConnectionDone
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.testing import MemoryReactor
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from upperproto.command.talk.pipe import StandardInput


class StandardInputTests(SynchronousTestCase):
    """
    L{StandardInput}.
    """

    def setUp(self) -> None:
        """
        Make one, and script what the system gives it.
        """
        self.reactor = MemoryReactor()
        self.received: list[bytes] = []
        self.ended: list[Failure] = []
        self.input = StandardInput(
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
