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
from upperproto.processes.restartedprocess import CONTROL
from upperproto.processes.worker import Heartbeat, ParentWatch


class Service:
    """
    A service that tells of itself.
    """

    def snapshot(self) -> dict[str, int]:
        """
        Tell something.
        """
        return {"a": 1}


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
        ended. What the pipe has not taken goes first the next time.
        """
        said: list[tuple[int, bytes]] = []
        takes = [1, 0, 0, 6, 3]

        class System:
            @staticmethod
            def write(descriptor: int, data: bytes) -> int:
                said.append((descriptor, data))
                if not takes[0]:
                    del takes[0]
                    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
                return takes.pop(0)

        self.patch(worker, "os", System)
        Heartbeat(Service(), counts=False).send()
        heartbeat = Heartbeat(Service(), counts=True)
        heartbeat.send()
        heartbeat.send()
        heartbeat.send()
        heartbeat.send()
        lines = [b"\n", b'{"a": 1}\n', b'{"a": 1}\n', b'{"a": 1}\n', b"1}\n"]
        self.assertEqual(said, [(CONTROL, line) for line in lines])
