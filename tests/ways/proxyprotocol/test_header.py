"""
Tests for L{upperproto.ways.proxyprotocol.header}.
"""

from __future__ import annotations

import re
import socket
import struct

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.trial.unittest import SynchronousTestCase

from upperproto.ways.proxyprotocol.header import MAX_HEADER, crc32c, parse

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def version2(command: int, family: int, following: bytes) -> bytes:
    """
    Make a header of version 2.

    @param command: 0x20 is LOCAL, 0x21 PROXY.
    @param family: 0x11 is TCP over IPv4, 0x21 TCP over IPv6, 0x31 a UNIX stream.
    @param following: what follows the length.
    """
    length = struct.pack("!H", len(following))
    return SIGNATURE + bytes([command, family]) + length + following


def field(kind: int, value: bytes) -> bytes:
    """
    Make an additional field.
    """
    return struct.pack("!BH", kind, len(value)) + value


def withChecksum(family: int, addresses: bytes, fields: bytes = b"") -> bytes:
    """
    Make a header whose checksum is right, and stands between two fields.
    """
    noop = field(0x04, b"")
    header = version2(0x21, family, addresses + noop + field(0x03, bytes(4)) + fields)
    start = 16 + len(addresses) + len(noop) + 3
    return header[:start] + struct.pack("!I", crc32c(header)) + header[start + 4 :]


IPV4 = bytes([192, 0, 2, 1, 192, 0, 2, 2]) + struct.pack("!HH", 40000, 5000)
IPV6 = socket.inet_pton(socket.AF_INET6, "2001:db8::1") * 2
IPV6 += struct.pack("!HH", 40000, 5000)
UNIX = b"/client".ljust(108, b"\0") + b"/server".ljust(108, b"\0")
CLIENT = IPv4Address("TCP", "192.0.2.1", 40000)
CLIENT6 = IPv6Address("TCP", "2001:db8::1", 40000)
LONGEST = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"

