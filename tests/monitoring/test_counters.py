"""
Tests for L{upperproto.monitoring.counters}.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from upperproto.factory import UpperFactory
from upperproto.monitoring.counters import Counters, addUp, kindOf
from upperproto.protocol import UpperProtocol


class KindTests(SynchronousTestCase):
    """
    Tests for L{kindOf}.
    """

    def test_kinds(self) -> None:
        """
        Each reason that the log gives has a kind, and what clients have put into it
        is in none.
        """
        for reason, kind in {
            "closed by the client": "client",
            "cut off": "cut_off",
            "idle for 600 s": "idle",
            "idle for 600 s, not reading": "not_reading",
            "too many connections": "max_connections",
            "too many connections from 192.0.2.1": "max_per_peer",
            "too many others wait": "max_pending",
            "the service is shutting down": "shutdown",
            "the drain time is up": "drain_timeout",
            "a second signal": "second_signal",
            "a fault of the server": "fault",
            "not a proxy of --proxy-from": "not_a_proxy",
            "no PROXY header within 10 s": "proxy_header",
            "closed before a TLS handshake": "tls_handshake",
            "what somebody else gives": "other",
        }.items():
            self.assertEqual(kindOf(reason), kind, reason)


class CountersTests(SynchronousTestCase):
    """
    Tests for L{Counters}, through a factory.
    """

    def setUp(self) -> None:
        """
        Serve two clients at a time.
        """
        self.counters = Counters()
        self.factory = UpperFactory(
            maxConnections=2,
            idleTimeout=60,
            clock=MemoryReactorClock(),
            counters=self.counters,
        )

    def connect(self) -> tuple[UpperProtocol, StringTransport]:
        """
        Connect a client.
        """
        protocol: Any = self.factory.buildProtocol(None)
        transport = StringTransport(peerAddress=IPv4Address("TCP", "192.0.2.1", 7))
        protocol.makeConnection(transport)
        return protocol, transport

    def now(self) -> dict[str, dict[str, int]]:
        """
        Give the counts that are not empty, as JSON has them.
        """
        counts = json.loads(
            json.dumps(self.counters.snapshot(self.factory.connections))
        )
        return {name: counted for name, counted in counts.items() if counted}

    def lose(self, protocol: UpperProtocol) -> None:
        """
        Lose a connection.
        """
        from twisted.internet.error import ConnectionDone
        from twisted.python.failure import Failure

        protocol.connectionLost(Failure(ConnectionDone()))

    def test_bytes(self) -> None:
        """
        Bytes count while a connection is open, and as much when it has closed.
        """
        protocol, _ = self.connect()
        protocol.dataReceived(b"abc\nd")
        numbers = {"received": 5, "sent": 4}
        self.assertEqual(self.now(), {"bytes": numbers})
        protocol.finish("the service is shutting down")
        self.lose(protocol)
        self.assertEqual(
            self.now(),
            {"bytes": {"received": 5, "sent": 5}, "closed": {"shutdown": 1}},
        )
        self.assertEqual(list(self.counters.incidents), [])

    def test_undelivered(self) -> None:
        """
        What was not delivered is not sent; and what has been counted as sent stays so.
        """
        protocol, _ = self.connect()
        protocol.dataReceived(b"abc\n")
        self.assertEqual(self.now()["bytes"]["sent"], 4)
        self.patch(protocol, "unsentBytes", lambda: 3)
        self.lose(protocol)
        self.assertEqual(
            self.now()["bytes"], {"received": 4, "sent": 4, "undelivered": 3}
        )
        another, _ = self.connect()
        another.dataReceived(b"abcd\n")
        self.assertEqual(self.now()["bytes"]["sent"], 6)
        [(_, peer, what)] = self.counters.incidents
        self.assertEqual(peer, "192.0.2.1:7")
        self.assertEqual(what, "closed by the client; 3 bytes undelivered")

    def test_errors(self) -> None:
        """
        Each error line that a client was told counts, by its kind.
        """
        protocol, _ = self.connect()
        protocol.dataReceived(b"\xff\n\xff\nabc\n")
        self.assertEqual(self.now()["errors"], {"invalid_utf8": 2})
        protocol.finish("idle for 60 s", error="idle for 60 s")
        self.lose(protocol)
        self.assertEqual(self.now()["errors"], {"invalid_utf8": 2, "idle": 1})
        [(_, _, what)] = self.counters.incidents
        self.assertEqual(what, "idle for 60 s; 2 invalid lines")

    def test_refused(self) -> None:
        """
        A connection without a place is refused, told so, and closed; one that has not
        come as far as the protocol is refused and closed.
        """
        for _ in range(2):
            self.connect()
        protocol, _ = self.connect()
        self.lose(protocol)
        self.factory.refused(IPv4Address("TCP", "192.0.2.2", 8), "no PROXY header")
        counts = self.now()
        self.assertEqual(counts["refused"], {"max_connections": 1, "proxy_header": 1})
        self.assertEqual(counts["closed"], {"max_connections": 1, "proxy_header": 1})
        self.assertEqual(counts["errors"], {"max_connections": 1})
        told = [(peer, what) for _, peer, what in self.counters.incidents]
        self.assertEqual(
            told,
            [
                ("192.0.2.1:7", "too many connections"),
                ("192.0.2.2:8", "no PROXY header"),
            ],
        )


class AddUpTests(SynchronousTestCase):
    """
    Tests for L{addUp}.
    """

    def test_addUp(self) -> None:
        """
        Each kind is added up, whoever has counted it.
        """
        total = addUp([{"a": {"x": 1}}, {}, {"a": {"x": 2, "y": 3}, "b": {"z": 4}}])
        self.assertEqual(total, {"a": {"x": 3, "y": 3}, "b": {"z": 4}})
