"""
Tests for L{upperproto.ways.systemd}.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from upperproto.ways.systemd import findSocket, notify, ready, stopping


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
        listening.setblocking(False)
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
        for path in ("/nonexistent", "/" + "x" * 200, "vsock:2:1"):
            notify("READY=1", {"NOTIFY_SOCKET": path})

    def test_full(self) -> None:
        """
        While systemd does not read, the service is not held up.
        """
        path = f"{self.folder}/notify"
        systemd = self.listen(path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.setblocking(False)
            with self.assertRaises(BlockingIOError):
                while True:
                    other.sendto(b"READY=1", path)
        notify("STOPPING=1", {"NOTIFY_SOCKET": path})
        with self.assertRaises(BlockingIOError):
            while True:
                self.assertEqual(systemd.recv(1000), b"READY=1")

    def test_life(self) -> None:
        """
        It is told when the service is ready, and when it is stopping.
        """
        path = f"{self.folder}/notify"
        systemd = self.listen(path)
        self.patch(os, "environ", {**os.environ, "NOTIFY_SOCKET": path})
        ready()
        self.assertEqual(systemd.recv(1000), b"READY=1\nSTATUS=Serving")
        stopping()
        self.assertEqual(systemd.recv(1000), b"STOPPING=1\nSTATUS=Draining")


class FindSocketTests(SynchronousTestCase):
    """
    Tests for L{findSocket}.
    """

    def setUp(self) -> None:
        """
        Have two sockets handed over.
        """
        self.environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"}

    def refusal(
        self, index: str | None = None, name: str | None = None, **environment: str
    ) -> str:
        """
        Why there is no socket.
        """
        environment = {**self.environment, **environment}
        error = self.assertRaises(ValueError, findSocket, index, name, environment)
        return str(error)

    def test_index(self) -> None:
        """
        They are found by their index, which starts at 0, whether or not they have
        names.
        """
        for names in ({}, {"LISTEN_FDNAMES": "a:b"}, {"LISTEN_FDNAMES": ""}):
            environment = {**self.environment, **names}
            self.assertEqual(findSocket("0", None, environment), 3)
            self.assertEqual(findSocket("1", None, environment), 4)

    def test_name(self) -> None:
        """
        They are found by their name.
        """
        environment = {**self.environment, "LISTEN_FDNAMES": "a:b"}
        self.assertEqual(findSocket(None, "b", environment), 4)

    def test_wrongIndex(self) -> None:
        """
        A wrong index gives a message that says how many there are.
        """
        for index in ("2", "-1", "0x1", "1_0", "\u0660", ""):
            self.assertEqual(
                self.refusal(index), "no index from 0 on: 2 sockets were inherited"
            )
        self.assertEqual(
            self.refusal("1", LISTEN_FDS="1"),
            "no index from 0 on: 1 socket was inherited",
        )

    def test_wrongName(self) -> None:
        """
        So does a wrong name, or one that several have, as all of one unit do: it
        is not for us to choose one.
        """
        for names, count in [("", 0), ("b:c", 0), ("a:a", 2), ("b:c:a", 0)]:
            self.assertEqual(
                self.refusal(name="a", LISTEN_FDNAMES=names),
                f"{count} sockets have this name: 2 sockets were inherited",
            )

    def test_which(self) -> None:
        """
        It needs an index or a name, and not both.
        """
        for index, name in [(None, None), ("0", "a")]:
            self.assertEqual(
                self.refusal(index, name), "it needs an index or a name, and not both"
            )

    def test_others(self) -> None:
        """
        Sockets of another process are not ours, and a number that is none is 0.
        """
        for environment in (
            {"LISTEN_PID": str(os.getppid())},
            {"LISTEN_FDS": ""},
            {"LISTEN_FDS": "-1"},
            {"LISTEN_FDS": "²"},
        ):
            self.assertIn("0 sockets were inherited", self.refusal("0", **environment))

    def test_initialEnvironment(self) -> None:
        """
        By default, what the process was started with counts, unless somebody has
        set the variables since.
        """
        self.assertIn(b"PATH=", Path("/proc/self/environ").read_bytes())
        self.assertRaises(ValueError, findSocket, "0")
        self.patch(os, "environ", {**os.environ, **self.environment})
        self.assertEqual(findSocket("0"), 3)
        self.patch(os, "environ", {})
        self.patch(Path, "read_bytes", lambda path: (_ for _ in ()).throw(OSError))
        self.assertRaises(ValueError, findSocket, "0")
