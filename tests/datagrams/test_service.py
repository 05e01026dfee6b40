"""
Tests for L{upperproto.datagrams.service}.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.datagrams.test_port import MemorySocket
from upperproto.datagrams.service import SAME, DatagramListener, chooseAddress

UNIX = UNIXAddress(b"/run/a")
TCP = IPv4Address("TCP", "192.0.2.1", 7)
TCP6 = IPv6Address("TCP", "::", 8)


class ChooseAddressTests(SynchronousTestCase):
    """
    L{chooseAddress}.
    """

    def test_beside(self) -> None:
        """
        Datagrams are waited for beside the first TCP listener, on its port or another.
        """
        cases: list[tuple[int | str, list[IAddress | None], tuple[str, int]]] = [
            (SAME, [UNIX, TCP, TCP6], ("192.0.2.1", 7)),
            (SAME, [TCP6, TCP], ("::", 8)),
            (9, [UNIX, TCP6], ("::", 9)),
            (9, [UNIX], ("127.0.0.1", 9)),
            (9, [None], ("127.0.0.1", 9)),
        ]
        for port, listeners, chosen in cases:
            found = chooseAddress(port, listeners, "127.0.0.1")
            self.assertEqual(found, chosen)

    def test_none(self) -> None:
        """
        Where there is no TCP listener, the port has to be said.
        """
        error = self.assertRaises(ValueError, chooseAddress, SAME, [UNIX], "::")
        self.assertEqual(
            str(error), "--udp needs a port number, because there is no TCP listener"
        )


class DatagramListenerTests(SynchronousTestCase):
    """
    L{DatagramListener}.
    """

    def listener(self, host: str = "192.0.2.9", **settings: Any) -> Any:
        """
        Make one, on a socket in memory.
        """
        bound: Any = MemorySocket(host, **settings)
        self.bound = bound
        self.reactor = MemoryReactorClock()
        self.outcomes: Counter[str] = Counter()
        return DatagramListener(lambda: bound, self.reactor, self.outcomes)

    def test_serves(self) -> None:
        """
        It binds when it starts, answers while it runs, and says in the end what has
        become of the datagrams.
        """
        listener = self.listener()
        with capturedLogs() as events:
            listener.privilegedStartService()
            listener.startService()
            [port] = self.reactor.readers
            self.bound.inbound = [(b"a", []), (b"B", []), (b"c", [])]
            port.doRead()
            listener.stopService()
        self.assertEqual(
            [formatEvent(each) for each in events],
            [
                "Listening on 192.0.2.9:5000 (UDP)",
                "Datagrams: 2 answered, 1 unchanged",
            ],
        )
        self.assertEqual(self.reactor.readers, set())
        self.assertTrue(self.bound.closed)

    def test_startsAlone(self) -> None:
        """
        It listens, too, where nobody has asked for privileges.
        """
        listener = self.listener("::1")
        with capturedLogs() as events:
            listener.startService()
            self.assertEqual(len(self.reactor.readers), 1)
            listener.stopService()
        self.assertEqual(
            [formatEvent(each) for each in events], ["Listening on [::1]:5000 (UDP)"]
        )

    def test_closesTwice(self) -> None:
        """
        What has closed, or never listened, can be closed.
        """
        listener = self.listener()
        listener.close()
        listener.startService()
        listener.close()
        listener.close()
        self.assertTrue(self.bound.closed)
