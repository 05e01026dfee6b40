"""
Tests for L{upperproto.ways.systemd}.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from pathlib import Path

from twisted.internet import endpoints
from twisted.internet.testing import MemoryReactorClock
from twisted.python.systemd import ListenFDs
from twisted.trial.unittest import SynchronousTestCase

from upperproto.ways.endpoints import CannotStart, endpointFrom
from upperproto.ways.systemd import nameSockets, notify, tell


class NotifyTests(SynchronousTestCase):
    """
    Telling systemd how the service is.
    """

    def setUp(self) -> None:
        """
        Make a folder whose path is short enough for a socket.
        """
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def listen(self, address: str) -> socket.socket:
        """
        Stand in for systemd.
        """
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(listening.close)
        listening.settimeout(10)
        listening.bind(address)
        return listening

    def test_path(self) -> None:
        """
        What is told arrives at the socket that systemd names.
        """
        path = f"{self.folder}/notify"
        systemd = self.listen(path)
        notify("READY=1\nSTATUS=Serving", {"NOTIFY_SOCKET": path})
        self.assertEqual(systemd.recv(1000), b"READY=1\nSTATUS=Serving")

    def test_abstract(self) -> None:
        """
        An abstract socket is named with an at sign.
        """
        systemd = self.listen(f"\0upperproto-{os.getpid()}")
        notify("STOPPING=1", {"NOTIFY_SOCKET": f"@upperproto-{os.getpid()}"})
        self.assertEqual(systemd.recv(1000), b"STOPPING=1")

    def test_nobody(self) -> None:
        """
        Without systemd, nothing happens.
        """
        notify("READY=1", {})

    def test_deaf(self) -> None:
        """
        That systemd does not listen is no reason to end.
        """
        notify("READY=1", {"NOTIFY_SOCKET": "/nonexistent"})

    def test_life(self) -> None:
        """
        The service is ready when the reactor runs, and stopping when it begins
        to shut down.
        """
        path = f"{self.folder}/notify"
        systemd = self.listen(path)
        self.patch(os, "environ", {**os.environ, "NOTIFY_SOCKET": path})
        reactor = MemoryReactorClock()
        tell(reactor)
        systemd.setblocking(False)
        self.assertRaises(BlockingIOError, systemd.recv, 1000)
        reactor.run()
        self.assertEqual(systemd.recv(1000), b"READY=1\nSTATUS=Serving")
        [(trigger, arguments, _)] = reactor.triggers["before"]["shutdown"]
        trigger(*arguments)
        self.assertEqual(systemd.recv(1000), b"STOPPING=1\nSTATUS=Draining")


class NameSocketsTests(SynchronousTestCase):
    """
    Sockets without names.
    """

    def setUp(self) -> None:
        """
        Let Twisted know of no sockets.
        """
        self.patch(endpoints._SystemdParser, "_sddaemon", ListenFDs([], ()))
        self.environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"}

    def parse(self, description: str) -> int:
        """
        Give the descriptor that an endpoint description stands for.
        """
        endpoint = endpointFrom(MemoryReactorClock(), description)
        assert isinstance(endpoint, endpoints.AdoptedStreamServerEndpoint)
        descriptor: int = endpoint.fileno
        return descriptor

    def test_unnamed(self) -> None:
        """
        They are found by their index, which starts at 0.
        """
        nameSockets(self.environment)
        self.assertEqual(self.parse("systemd:domain=INET:index=0"), 3)
        self.assertEqual(self.parse("systemd:domain=INET:index=1"), 4)
        self.assertRaises(CannotStart, self.parse, "systemd:domain=INET:index=2")

    def test_named(self) -> None:
        """
        Those that have names are left to Twisted.
        """
        nameSockets({**self.environment, "LISTEN_FDNAMES": "a:b"})
        self.assertRaises(CannotStart, self.parse, "systemd:domain=INET:index=0")

    def test_others(self) -> None:
        """
        Those of another process are not ours.
        """
        nameSockets({**self.environment, "LISTEN_PID": str(os.getppid())})
        self.assertRaises(CannotStart, self.parse, "systemd:domain=INET:index=0")

    def test_initialEnvironment(self) -> None:
        """
        By default, what the process was started with counts.
        """
        self.assertIn(b"PATH=", Path("/proc/self/environ").read_bytes())
        nameSockets()
        self.assertRaises(CannotStart, self.parse, "systemd:domain=INET:index=0")
