"""
Systems that have less than Linux has.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import Server, chooseReactor


def polls(server: Server) -> bool:
    """
    Whether a server has an epoll(7) descriptor.
    """
    folder = Path(f"/proc/{server.process.pid}/fd")
    return any("eventpoll" in os.readlink(entry) for entry in folder.iterdir())


class EpollTests(SynchronousTestCase):
    """
    Where Python has no C{select.epoll}.
    """

    def test_withoutEpoll(self) -> None:
        """
        The service runs on the reactor that Twisted has for such a system.
        """
        chooseReactor(self)
        with Server() as server:
            self.assertTrue(polls(server))
        with tempfile.TemporaryDirectory() as folder:
            # Python imports it before all else.
            Path(folder, "sitecustomize.py").write_text(
                "import select; del select.epoll"
            )
            with patch.dict(os.environ, PYTHONPATH=folder), Server() as server:
                self.assertFalse(polls(server))
                self.assertEqual(server.ask("straße".encode()), b"STRASSE")
