"""
Tests for L{upperproto.monitoring.accessformats}.
"""

from __future__ import annotations

import json
from select import PIPE_BUF
from typing import Any

from hypothesis import given, strategies
from twisted.internet.address import (
    HostnameAddress,
    IPv4Address,
    IPv6Address,
    UNIXAddress,
)
from twisted.trial.unittest import SynchronousTestCase

from upperproto.monitoring.accessformats import (
    MAX_TEXT,
    Access,
    formatJSON,
    formatText,
)

CLIENT = IPv4Address("TCP", "192.0.2.1", 1234)
PROXY = IPv6Address("TCP", "2001:db8::1", 40000)

# 2026-01-02T03:04:05.25Z
CLOSED = 1767323045.25

ACCESS = Access(
    connectionID="5d41402a-1",
    closed=CLOSED,
    seconds=1.5,
    client=CLIENT,
    network=CLIENT,
    tlsVersion="",
    subject="",
    received=8,
    sent=7,
    undelivered=0,
    invalidLines=0,
    refused=False,
    reason="closed by the client",
)

# What clients and authorities may have chosen.
TEXTS = strategies.text(
    strategies.one_of(
        strategies.characters(exclude_categories=()),
        strategies.sampled_from(
            '\n\r\t\0\x1b\x7f\x85\u2028\u202e "\\=\ud800\U0001f600'
        ),
    ),
    max_size=MAX_TEXT + 10,
)


def columns(access: Access) -> list[str]:
    """
    Split a line as the page says.
    """
    return formatText(access).removesuffix("\n").split(" ", 14)


class TextTests(SynchronousTestCase):
    """
    Tests for L{formatText}.
    """

    def test_line(self) -> None:
        """
        A connection is a line of fifteen columns, of which the last has spaces.
        """
        self.assertEqual(
            formatText(ACCESS),
            "2026-01-02T03:04:05.250000Z 192.0.2.1:1234 id=5d41402a-1"
            " opened=2026-01-02T03:04:03.750000Z duration=1.500000 transport=tcp"
            " proxy=- tls=- subject=- received=8 sent=7 undelivered=0 invalid=0"
            " refused=no reason=closed by the client\n",
        )
        self.assertEqual(len(columns(ACCESS)), 15)
        self.assertEqual(columns(ACCESS)[-1], "reason=closed by the client")

    def test_all(self) -> None:
        """
        What is known of a proxy and of TLS stands in its place.
        """
        access = ACCESS._replace(
            network=PROXY,
            tlsVersion="1.3",
            subject="CN=Alice Liddell,O=Wonderland",
            undelivered=3,
            invalidLines=2,
            refused=True,
        )
        self.assertEqual(
            columns(access)[5:14],
            [
                *("transport=tcp", "proxy=[2001:db8::1]:40000", "tls=1.3"),
                "subject=CN=Alice\\x20Liddell,O=Wonderland",
                *("received=8", "sent=7", "undelivered=3", "invalid=2", "refused=yes"),
            ],
        )

    def test_unix(self) -> None:
        """
        A client on a UNIX socket has the name that it has given itself, if it has one;
        one of an unknown kind has none.
        """
        for address, name, transport in [
            (UNIXAddress(None), "unix", "unix"),
            (UNIXAddress(b"/run/a b\n"), "unix:/run/a\\x20b\\n", "unix"),
            (HostnameAddress(b"example.com", 1), "-", "-"),
        ]:
            access = ACCESS._replace(client=address, network=address)
            found = columns(access)
            self.assertEqual((found[1], found[6]), (name, "proxy=-"))
            self.assertEqual(found[5], f"transport={transport}")

    @given(TEXTS, TEXTS, TEXTS)
    def test_anything(self, subject: str, reason: str, path: str) -> None:
        """
        Whatever is in it, it is one printable line of fifteen columns, which a pipe
        takes in one piece.
        """
        name = path.encode("utf-8", "surrogatepass")[:107]
        address = UNIXAddress(name.replace(b"\0", b"") or None)
        access = ACCESS._replace(
            subject=subject, reason=reason, client=address, network=PROXY
        )
        line = formatText(access)
        self.assertTrue(line.removesuffix("\n").isprintable())
        self.assertLessEqual(len(line.encode()), PIPE_BUF)
        found = columns(access)
        self.assertEqual(len(found), 15)
        self.assertTrue(found[-1].startswith("reason="))
        self.assertEqual(found[7], "tls=-")


