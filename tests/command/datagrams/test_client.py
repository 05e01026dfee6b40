"""
Tests for L{upperproto.command.datagrams.client} and its C{ping}.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import MessageLengthError
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from upperproto.command.datagrams.client import DatagramClient, unlike
from upperproto.command.datagrams.ping import DatagramPinger
from upperproto.command.errors import NotConnected
from upperproto.command.findings.diagnoses import Fault
from upperproto.command.formats.formatter import Formatter
from upperproto.command.options import Options
from upperproto.command.route.addresses import Address
from upperproto.datagrams.rules import answerDatagram

SERVER = Address(socket.AF_INET, "192.0.2.1", 5000)


class MemoryPort:
    """
    A UDP port that nobody is at the other end of.

    @ivar sent: what was sent.
    """

    def __init__(self) -> None:
        """
        Send nothing yet.
        """
        self.socket = self
        self.sent: list[bytes] = []
        self.options: list[tuple[int, int, int]] = []
        self.connected: tuple[str, int] | None = None
        self.stopped = False
        self.most = 1 << 16

    def connect(self, host: str, port: int) -> None:
        """
        Note the server.
        """
        self.connected = (host, port)

    def setsockopt(self, *option: int) -> None:
        """
        Note an option.
        """
        self.options.append(option)  # type: ignore[arg-type] # Three of them.

    def getsockopt(self, level: int, option: int) -> int:
        """
        Give the length of the path's packets.
        """
        return self.most

    def write(self, data: bytes) -> None:
        """
        Send, if it is not too long.
        """
        if len(data) > self.most:
            raise MessageLengthError
        self.sent.append(data)

    def stopListening(self) -> None:
        """
        Close.
        """
        self.stopped = True


class UDPReactor(MemoryReactorClock):
    """
    A reactor with UDP in memory.

    @ivar ports: those that were opened.
    """

    def __init__(self) -> None:
        """
        Begin with no port.
        """
        super().__init__()
        self.ports: list[MemoryPort] = []

    def listenUDP(self, *arguments: Any) -> MemoryPort:
        """
        Open a port.
        """
        self.ports.append(MemoryPort())
        return self.ports[-1]


class ClientTests(SynchronousTestCase):
    """
    L{DatagramClient} and L{unlike}.
    """

    def setUp(self) -> None:
        """
        Make a client.
        """
        self.reactor = UDPReactor()
        self.client = DatagramClient(self.reactor, SERVER)

    def answer(self, text: str) -> None:
        """
        Let an answer come.
        """
        self.client.datagramReceived(text.upper().encode(), None)

    def test_texts(self) -> None:
        """
        Each text is another one of the size that was asked for, and is answered by the
        rules.
        """
        for size in [16, 17, 56, 1472]:
            texts = {unlike(number, size).encode() for number in range(100)}
            self.assertEqual({len(text) for text in texts}, {size})
            self.assertEqual(len(texts), 100)
            for text in texts:
                answer, outcome = answerDatagram(text)
                self.assertEqual((len(answer), outcome), (size, "answered"))

    def test_answer(self) -> None:
        """
        An answer fires with its time. Nothing is fragmented.
        """
        asked = self.client.ask(1, "1:a", 5)
        [port] = self.reactor.ports
        self.assertEqual(port.connected, ("192.0.2.1", 5000))
        self.assertEqual(port.options, [(socket.IPPROTO_IP, 10, 2)])
        self.assertEqual(port.sent, [b"1:a"])
        self.reactor.advance(2)
        self.answer("1:a")
        self.assertEqual(self.successResultOf(asked), 2)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_late(self) -> None:
        """
        What has no answer in time is lost; one that comes later is no duplicate, but
        its second one is.
        """
        asked = self.client.ask(1, "1:a", 5)
        self.reactor.advance(5)
        fault = self.failureResultOf(asked, Fault).value
        self.assertEqual(fault.code, "unanswered")
        for duplicates in (0, 1):
            self.answer("1:a")
            self.assertEqual(self.client.duplicates, duplicates)

    def test_reordered(self) -> None:
        """
        The answer to an earlier text after that to a later one is counted.
        """
        for number in (1, 2, 3):
            self.client.ask(number, f"{number}:a", 5)
        for number in (2, 1, 3):
            self.answer(f"{number}:a")
        self.assertEqual((self.client.reordered, self.client.duplicates), (1, 0))

    def test_wrong(self) -> None:
        """
        What is no answer is found by its number; what has none is nobody's.
        """
        for came, code in [(b"1:a", "echo"), (b"1:B", "wrong")]:
            asked = self.client.ask(1, "1:a", 5)
            self.client.datagramReceived(b"nonsense", None)
            self.assertNoResult(asked)
            self.client.datagramReceived(came, None)
            self.assertEqual(self.failureResultOf(asked, Fault).value.code, code)

    def test_tooLong(self) -> None:
        """
        What does not pass whole is told, with what does.
        """
        self.client.ask(1, "1:a", 5).addErrback(lambda _: None)
        self.reactor.ports[0].most = 2
        asked = self.client.ask(2, "2:a", 5)
        said = str(self.failureResultOf(asked, Fault).value)
        self.assertEqual(said, "3 bytes do not pass: the path takes packets of 2")
        self.client.close()
        self.assertTrue(self.reactor.ports[0].stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_refused(self) -> None:
        """
        A refusal ends what waits, and maybe the socket; then the next text has another.
        """
        for refuse in (self.client.connectionRefused, self.client.stopProtocol):
            asked = self.client.ask(1, "1:a", 5)
            refuse()
            fault = self.failureResultOf(asked, Fault).value
            self.assertEqual(fault.code, "refused")
        self.client.close()
        self.client.ask(1, "1:a", 5)
        self.assertEqual(len(self.reactor.ports), 2)

    def test_remembers(self) -> None:
        """
        What is known of earlier answers is bounded.
        """
        for number in range(10010):
            self.client.ask(number, f"{number}:a", 5)
            self.answer(f"{number}:a")
        self.assertEqual(len(self.client._known), 10000)


class Connector:
    """
    Looks up a name, or cannot.
    """

    timeout: float | None = 5.0

    def __init__(self, error: Exception | None = None) -> None:
        """
        @param error: why it cannot.
        """
        self._error = error

    async def resolve(self) -> list[Address]:
        """
        Look it up.
        """
        if self._error is not None:
            raise self._error
        return await succeed([SERVER])


class PingTests(SynchronousTestCase):
    """
    L{DatagramPinger}.
    """

    def ping(self, *words: str, error: Exception | None = None) -> Deferred[int]:
        """
        Begin to ping.
        """
        self.reactor = UDPReactor()
        connector: Any = Connector(error)
        ignore: Any = len
        self.pinger = DatagramPinger(
            Options(["ping", *words]),
            Formatter("ping", "udp:a", ignore, ignore),
            connector,
            self.reactor,
        )
        return Deferred.fromCoroutine(self.pinger.run())

    def test_waits(self) -> None:
        """
        The next does not wait for an answer; the end waits for all.
        """
        status = self.ping("-c", "2")
        self.reactor.advance(1)
        [port] = self.reactor.ports
        self.assertEqual(len(port.sent), 2)
        self.reactor.advance(4)
        self.assertNoResult(status)
        self.reactor.advance(1)
        self.assertEqual(self.successResultOf(status), 1)
        self.assertEqual((self.pinger.pings.sent, self.pinger.pings.lost), (2, 2))
        self.assertTrue(port.stopped)

    def test_stop(self) -> None:
        """
        Who has seen enough sees what was measured.
        """
        status = self.ping()
        self.pinger.stop()
        self.assertEqual(self.successResultOf(status), 1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_noHost(self) -> None:
        """
        Where there is no host, nothing is sent.
        """
        status = self.ping(error=NotConnected("no-host", "no such host"))
        self.assertEqual(self.successResultOf(status), 2)
        self.assertEqual(self.reactor.ports, [])
