"""
Tests for L{upperproto.processes.worker}. What a worker does, the functional tests show.
"""

from __future__ import annotations

import errno
import os

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from upperproto.processes import worker
from upperproto.processes.process import CONTROL
from upperproto.processes.worker import ParentWatch, sayAlive


class WorkerTests(SynchronousTestCase):
    """
    Tests for the parts of a worker's program.
    """

    def test_parentEnds(self) -> None:
        """
        Only the end of what the parent may say is its end.
        """
        watch = ParentWatch(MemoryReactorClock())
        said = [b"x", b""]

        class System:
            read = staticmethod(lambda descriptor, size: said.pop(0))

        self.patch(worker, "os", System)
        self.assertIsNone(watch.doRead())
        self.assertIsInstance(watch.doRead(), ConnectionDone)

    def test_alive(self) -> None:
        """
        It says that it lives, and goes on where the parent does not read or has
        ended.
        """
        said: list[tuple[int, bytes]] = []

        class System:
            @staticmethod
            def write(descriptor: int, data: bytes) -> None:
                said.append((descriptor, data))
                if len(said) > 1:
                    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

        self.patch(worker, "os", System)
        sayAlive()
        sayAlive()
        self.assertEqual(said, [(CONTROL, b".")] * 2)
