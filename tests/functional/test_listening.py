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
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.tcp import Port
from twisted.internet.unix import Server as UNIXTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import (
    TIME_LIMIT,
    Server,
    eventually,
    failToStart,
    receiveAll,
)
from upperproto.ways.endpoints import Listener, endpointFrom
from upperproto.ways.inherited import Inheriting


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
            connection.settimeout(TIME_LIMIT)
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
            server.process.wait(TIME_LIMIT)
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
                with socket.create_connection(
                    (host, server.port), TIME_LIMIT
                ) as client:
                    client.sendall(b"hello\n")
                    client.shutdown(socket.SHUT_WR)
                    self.assertEqual(receiveAll(client), b"HELLO\n")

    def test_sideBySide(self) -> None:
        """
        Several endpoints are served side by side, and the log names the address of
        each.
        """
        with Server(
            *("--listen", "tcp:0:interface=127.0.0.1"),
            *("--listen", r"tcp:0:interface=\:\:1"),
            *("--listen", f"unix:{self.path}"),
        ) as server:
            server.waitFor(f"Listening on {self.path}")
            self.assertEqual(self.ask(self.path), b"HELLO\nTHE LAST LINE")
            for host, pattern in [("127.0.0.1", "127.0.0.1"), ("::1", r"\[::1\]")]:
                port = int(server.waitFor(rf"Listening on {pattern}:(\d+)\n")[1])
                with socket.create_connection((host, port), TIME_LIMIT) as client:
                    client.sendall(b"hello\n")
                    client.shutdown(socket.SHUT_WR)
                    self.assertEqual(receiveAll(client), b"HELLO\n")

    def test_halfway(self) -> None:
        """
        Where one endpoint cannot be listened on, nothing of the others is left.
        """
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            message = failToStart(
                *("--listen", f"unix:{self.path}:lockfile=0"),
                *("--listen", f"tcp:{port}:interface=127.0.0.1"),
            )
        self.assertIn(f"upper: Couldn't listen on 127.0.0.1:{port}: ", message)
        self.assertEqual(os.listdir(self.folder), [])

    def test_refused(self) -> None:
        """
        An endpoint that cannot keep the promise, one with an empty value, and one
        with a port that is none end the start with a message.
        """
        for endpoint, why in [
            ("stdio:", "stdio: is one connection"),
            (r"haprox\y:tcp:0", "would lose answers; use --proxy-protocol"),
            ("tcp:0:interface=", "interface is empty"),
            ("unix:", "a value is empty"),
            ("tcp:70000", "not a port: 70000"),
            ("tcp:0:interface=::1", r"interface is empty (a colon within a value: \:)"),
            ("systemd:domain=INET:index=0", "0 sockets were inherited"),
        ]:
            message = failToStart("--listen", endpoint)
            self.assertTrue(message.startswith("upper: "), message)
            self.assertIn(why, message)
        # What one process refuses, several do.
        message = failToStart("--listen", "tcp:70000", "--workers", "2")
        self.assertIn("not a port: 70000", message)


class PortTests(SynchronousTestCase):
    """
    A L{Listener} with a reactor that does not run.
    """

    def setUp(self) -> None:
        """
        Make the reactor.
        """
        self.reactor = SelectReactor()
        self.factory = Factory.forProtocol(Protocol)
        self.factory.noisy = False
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def listen(self, description: str, *descriptors: int) -> tuple[Listener, Any]:
        """
        Listen.

        @param descriptors: what is inherited.
        @return: the listener and its port.
        """
        inheriting = Inheriting(self.reactor, descriptors)
        listener = Listener(endpointFrom(inheriting, description), self.factory)
        self.addCleanup(listener.close)
        listener.privilegedStartService()
        [port] = self.ports()
        return listener, port

    def ports(self) -> list[Any]:
        """
        What accepts connections now.
        """
        return [each for each in self.reactor.getReaders() if isinstance(each, Port)]

    def test_options(self) -> None:
        """
        Connections send small answers at once, and find out that a peer has died,
        although nothing is done for each of them: Linux lets them inherit both.
        """
        quoted = {"127.0.0.1": "127.0.0.1", "::1": r"\:\:1"}
        for host in quoted:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            inherited = socket.create_server((host, 0), family=family).detach()
            self.addCleanup(os.close, inherited)
            for descriptors in ((), (inherited,)):
                listener, port = self.listen(
                    f"tcp:0:interface={quoted[host]}", *descriptors
                )
                address = port.getHost()
                with (
                    socket.create_connection((address.host, address.port), TIME_LIMIT),
                    port.socket.accept()[0] as accepted,
                ):
                    for level, option in [
                        (socket.IPPROTO_TCP, socket.TCP_NODELAY),
                        (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                    ]:
                        self.assertTrue(accepted.getsockopt(level, option), address)
                listener.close()

    def test_close(self) -> None:
        """
        After a start that failed, a port closes without a reactor, and a path is
        free again, even where nobody would look for what is left behind.
        """
        path = f"{self.folder}/socket"
        for description in ("tcp:0:interface=127.0.0.1", f"unix:{path}:lockfile=0"):
            for _ in range(2):
                listener, port = self.listen(description)
                listener.close()
                self.assertEqual(self.ports(), [])
                self.assertFalse(port.connected)
                self.assertEqual(os.listdir(self.folder), [])
                listener.close()
                self.successResultOf(listener.stopService())

    def test_inheritedUNIX(self) -> None:
        """
        A UNIX socket that was inherited is accepted from, and stays in the hands of
        whoever made it: its path, its mode, and that it listens.
        """
        path = f"{self.folder}/socket"
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path)
            os.chmod(path, 0o600)
            bound.listen(7)
            listener, port = self.listen("unix:/elsewhere", os.dup(bound.fileno()))
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                port.doRead()
            for accepted in self.reactor.getReaders():
                if isinstance(accepted, UNIXTransport):
                    self.reactor.removeReader(accepted)
                    accepted.connectionLost(Failure(ConnectionDone()))
            stopped = listener.stopService()
            self.reactor.iterate(0)
            self.successResultOf(stopped)
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                bound.accept()[0].close()
