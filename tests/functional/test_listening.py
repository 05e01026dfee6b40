"""
Where a server listens: UNIX sockets, both stacks, and several endpoints at once.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import PATIENCE, Server, eventually, receiveAll


class ListeningTests(SynchronousTestCase):
    """
    Endpoints.
    """

    def setUp(self) -> None:
        """
        Make a folder whose path is short enough for a socket.
        """
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = f"{self.folder}/socket"

    def ask(self, path: str) -> bytes:
        """
        Ask over a UNIX socket.
        """
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            eventually(lambda: connection.connect_ex(path) == 0, path)
            connection.sendall(b"hello\nthe last line")
            connection.shutdown(socket.SHUT_WR)
            return receiveAll(connection)

    def test_mode(self) -> None:
        """
        A UNIX socket has the mode that its endpoint says, and by default is
        open to everybody; so it is with several processes.
        """
        for workers in ("1", "2"):
            for words, mode in [
                ("", 0o666),
                (":mode=600", 0o600),
                (":mode=660", 0o660),
            ]:
                options = ("--listen", f"unix:{self.path}{words}", "--workers", workers)
                with Server(*options) as server:
                    self.assertEqual(self.ask(self.path), b"HELLO\nTHE LAST LINE")
                    self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), mode)
                    server.stop()
                self.assertEqual(os.listdir(self.folder), [])

    def test_stale(self) -> None:
        """
        A UNIX socket that a killed server has left behind is taken over.
        """
        options = ("--listen", f"unix:{self.path}")
        with Server(*options) as server:
            self.ask(self.path)
            server.process.kill()
            server.process.wait(PATIENCE)
        self.assertTrue(Path(self.path).exists())
        with Server(*options):
            self.assertEqual(self.ask(self.path), b"HELLO\nTHE LAST LINE")

    def test_bothStacks(self) -> None:
        """
        C{--interface ::} serves IPv6 and, where the system has sockets of IPv6
        serve both, IPv4 as well.
        """
        both = Path("/proc/sys/net/ipv6/bindv6only").read_text().strip() == "0"
        with Server("--port", "0", "--interface", "::") as server:
            for host in ("::1", "127.0.0.1") if both else ("::1",):
                with socket.create_connection((host, server.port), PATIENCE) as client:
                    client.sendall(b"hello\n")
                    client.shutdown(socket.SHUT_WR)
                    self.assertEqual(receiveAll(client), b"HELLO\n")

    def test_sideBySide(self) -> None:
        """
        Several endpoints are served side by side.
        """
        with Server(
            *("--listen", "tcp:0:interface=127.0.0.1"),
            *("--listen", r"tcp:0:interface=\:\:1"),
            *("--listen", f"unix:{self.path}"),
        ) as server:
            server.waitFor(r"(starting on \d+[\s\S]*){2}starting on '")
            self.assertEqual(self.ask(self.path), b"HELLO\nTHE LAST LINE")
            ports = [
                int(line.rpartition(" ")[2])
                for line in server.log().splitlines()
                if "starting on" in line and line[-1].isdigit()
            ]
            for host, port in zip(("127.0.0.1", "::1"), ports, strict=True):
                with socket.create_connection((host, port), PATIENCE) as client:
                    client.sendall(b"hello\n")
                    client.shutdown(socket.SHUT_WR)
                    self.assertEqual(receiveAll(client), b"HELLO\n")