class JSONTests(SynchronousTestCase):
    """
    Tests for L{formatJSON}.
    """

    def parse(self, access: Access) -> dict[str, Any]:
        """
        Parse a line, as strictly as the standard has it.
        """
        line = formatJSON(access)
        self.assertTrue(line.endswith("\n"))
        self.assertTrue(line[:-1].isprintable() and line.isascii())
        parsed: dict[str, Any] = json.loads(line)
        json.dumps(parsed, ensure_ascii=False).encode("utf-8")
        for value in parsed.values():
            self.assertIsInstance(value, (str, int, float))
        return parsed

    def test_object(self) -> None:
        """
        A connection is a flat object. What there is not is left out.
        """
        self.assertEqual(
            self.parse(ACCESS),
            {
                "upper.connection_id": "5d41402a-1",
                "upper.opened": "2026-01-02T03:04:03.750000Z",
                "upper.closed": "2026-01-02T03:04:05.250000Z",
                "upper.duration": 1.5,
                "client.address": "192.0.2.1",
                "client.port": 1234,
                "network.transport": "tcp",
                "upper.received_bytes": 8,
                "upper.sent_bytes": 7,
                "upper.undelivered_bytes": 0,
                "upper.invalid_lines": 0,
                "upper.refused": False,
                "upper.reason": "closed by the client",
            },
        )

    def test_all(self) -> None:
        """
        What is known of a proxy and of TLS has the names of OpenTelemetry.
        """
        found = self.parse(
            ACCESS._replace(network=PROXY, tlsVersion="1.3", subject="CN=é\n")
        )
        more = found.items() - self.parse(ACCESS).items()
        self.assertEqual(
            dict(more),
            {
                "network.peer.address": "2001:db8::1",
                "network.peer.port": 40000,
                "tls.protocol.version": "1.3",
                "tls.client.subject": "CN=é\n",
            },
        )

    def test_unix(self) -> None:
        """
        A client on a UNIX socket has no port, and perhaps no address; behind a proxy on
        a UNIX socket, it has both.
        """
        for name, expected in [(None, None), (b"/run/\xff", "/run/\\xff")]:
            address = UNIXAddress(name)
            found = self.parse(ACCESS._replace(client=address, network=address))
            self.assertEqual(found["network.transport"], "unix")
            self.assertEqual(found.get("client.address"), expected)
            self.assertNotIn("client.port", found)
        found = self.parse(ACCESS._replace(network=UNIXAddress(None)))
        self.assertEqual(found["network.transport"], "unix")
        self.assertEqual(found["client.address"], "192.0.2.1")
        other = HostnameAddress(b"example.com", 1)
        found = self.parse(ACCESS._replace(client=other, network=other))
        self.assertNotIn("network.transport", found)

    @given(TEXTS, TEXTS)
    def test_anything(self, subject: str, reason: str) -> None:
        """
        Whatever is in it, it is one line of JSON, which a pipe takes in one piece.
        """
        access = ACCESS._replace(subject=subject, reason=reason[:64])
        found = self.parse(access)
        if len(subject) <= MAX_TEXT and subject.isascii():
            self.assertEqual(found.get("tls.client.subject", ""), subject)
        self.assertLessEqual(len(formatJSON(access)), PIPE_BUF)

    def test_longest(self) -> None:
        """
        The longest names are cut, so that a pipe takes the line in one piece.
        """
        found = self.parse(ACCESS._replace(subject="\U0001f600" * 1000))
        self.assertEqual(
            found["tls.client.subject"], "\U0001f600" * (MAX_TEXT - 3) + "..."
        )
        self.assertLessEqual(
            len(formatJSON(ACCESS._replace(subject="\U0001f600" * 1000))), PIPE_BUF
        )
