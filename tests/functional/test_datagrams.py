"""
Datagrams over real sockets, on the loopback interface.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import (
    TIME_LIMIT,
    Server,
    failToStart,
    receiveAll,
    sendInBackground,
    serveDuring,
)


def udp(server: Server) -> int:
    """
    Find the UDP port of a server.
    """
    return int(server.waitFor(r"Listening on \S+:(\d+) \(UDP\)").group(1))


class DatagramTests(SynchronousTestCase):
    """
    C{--udp}.
    """

    def client(self, host: str, port: int) -> socket.socket:
        """
        Make a socket that takes datagrams from one address alone.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        asking = socket.socket(family, socket.SOCK_DGRAM)
        self.addCleanup(asking.close)
        asking.settimeout(TIME_LIMIT)
        asking.connect((host, port))
        return asking

    def serve(self, *options: str) -> Server:
        """
        Start a server.
        """
        return serveDuring(self, Server(*options))

    def assertAnswers(self, host: str, port: int) -> None:
        """
        Assert that the answer comes from where the text was sent to.
        """
        asking = self.client(host, port)
        asking.send("straße".encode())
        self.assertEqual(asking.recv(100), b"STRASSE")

    def test_everyAddress(self) -> None:
        """
        An answer comes from the address that was asked, on the port of TCP.
        """
        for interface, hosts in [
            ("127.0.0.1", ["127.0.0.1"]),
            ("::1", ["::1"]),
            ("0.0.0.0", ["127.0.0.1", "127.0.0.2", "127.0.0.1"]),
            ("::", ["::1", "::ffff:127.0.0.1", "127.0.0.2", "::1"]),
        ]:
            server = self.serve("--port", "0", "--interface", interface, "--udp")
            self.assertEqual(udp(server), server.port)
            for host in hosts:
                self.assertAnswers(host, server.port)
            log = server.stop()
            self.assertIn(f"Datagrams: {len(hosts)} answered", log)
            self.assertNotIn("Traceback", log)

    def test_ownPort(self) -> None:
        """
        With a port of its own, it listens there, also where there is no TCP; and it
        logs what is said, if that is wanted.
        """
        server = self.serve(*("--listen", "unix:upper", "--udp", "0", "--log", "lines"))
        self.assertAnswers("127.0.0.1", udp(server))
        server.waitFor("from connected user: straße\n.*sending: STRASSE\n")

    def test_unanswered(self) -> None:
        """
        What upper case does not change, what it makes longer, and what is no UTF-8 has
        no answer. They are counted.
        """
        server = self.serve("--udp", "--errors", "replace")
        asking = self.client("127.0.0.1", server.port)
        for text in [b"", b"ABC", b"1", "ΰ".encode(), b"ab\xff", b"last"]:
            asking.send(text)
        self.assertEqual(asking.recv(100), b"LAST")
        asking.setblocking(False)
        self.assertRaises(BlockingIOError, asking.recv, 100)
        self.assertIn(
            "Datagrams: 3 unchanged, 1 longer, 1 invalid, 1 answered", server.stop()
        )

    def test_largest(self) -> None:
        """
        A datagram may be as long as they get.
        """
        server = self.serve("--udp")
        asking = self.client("127.0.0.1", server.port)
        asking.send(b"a" * 65507)
        self.assertEqual(asking.recv(1 << 17), b"A" * 65507)

    def test_besideConnections(self) -> None:
        """
        Beside a connection that keeps the server busy, a thousand datagrams are
        answered, each with its own answer; and the connection goes on beside them.
        """
        server = self.serve("--udp", "--log", "none")
        text = b"abcdefghijklmno\n" * (1 << 21)
        asking = self.client("127.0.0.1", server.port)
        with server.connect() as connection:
            sending = sendInBackground(connection, text)
            for number in range(1000):
                asking.send(b"text %d" % number)
                self.assertEqual(asking.recv(100), b"TEXT %d" % number)
            self.assertEqual(len(receiveAll(connection)), len(text))
            sending.join()
        self.assertIn("Datagrams: 1000 answered", server.stop())

    def test_workers(self) -> None:
        """
        Workers share the port: of many who ask, each worker answers some.
        """
        server = self.serve("--workers", "2", "--port", "0", "--udp")
        for _ in range(64):
            self.assertAnswers("127.0.0.1", udp(server))
        log = server.stop()
        for worker in (1, 2):
            self.assertRegex(log, rf"\[worker {worker}\] Datagrams: \d+ answered")

    def test_twoServers(self) -> None:
        """
        Two servers do not keep each other busy: what one is made to send to the other
        has no answer.
        """
        servers = [self.serve("--udp") for _ in range(2)]
        texts = [b"a", "ŉß".encode(), b"\xff", b"A", "straße".encode()]
        # What each server answers is sent to the other one, from the first one's port,
        # as somebody does who forges the address of whom he asks for.
        for first, second in [servers, servers[::-1]]:
            answers = self.answers(first, texts)
            self.assertEqual(answers, [b"A", b"STRASSE"])
            self.assertEqual(self.answers(second, answers), [])

    def answers(self, server: Server, texts: Iterable[bytes]) -> list[bytes]:
        """
        Send texts, and give all answers.
        """
        asking = self.client("127.0.0.1", server.port)
        for text in [*texts, b"last"]:
            asking.send(text)
        answers = [asking.recv(100)]
        while answers[-1] != b"LAST":
            answers.append(asking.recv(100))
        return answers[:-1]

    def test_taken(self) -> None:
        """
        A port that is taken ends the process, and so does C{--udp} without a port
        where nothing has one.
        """
        server = self.serve("--udp")
        for workers in ["1", "2"]:
            shared = ("--workers", workers, "--udp")
            said = failToStart("--port", "0", *shared, str(server.port))
            self.assertRegex(said, r"upper: Couldn't listen on UDP 127.0.0.1:\d+: ")
            said = failToStart("--listen", "unix:upper", *shared)
            self.assertIn("upper: --udp needs a port number", said)
