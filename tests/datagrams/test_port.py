"""
Tests for L{upperproto.datagrams.port}, with sockets in memory.
"""

from __future__ import annotations

import errno
import socket
from collections import Counter
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from upperproto.datagrams.port import BATCH, BATCH_BYTES, DatagramPort, bindDatagrams
from upperproto.monitoring.connectionlog import ConnectionLog

PEER = ("192.0.2.1", 7)


class MemorySocket:
    """
    As much of a UDP socket as a port uses.
    """

    def __init__(
        self, host: str, family: socket.AddressFamily = socket.AF_INET
    ) -> None:
        """
        @param host: what it is bound to.
        @param family: of its addresses.
        """
        self.family = family
        self.host = host
        self.inbound: list[tuple[Any, list[Any]]] = []
        self.outbound: list[tuple[bytes, list[Any], Any]] = []
        self.full = self.closed = False
        self.options: list[tuple[int, int, object]] = []

    def getsockname(self) -> tuple[str, int]:
        """
        Give its address.
        """
        return self.host, 5000

    def setsockopt(self, level: int, option: int, value: object) -> None:
        """
        Note an option.
        """
        self.options.append((level, option, value))

    def fileno(self) -> int:
        """
        Give its descriptor.
        """
        return 0x100000

    def recvmsg(self, size: int, ancillarySize: int) -> tuple[Any, ...]:
        """
        Give the next datagram.
        """
        if not self.inbound:
            raise BlockingIOError(errno.EAGAIN, "nothing there")
        text, ancillary = self.inbound.pop(0)
        if isinstance(text, OSError):
            raise text
        assert len(text) <= size
        return text, ancillary if ancillarySize else [], 0, PEER

    def recvfrom(self, size: int) -> tuple[Any, Any]:
        """
        Give the next datagram, without where it was sent to.
        """
        text, _, _, peer = self.recvmsg(size, 0)
        return text, peer

    def sendmsg(
        self, buffers: list[bytes], ancillary: list[Any], flags: int, peer: Any
    ) -> None:
        """
        Take an answer, if there is room.
        """
        if self.full:
            raise BlockingIOError(errno.EAGAIN, "no room")
        self.outbound.append((b"".join(buffers), ancillary, peer))

    def sendto(self, answer: bytes, peer: Any) -> None:
        """
        Take an answer that comes from wherever the system wants.
        """
        self.sendmsg([answer], [], 0, peer)

    def close(self) -> None:
        """
        Close it.
        """
        self.closed = True


