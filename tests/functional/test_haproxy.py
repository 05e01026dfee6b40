"""
Behind a real HAProxy, with the configuration of C{docs/examples}.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import (
    TIME_LIMIT,
    Server,
    eventually,
    fillIn,
    receiveAll,
    serveDuring,
)
from tests.functional.ways import TLSClient, TLSWay

# How many clients ask at a time, each one conversation after the other.
CLIENTS = 4


@skipUnless(shutil.which("haproxy"), "needs the program haproxy")
class HAProxyTests(SynchronousTestCase):
    """
    Two servers, and HAProxy in front of them.
    """

    def setUp(self) -> None:
        """
        Start all three.
        """
        self.way = TLSWay()
        self.folder = self.way.folder
        self.addCleanup(shutil.rmtree, self.folder)
        self.servers = [self.serve(0), self.serve(0)]
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.addCleanup(self.listener.close)
        self.proxy = subprocess.Popen(
            ["haproxy", "-q", "-f", self.configure()],
            pass_fds=[self.listener.fileno()],
            stdin=subprocess.DEVNULL,
        )
        self.addCleanup(self.proxy.wait, TIME_LIMIT)
        self.addCleanup(self.proxy.terminate)
        eventually(self.healthy, "the health checks")

    def serve(self, port: int) -> Server:
        """
        Start a server.
        """
        return serveDuring(self, Server("--port", str(port), "--proxy-protocol"))

    def configure(self) -> str:
        """
        Write the example with the addresses of this test.
        """
        pem = self.folder / "upper.pem"
        pem.write_text(
            Path(self.way.certificate).read_text() + Path(self.way.key).read_text()
        )
        one, two = self.servers
        return fillIn(
            "haproxy.cfg",
            self.folder,
            {
                "/etc/haproxy/upper.pem": str(pem),
                "/run/haproxy/admin.sock": f"{self.folder}/admin.sock",
                "bind :5000": f"bind fd@{self.listener.fileno()}",
                "192.0.2.11:5000": f"127.0.0.1:{one.port}",
                # With all that such a header can have besides, and a checksum.
                "192.0.2.12:5000": f"127.0.0.1:{two.port}"
                " proxy-v2-options ssl,cert-cn,authority,unique-id,crc32c",
            },
        )

    def command(self, words: str) -> str:
        """
        Give HAProxy a command, as an administrator does.
        """
        with socket.socket(socket.AF_UNIX) as admin:
            admin.settimeout(TIME_LIMIT)
            if admin.connect_ex(f"{self.folder}/admin.sock"):
                return ""
            admin.sendall(f"{words}\n".encode())
            return receiveAll(admin).decode()

    def status(self, name: str) -> dict[str, str]:
        """
        What HAProxy knows of a server.
        """
        names, *rows = self.command("show stat").strip().splitlines() or [""]
        for row in rows:
            fields = dict(zip(names.split(","), row.split(","), strict=False))
            if (fields["# pxname"], fields["svname"]) == ("uppers", name):
                return fields
        return dict.fromkeys(["check_status", "scur", "stot"], "")

    def healthy(self) -> bool:
        """
        Whether both servers have given the known answer.
        """
        return all(
            self.status(each)["check_status"] == "L7OK" for each in ("one", "two")
        )

    def ask(self, said: bytes) -> bytes:
        """
        Hold one conversation over TLS.
        """
        connection = socket.create_connection(self.listener.getsockname(), TIME_LIMIT)
        client = TLSClient(connection, self.way.context())
        with connection:
            client.end(said)
            return client.receiveAll()

    def test_addresses(self) -> None:
        """
        A client that ends its side with its last line is answered in full; the
        server's log has its address, not HAProxy's.
        """
        for _ in range(10):
            self.assertEqual(self.ask(b"hello\nthe last line"), b"HELLO\nTHE LAST LINE")
        connection = socket.create_connection(self.listener.getsockname(), TIME_LIMIT)
        port = connection.getsockname()[1]
        TLSClient(connection, self.way.context()).send(b"hello\n")
        self.addCleanup(connection.close)
        eventually(
            lambda: any(
                f"Connection from 127.0.0.1:{port}\n" in server.log()
                for server in self.servers
            ),
            "the client's address in a log",
        )

    def test_checks(self) -> None:
        """
        To the log, the health checks are conversations that went well.
        """
        for server in self.servers:
            line = r"closed by the client; 8 bytes in, 8 bytes out, 0 undelivered"
            server.waitFor(rf"({line}\n[\s\S]*){{2}}")
            log = server.stop()
            self.assertNotIn("cut off", log)
            self.assertNotIn("refused", log)

    def test_restart(self) -> None:
        """
        Under load, one server is drained, stopped, started and put to use again.
        No answer is lost.
        """
        lost: list[bytes] = []
        done = threading.Event()

        def keepAsking(name: str) -> None:
            number = 0
            while not done.is_set():
                number += 1
                said = f"{name} {number} ".encode() * 1000
                try:
                    answer = self.ask(said)
                except Exception as error:
                    answer = repr(error).encode()
                if answer != said.upper():
                    lost.append(answer[-100:])

        clients = [
            threading.Thread(target=keepAsking, args=(f"client {each}",))
            for each in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        try:
            self.restart()
        finally:
            done.set()
            for client in clients:
                client.join()
        self.assertEqual(lost, [])

    def restart(self) -> None:
        """
        Restart the first server as C{docs/deploying.rst} has it.
        """
        self.served("one")
        self.command("set server uppers/one state drain")
        eventually(lambda: self.status("one")["scur"] == "0", "the end of sessions")
        server, _ = self.servers
        log = server.stop(signal.SIGTERM)
        self.assertNotIn("Traceback", log)
        self.served("two")
        self.servers[0] = self.serve(server.port)
        self.command("set server uppers/one state ready")
        self.served("one")

    def served(self, name: str) -> None:
        """
        Wait until a server has served some more.
        """
        before = int(self.status(name)["stot"])
        eventually(
            lambda: int(self.status(name)["stot"]) >= before + 10,
            f"conversations of {name}",
        )
