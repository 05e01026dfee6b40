"""
Tests for L{upperproto.monitoring.connectionlog}.
"""

from __future__ import annotations

from twisted.internet.address import (
    HostnameAddress,
    IPv4Address,
    IPv6Address,
    UNIXAddress,
)
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.monitoring.connections import CLIENT, served, texts
from upperproto.interfaces import IConnectionLog
from upperproto.monitoring.connectionlog import ConnectionLog, peerName


class PeerNameTests(SynchronousTestCase):
    """
    Tests for L{peerName}.
    """

    def test_names(self) -> None:
        """
        Each kind of address is named as people write it.
        """
        names = {
            peerName(IPv4Address("TCP", "192.0.2.1", 5000)): "192.0.2.1:5000",
            peerName(IPv6Address("TCP", "2001:db8::1", 5000)): "[2001:db8::1]:5000",
            peerName(UNIXAddress(None)): "a UNIX socket",
            peerName(UNIXAddress("/run/socket")): "a UNIX socket",
        }
        for name, expected in names.items():
            self.assertEqual(name, expected)

    def test_unknown(self) -> None:
        """
        Of a kind that is not known, the address says what it is.
        """
        address = HostnameAddress(b"example.com", 5000)
        self.assertEqual(peerName(address), str(address))


class ConnectionLogTests(SynchronousTestCase):
    """
    Tests for L{ConnectionLog}.
    """

    def test_interface(self) -> None:
        """
        It is what the factory asks for, and what the service starts and stops, though
        nothing comes of that.
        """
        log = ConnectionLog()
        verifyObject(IConnectionLog, log)
        log.start()
        log.stop()
        self.assertEqual(log.lost, 0)

    def test_opened(self) -> None:
        """
        A connection that opens is logged in the tutorial's words.
        """
        with capturedLogs() as events:
            ConnectionLog().opened(served())
        self.assertEqual(texts(events), ["Connection from 192.0.2.1:1234"])

    def test_refused(self) -> None:
        """
        So are one that does not come in, and one that may have been cut short.
        """
        with capturedLogs() as events:
            ConnectionLog().refused(CLIENT, "no password", None, 0)
            ConnectionLog().truncated(served())
        self.assertEqual(
            texts(events),
            [
                "Connection from 192.0.2.1:1234 refused: no password",
                "Connection from 192.0.2.1:1234 ended without a TLS close_notify:"
                " somebody on the way may have cut it short",
            ],
        )

    def test_closed(self) -> None:
        """
        One that closes is logged with all that is known of it, in fields.
        """
        with capturedLogs() as events:
            ConnectionLog().closed(
                served(receivedBytes=10, answeredBytes=20, undeliveredBytes=3),
                1.5,
                "cut off",
                False,
            )
        self.assertEqual(
            texts(events),
            [
                "Connection from 192.0.2.1:1234 closed after 1.500 s: cut off;"
                " 10 bytes in, 20 bytes out, 3 undelivered"
            ],
        )
        [event] = events
        self.assertEqual(
            [event[field] for field in ("seconds", "bytesIn", "bytesOut")],
            [1.5, 10, 20],
        )
        self.assertEqual([event["undelivered"], event["why"]], [3, "cut off"])

    def test_id(self) -> None:
        """
        Where the access log has given a connection a name, each line about it begins
        with that.
        """
        connection = served(connectionID="5d41402a-1")
        log = ConnectionLog(lines=True)
        with capturedLogs() as events:
            log.received(b"a\nb\n", connection)
            log.answered(b"A\n", connection)
            log.truncated(connection)
        self.assertEqual(
            texts(events),
            [
                "[5d41402a-1] from connected user: a",
                "[5d41402a-1] from connected user: b",
                "[5d41402a-1] sending: A",
                "[5d41402a-1] Connection from 192.0.2.1:1234 ended without a TLS"
                " close_notify: somebody on the way may have cut it short",
            ],
        )
        for event in events:
            self.assertEqual(event["connection"], "5d41402a-1")
