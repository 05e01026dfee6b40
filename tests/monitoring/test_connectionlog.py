"""
Tests for L{upperproto.monitoring.connectionlog}.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from io import StringIO

from hypothesis import given, strategies
from twisted.internet.address import (
    HostnameAddress,
    IPv4Address,
    IPv6Address,
    UNIXAddress,
)
from twisted.logger import (
    LogEvent,
    capturedLogs,
    eventAsText,
    jsonFileLogObserver,
    textFileLogObserver,
)
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests import sample
from tests.monitoring.connections import CLIENT, served
from upperproto.interfaces import IConnectionLog
from upperproto.monitoring.connectionlog import ConnectionLog, escape, peerName


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


class EscapeTests(SynchronousTestCase):
    """
    Tests for L{escape}.
    """

    def test_printable(self) -> None:
        """
        What is printable stays as it is, in any script.
        """
        for text in ("hello, world", "straße", "漢字 ΑΒΓ", "{curly} %s"):
            self.assertEqual(escape(text.encode()), text)

    def test_escapes(self) -> None:
        """
        What is not is named in Python's manner.
        """
        for data, expected in {
            b"\r": r"\r",
            b"\n": r"\n",
            b"\t": r"\t",
            b"\0": r"\x00",
            b"\x7f": r"\x7f",
            b"\x1b[2J": r"\x1b[2J",
            b"a\\n": r"a\\n",
            "\x85".encode(): r"\x85",
            "\x9b2J".encode(): r"\x9b2J",
            "\u2028\u2029".encode(): r"\u2028\u2029",
            "\u202e\u2066\u200f".encode(): r"\u202e\u2066\u200f",
            "\ufeff\u200b".encode(): r"\ufeff\u200b",
            "\U000e0041".encode(): r"\U000e0041",
            b"a\xffb\x80": r"a\xffb\x80",
            b"\xed\xa0\x80": r"\xed\xa0\x80",
        }.items():
            self.assertEqual(escape(data), expected)

    def test_everyCharacter(self) -> None:
        """
        No character passes that is not printable, alone or in company.
        """
        for point in sample(range(sys.maxunicode + 1)):
            character = chr(point)
            escaped = escape(character.encode("utf-8", "surrogatepass"))
            if not escaped.isprintable():
                self.fail(f"U+{point:04X}")
            if escaped != character:
                self.assertEqual(escaped[0], "\\")
                self.assertTrue(escaped.isascii())

    @given(strategies.binary(max_size=20))
    def test_anything(self, data: bytes) -> None:
        """
        Whatever the bytes, what is logged is printable and can be encoded; where
        nothing is escaped, it is what was said.
        """
        escaped = escape(data)
        self.assertTrue(escaped.isprintable())
        escaped.encode()
        if "\\" not in escaped:
            self.assertEqual(escaped.encode(), data)


class ConnectionLogTests(SynchronousTestCase):
    """
    Tests for L{ConnectionLog}.
    """

    def texts(self, events: Sequence[LogEvent]) -> list[str]:
        """
        What is logged, as the text log has it.
        """
        return [
            eventAsText(event, includeTimestamp=False, includeSystem=False)
            for event in events
        ]

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
        self.assertEqual(self.texts(events), ["Connection from 192.0.2.1:1234"])

    def test_refused(self) -> None:
        """
        So are one that does not come in, and one that may have been cut short.
        """
        with capturedLogs() as events:
            ConnectionLog().refused(CLIENT, "no password", None, 0)
            ConnectionLog().truncated(served())
        self.assertEqual(
            self.texts(events),
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
            self.texts(events),
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

    def test_asByLogger(self) -> None:
        """
        The events are those that Twisted's L{Logger} makes.
        """
        log = ConnectionLog()
        with capturedLogs() as events:
            log.opened(served())
            log._log.info("Connection from {peer}", peer="192.0.2.1:1234")
        [ours, theirs] = events
        self.assertLess(abs(theirs["log_time"] - ours["log_time"]), 60)
        self.assertEqual(repr(ours["log_logger"]), repr(theirs["log_logger"]))
        self.assertEqual(ours.keys(), theirs.keys())
        for key in ("log_level", "log_namespace", "log_source", "log_format", "peer"):
            self.assertEqual(ours[key], theirs[key], key)

    def test_contents(self) -> None:
        """
        Each line that is received, and each answer, is a record of its own, in
        the tutorial's words.
        """
        with capturedLogs() as events:
            ConnectionLog(lines=True).received(b"a\nb\r\n\nc")
            ConnectionLog(lines=True).answered(b"A\nB\r\n")
        self.assertEqual(
            self.texts(events),
            [
                "from connected user: a",
                r"from connected user: b\r",
                "from connected user: ",
                "from connected user: c",
                "sending: A",
                r"sending: B\r",
            ],
        )

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
            self.texts(events),
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

    @given(strategies.binary(max_size=20))
    def test_noForgery(self, data: bytes) -> None:
        """
        Whatever is said, neither the text log nor the JSON log has a record
        more than there are lines, or a character that is not printable.
        """
        data = b"\r\x1b[31m{log_level}\xe2\x80\xa8" + data
        text, structured = StringIO(), StringIO()
        with capturedLogs() as events:
            ConnectionLog(lines=True).received(data)
        for event in events:
            textFileLogObserver(text)(event)
            jsonFileLogObserver(structured)(event)
        said = data.removesuffix(b"\n").split(b"\n")
        self.assertEqual(len(events), len(said))
        lines = text.getvalue().split("\n")[:-1]
        self.assertEqual(len(lines), len(said))
        for line in lines:
            self.assertTrue(line.isprintable(), line)
            self.assertIn(" from connected user: ", line)
        records = structured.getvalue().removeprefix("\x1e").split("\x1e")
        self.assertEqual(len(records), len(said))
        for record, part in zip(records, said, strict=True):
            self.assertEqual(json.loads(record)["line"], escape(part))