# Valid headers, with the client that each speaks of. Among them are all that the
# specification shows, with its numbers of bytes.
HEADERS: list[tuple[bytes, IAddress | None]] = [
    (b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 5000\r\n", CLIENT),
    (
        b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
        IPv4Address("TCP", "192.168.0.1", 56324),
    ),
    (
        b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
        IPv4Address("TCP", "255.255.255.255", 65535),
    ),
    (b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", IPv4Address("TCP", "0.0.0.0", 0)),
    (b"PROXY TCP6 2001:DB8:0::1 ::1 40000 5000\r\n", CLIENT6),
    (b"PROXY TCP6 2001:0db8:0000::0001 ::1 40000 5000\r\n", CLIENT6),
    (b"PROXY TCP6 :: ::1 40000 5000\r\n", IPv6Address("TCP", "::", 40000)),
    (
        b"PROXY TCP6 ::ffff:192.0.2.1 ::FFFF:c000:202 40000 5000\r\n",
        IPv6Address("TCP", "::ffff:192.0.2.1", 40000),
    ),
    (
        f"PROXY TCP6 {LONGEST} {LONGEST} 65535 65535\r\n".encode(),
        IPv6Address("TCP", LONGEST, 65535),
    ),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN \r\n", None),
    (b"PROXY UNKNOWN \n\r \xff  nonsense\r\n", None),
    (f"PROXY UNKNOWN {LONGEST} {LONGEST} 65535 65535\r\n".encode(), None),
    # A health check; its family is ignored, as is all that follows.
    (version2(0x20, 0, b""), None),
    (version2(0x20, 0xFF, b"\x03"), None),
    (version2(0x20, 0x11, IPV4), None),
    # Nothing is known of the client, or of how it came.
    (version2(0x21, 0x00, b""), None),
    (version2(0x21, 0x01, b"\x03"), None),
    (version2(0x21, 0x10, IPV4), None),
    (version2(0x21, 0x11, IPV4), CLIENT),
    (version2(0x21, 0x12, IPV4), IPv4Address("UDP", "192.0.2.1", 40000)),
    (version2(0x21, 0x21, IPV6), CLIENT6),
    (version2(0x21, 0x22, IPV6), IPv6Address("UDP", "2001:db8::1", 40000)),
    # Whatever path is claimed: it would be looked for on this machine.
    (version2(0x21, 0x31, UNIX), UNIXAddress(None)),
    (version2(0x21, 0x32, b"\0client".ljust(216, b"\0")), UNIXAddress(None)),
    # With additional fields.
    (version2(0x21, 0x11, IPV4 + field(0xEA, b"x" * 297)), CLIENT),
    (version2(0x21, 0x21, IPV6 + field(0x01, b"h2") + field(0x04, b"")), CLIENT6),
    (withChecksum(0x11, IPV4), CLIENT),
    (withChecksum(0x21, IPV6, field(0x05, b"unique")), CLIENT6),
    (version2(0x21, 0x11, IPV4 + field(0xEA, bytes(MAX_HEADER - 31))), CLIENT),
]

VALID = b"192.0.2.1 192.0.2.2 40000 5000"
WRONG_SUM = bytearray(withChecksum(0x11, IPV4))
WRONG_SUM[-1] ^= 1
CHECKSUM = withChecksum(0x11, IPV4)[-7:]

NO_PORTS = [b"1_0", b"+7", b"-1", b"00040", b"00", b"65536", b"99999", b"port", b"0x1"]
NO_PORTS += [b"1.0", b"\xd9\xa1", b"4" * 30, b""]
NO_IPV4 = [b"\x1b[31mroot", b"2001:db8::1", b"192.0.2", b"192.0.2.1.1", b"1", b""]
NO_IPV4 += [b"192.0.2.256", b"192.0.02.1", b"192.0.2.01", b"0300.0.2.1", b"192.0.2."]
NO_IPV4 += [b"192.0.2.1/32", b"localhost", b"\xff", b"0x7f.0.0.1", b"192..2.1"]
NO_IPV6 = [b"192.0.2.1", b"fe80::1%eth0", b"fe80::1%\x1b[31m", b"::1/128", b"::1::2"]
NO_IPV6 += [b"1:2:3:4:5:6:7", b"1:2:3:4:5:6:7:8:9", b"1:2:3:4::5:6:7:8", b":1::2", b""]
NO_IPV6 += [b"00001::", b"g::", b":", b":::", b"[::1]", b"::192.0.2.01"]

# What is no header, or cannot become one.
NO_HEADERS = [
    b"hello\n",
    b"proxy TCP4 " + VALID + b"\r\n",
    b"PROXX",
    b"PROXYTCP4",
    b"\r\nhello",
    SIGNATURE[:-1] + b"X",
    # A line that is too long, or does not end.
    b"PROXY UNKNOWN" + b"x" * 94,
    b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
    b"PROXY UNKNOWN " + b"x" * 92 + b"\r\r\n",
    b"PROXY TCP6 " + b" " * 96,
    b"PROXY TCP4 " + VALID + b"\n",
    b"PROXY TCP4 " + VALID + b"\rhello",
    b"PROXY TCP4 192.0.2.1\r192.0.2.2 40000 5000\r\n",
    # Spaces.
    b"PROXY \r\n",
    b"PROXY  TCP4 " + VALID + b"\r\n",
    b"PROXY TCP4  " + VALID + b"\r\n",
    b"PROXY\tTCP4 " + VALID + b"\r\n",
    b"PROXY TCP4 192.0.2.1  192.0.2.2 40000 5000\r\n",
    b"PROXY TCP4 " + VALID + b" \r\n",
    b"PROXY TCP4\r\n",
    b"PROXY TCP4 \r\n",
    # Protocols.
    b"PROXY TCP5 " + VALID + b"\r\n",
    b"PROXY tcp4 " + VALID + b"\r\n",
    b"PROXY TCP46 " + VALID + b"\r\n",
    b"PROXY UNKNOWNX\r\n",
    b"PROXY UNKNOWN\n",
    b"PROXY UDP4 " + VALID + b"\r\n",
    # Fields.
    b"PROXY TCP4 192.0.2.1 192.0.2.2 40000\r\n",
    b"PROXY TCP4 " + VALID + b" 1\r\n",
    b"PROXY TCP4 " + VALID + b" trailing words\r\n",
    *(
        b"PROXY TCP4 192.0.2.1 192.0.2.2 " + ports + b"\r\n"
        for port in NO_PORTS
        for ports in (port + b" 5000", b"40000 " + port)
    ),
    *(
        b"PROXY TCP4 " + hosts + b" 40000 5000\r\n"
        for host in NO_IPV4
        for hosts in (host + b" 192.0.2.2", b"192.0.2.1 " + host)
    ),
    *(
        b"PROXY TCP6 " + hosts + b" 40000 5000\r\n"
        for host in NO_IPV6
        for hosts in (host + b" ::1", b"::1 " + host)
    ),
    # Version 2.
    version2(0x11, 0x11, IPV4),
    version2(0x31, 0x11, IPV4),
    version2(0x22, 0x11, IPV4),
    version2(0x2F, 0x11, IPV4),
    version2(0x21, 0x41, IPV4),
    version2(0x21, 0xF0, IPV4),
    version2(0x21, 0x13, IPV4),
    version2(0x21, 0x03, IPV4),
    version2(0x21, 0x11, b""),
    version2(0x21, 0x11, IPV4[:-1]),
    version2(0x21, 0x21, IPV6[:-1]),
    version2(0x21, 0x31, UNIX[:-1]),
    version2(0x21, 0x11, IPV4 + b"\x04"),
    version2(0x21, 0x11, IPV4 + b"\x04\0"),
    version2(0x21, 0x11, IPV4 + b"\x04\0\x01"),
    version2(0x21, 0x11, IPV4 + field(0x04, b"") + b"\x04\xff\xff"),
    version2(0x21, 0x11, IPV4 + field(0xEA, bytes(MAX_HEADER - 30))),
    version2(0x21, 0x11, IPV4 + bytes(65535 - 12)),
    version2(0x20, 0x00, bytes(65535)),
    bytes(WRONG_SUM),
    version2(0x21, 0x11, IPV4 + field(0x03, b"\0")),
    version2(0x21, 0x11, IPV4 + CHECKSUM + CHECKSUM),
]

# By the text of the specification alone: a number without heading zeroes.
BYTE = rb"(?:\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])"
PORT = rb"(?:\d|[1-9]\d{1,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])"
HOST = rb"\.".join([BYTE] * 4)
TCP4 = re.compile(b"PROXY TCP4 (%b) %b (%b) %b\r\n" % (HOST, HOST, PORT, PORT))


class ParseTests(SynchronousTestCase):
    """
    Tests for L{parse}.
    """

    def outcome(self, data: bytes) -> object:
        """
        What becomes of some bytes; where they have a header, as a whole.
        """
        try:
            return parse(data)
        except ValueError as error:
            self.assertIn("PROXY header", str(error))
            return "no header"

    def assertStable(self, data: bytes) -> None:
        """
        Assert that it makes no difference in which pieces bytes come: once
        something is known of the first of them, it holds for all.
        """
        known: object = None
        for end in range(len(data) + 1):
            outcome = self.outcome(data[:end])
            if isinstance(known, tuple):
                source, rest = known
                self.assertEqual(outcome, (source, rest + data[end - 1 : end]), data)
            elif known is not None:
                self.assertEqual(outcome, known, data[:end])
            known = outcome

    def test_headers(self) -> None:
        """
        A header gives the client's address, in its usual spelling, or none where
        there is none; what follows is given back.
        """
        for header, client in HEADERS:
            for rest in (b"", b"PROXY\r\n", b"\r\n", b"x" * 10000):
                self.assertEqual(parse(header + rest), (client, rest), header)

    def test_incomplete(self) -> None:
        """
        Any beginning of a header may become one, wherever it is split.
        """
        for header, _ in HEADERS:
            for end in range(len(header)):
                self.assertIsNone(parse(header[:end]), header[:end])

    def test_noHeaders(self) -> None:
        """
        Whatever is no header is refused, and was so from the byte on that made
        it certain, whatever comes after it.
        """
        for data in NO_HEADERS:
            self.assertRaises(ValueError, parse, data)
            if len(data) < 1000:
                self.assertStable(data + b"\r\nmore\r\n")

    def test_atOnce(self) -> None:
        """
        What cannot become a header is refused before its end has come.
        """
        for data in (
            b"h",
            b"PROXY t",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 5000\n",
            b"PROXY TCP4 [",
            b"PROXY UNKNOWN\n",
            version2(0x22, 0x11, IPV4)[:16],
            version2(0x21, 0x11, bytes(MAX_HEADER))[:16],
        ):
            self.assertEqual(self.outcome(data[:-1]), None, data)
            self.assertEqual(self.outcome(data), "no header", data)

    def test_secrets(self) -> None:
        """
        What was sent in place of a header does not get into the message, and so
        into a log.
        """
        for data in (b"PROXY TCP4 \x1b[31m", b"PROXY TCP6 dead::beef 1 2 3\r\n"):
            error = self.assertRaises(ValueError, parse, data)
            self.assertRegex(str(error), r"^an invalid PROXY header \([a-zA-Z ]+\)$")

    @given(st.sampled_from(HEADERS), st.data())
    def test_mutated(self, header: tuple[bytes, object], draw: st.DataObject) -> None:
        """
        One byte more, less or else is a header or none, and the same one in all
        pieces.
        """
        data, _ = header
        data = data[:120]
        at = draw.draw(st.integers(0, len(data)))
        byte = draw.draw(
            st.sampled_from([b"", *(bytes([each]) for each in range(256))])
        )
        for end in (at, at + 1):
            self.assertStable(data[:at] + byte + data[end:])

    @given(
        st.lists(
            st.sampled_from(
                [*b" .:0159\r\n", b"PROXY ", b"TCP4 ", b"192.0.2.1", b"25"]
            ),
            max_size=40,
        )
    )
    def test_byTheText(self, pieces: list[bytes | int]) -> None:
        """
        Of IPv4, exactly what the specification describes is taken.
        """
        line = b"".join(
            each if isinstance(each, bytes) else bytes([each]) for each in pieces
        )
        for data in (line, b"PROXY TCP4 192.0.2.1 " + line, b"PROXY TCP4 " + line):
            whole = TCP4.fullmatch(data + b"\r\n")
            outcome = self.outcome(data + b"\r\n")
            if whole is not None:
                host, port = whole[1].decode(), int(whole[2])
                self.assertEqual(outcome, (IPv4Address("TCP", host, port), b""))
            elif TCP4.match(data + b"\r\n") is None:
                self.assertFalse(isinstance(outcome, tuple), data)

    @given(st.binary(max_size=200), st.sampled_from([b"", b"PROXY ", SIGNATURE]))
    def test_anything(self, data: bytes, start: bytes) -> None:
        """
        No bytes make it fail in another way.
        """
        self.assertStable(start + data)


class ChecksumTests(SynchronousTestCase):
    """
    Tests for L{crc32c}.
    """

    def test_known(self) -> None:
        """
        It gives the checksums that RFC 3720, appendix B.4, lists; the bytes there
        stand in the order in which iSCSI sends them.
        """
        for data, checksum in [
            (bytes(32), 0x8A9136AA),
            (b"\xff" * 32, 0x62A8AB43),
            (bytes(range(32)), 0x46DD794E),
            (bytes(reversed(range(32))), 0x113FDB5C),
            (b"123456789", 0xE3069283),
            (b"", 0),
        ]:
            self.assertEqual(crc32c(data), checksum)
