"""
Tests for L{upperproto.command.standardio}, as far as they need no descriptor; those
that need one are in L{tests.functional.command}.
"""

from __future__ import annotations

import errno
import os

from twisted.trial.unittest import SynchronousTestCase

from upperproto.command import standardio as stdio


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