class DatagramPortTests(SynchronousTestCase):
    """
    Tests for L{DatagramPort}.
    """

    def port(self, host: str = "192.0.2.9", **settings: Any) -> Any:
        """
        Make a port.
        """
        bound: Any = MemorySocket(host, **settings)
        clock: Any = MemoryReactorClock()
        self.socket = bound
        return DatagramPort(bound, clock, Counter())

    def test_expected(self) -> None:
        """
        What upper case changes is answered, and all else is counted by why it is not.
        """
        port = self.port()
        texts = ["abc\n", "ABC", "ß", "ΐ", "ÿ\n", ""]
        self.socket.inbound = [(each.encode(), []) for each in texts]
        self.socket.inbound.append((b"ab\xff", []))
        self.assertIsNone(port.doRead())
        answers = ["ABC\n", "SS", "Ÿ\n"]
        self.assertEqual(
            self.socket.outbound, [(each.encode(), [], PEER) for each in answers]
        )
        self.assertEqual(
            port.outcomes, {"answered": 3, "unchanged": 2, "longer": 1, "invalid": 1}
        )

    def test_noRoom(self) -> None:
        """
        An answer for which there is no room is counted, and the next one comes.
        """
        port = self.port()
        self.socket.full = True
        self.socket.inbound = [(b"a", []), (b"b", [])]
        port.doRead()
        self.assertEqual(port.outcomes, {"unsent": 2})

    def test_errors(self) -> None:
        """
        An error that an earlier answer has brought back keeps nobody waiting.
        """
        port = self.port()
        self.socket.inbound = [
            (ConnectionRefusedError(errno.ECONNREFUSED, "nobody"), []),
            (b"a", []),
        ]
        port.doRead()
        self.assertEqual(port.outcomes, {"answered": 1})

    def test_batches(self) -> None:
        """
        So many are read at a time, so that connections have their turn.
        """
        port = self.port()
        self.socket.inbound = [(b"a", [])] * (BATCH + 1)
        port.doRead()
        self.assertEqual(len(self.socket.inbound), 1)
        self.socket.inbound = [(b"a" * 60000, [])] * 3
        port.doRead()
        self.assertEqual(len(self.socket.inbound), 3 - -(-BATCH_BYTES // 60000))

    def test_addressAsked(self) -> None:
        """
        A port on all addresses answers from the one that was asked.
        """
        port = self.port("0.0.0.0")
        self.assertEqual(self.socket.options, [(socket.IPPROTO_IP, 8, True)])
        local, header = bytes([127, 0, 0, 2]), bytes([127, 0, 0, 3])
        asked = b"\1\0\0\0" + local + header
        self.socket.inbound = [(b"a", [(socket.IPPROTO_IP, 8, asked)])]
        port.doRead()
        [(_, ancillary, _)] = self.socket.outbound
        answered = b"\0\0\0\0" + local + b"\0\0\0\0"
        self.assertEqual(ancillary, [(socket.IPPROTO_IP, 8, answered)])

    def test_addressAskedIPv6(self) -> None:
        """
        So does one of IPv6, on the interface that was asked.
        """
        port = self.port("::", family=socket.AF_INET6)
        level, kind = socket.IPPROTO_IPV6, socket.IPV6_PKTINFO
        self.assertEqual(self.socket.options, [(level, socket.IPV6_RECVPKTINFO, True)])
        asked = (level, kind, b"\xfe\x80" + b"\0" * 13 + b"\1" + b"\2\0\0\0")
        self.socket.inbound = [(b"a", [(1, 2, b"other"), asked])]
        port.doRead()
        [(_, ancillary, _)] = self.socket.outbound
        self.assertEqual(ancillary, [asked])

    def test_oneAddress(self) -> None:
        """
        One on a single address has nothing to ask for.
        """
        self.port()
        self.assertEqual(self.socket.options, [])

    def test_closes(self) -> None:
        """
        When it has stopped, its socket is closed.
        """
        port = self.port()
        port.startReading()
        port.connectionLost(None)
        self.assertTrue(self.socket.closed)
        self.assertEqual(port.reactor.readers, set())

    def test_host(self) -> None:
        """
        It knows where it listens.
        """
        host = self.port().getHost()
        self.assertEqual((host.type, host.host, host.port), ("UDP", "192.0.2.9", 5000))
        host = self.port("::1", family=socket.AF_INET6).getHost()
        self.assertEqual((host.type, host.host, host.port), ("UDP", "::1", 5000))

    def test_lines(self) -> None:
        """
        What is said is logged, if lines are: text and answer, or text alone.
        """
        port = self.port()
        for lines, said in [
            (False, []),
            (True, ["from connected user: a", "sending: A", "from connected user: B"]),
        ]:
            port._connectionLog = ConnectionLog(lines)
            self.socket.inbound = [(b"a\n", []), (b"B", [])]
            with capturedLogs() as events:
                port.doRead()
            self.assertEqual([formatEvent(each) for each in events], said)


class BindTests(SynchronousTestCase):
    """
    L{bindDatagrams}. It binds ports of the loopback interface, which nobody asks.
    """

    def test_binds(self) -> None:
        """
        It binds any address, and shares a port only if told so.
        """
        for host in ["127.0.0.1", "::1"]:
            bound = bindDatagrams(host, 0)
            self.addCleanup(bound.close)
            self.assertFalse(bound.getblocking())
            self.assertEqual(bound.getsockname()[0], host)
            port = bound.getsockname()[1]
            error = self.assertRaises(CannotListenError, bindDatagrams, host, port)
            self.assertIn(f"Couldn't listen on UDP {host}:{port}: ", str(error))
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, True)
        bindDatagrams(host, port, shared=True).close()

    def test_name(self) -> None:
        """
        It takes addresses alone.
        """
        self.assertRaises(CannotListenError, bindDatagrams, "localhost", 0)
