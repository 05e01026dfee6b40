"""
Tests for L{upperproto.ways.tls}.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import Any

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from zope.interface import implementer

from tests.authority import Authority
from tests.tls.service import TLSTestCase
from upperproto.protocol import UpperProtocol
from upperproto.servedconnection import LINGER_TIMEOUT
from upperproto.tls.transport import TLSTransport
from upperproto.ways.handshake import HANDSHAKE_TIMEOUT

# The warning alert "close notify" as a record of its own, in the clear.
CLOSE_NOTIFY = b"\x15\x03\x03\x00\x02\x01\x00"


class TLSTests(TLSTestCase):
    """
    A service over TLS.
    """

    def test_lastSegment(self) -> None:
        """
        What comes in one segment with the client's close_notify is answered in
        full, and then comes ours.
        """
        client = self.converse()
        client.say(b"hello\n")
        client.say(b"the last line")
        client.end()
        client.flush()
        client.receive()
        self.assertEqual(client.received, b"HELLO\nTHE LAST LINE")
        self.assertTrue(client.notified)
        self.assertTrue(client.client.socket.closed)
        self.assertFalse(client.client.socket.cut)

    def test_separateEnd(self) -> None:
        """
        So it is when the close_notify comes on its own, and TCP ends with it.
        """
        client = self.converse()
        client.say(b"hello")
        client.flush()
        client.end()
        client.flush()
        client.client.finish()
        self.network.iterateUntilIdle()
        client.receive()
        self.assertEqual(client.received, b"HELLO")
        self.assertTrue(client.notified)
        self.assertTrue(client.client.socket.closed)

    def test_cutShort(self) -> None:
        """
        A client whose TCP stream ends without a close_notify is answered in
        full, and the log says that it was cut short.
        """
        client = self.converse()
        protocol = self.protocol()
        client.say(b"hello")
        client.flush()
        client.client.finish()
        self.network.iterateUntilIdle()
        client.receive()
        self.assertEqual(client.received, b"HELLO")
        self.assertTrue(client.notified)
        self.assertEqual(self.service.truncations, 1)
        self.assertEqual(self.service.cutShort, [protocol])

    def test_slowReader(self) -> None:
        """
        A client that ends its side and reads later gets all, while memory is
        bounded: what it does not read, the server does not read either.
        """
        said = b"0123456789abcde\n" * 100_000
        client = self.converse()
        for start in range(0, len(said), 16_000):
            client.say(said[start : start + 16_000])
        client.end()
        client.flush()
        self.assertGreater(len(client.client.socket.inbound), len(said) // 2)
        self.assertFalse(client.notified)
        while not client.notified:
            client.receive(10_000)
            self.network.iterateUntilIdle()
        self.assertTrue(client.received == said.upper())

    def test_finish(self) -> None:
        """
        When the service ends a conversation, its last words are followed by a
        close_notify; what the client still sends is read and thrown away until
        the client ends, too.
        """
        client = self.converse()
        self.protocol().finish("enough", error="enough")
        self.network.iterateUntilIdle()
        client.receive()
        self.assertEqual(client.received, b"error: enough\n")
        self.assertTrue(client.notified)
        self.assertTrue(client.client.socket.ended)
        self.assertFalse(client.client.socket.closed)
        client.say(b"more\n")
        client.flush()
        self.assertFalse(client.client.socket.closed)
        self.assertEqual(client.client.socket.inbound, b"")
        client.end()
        client.flush()
        self.assertTrue(client.client.socket.closed)
        self.assertFalse(client.client.socket.cut)

    def test_finishThenCut(self) -> None:
        """
        So it is when the client ends TCP without a close_notify.
        """
        client = self.converse()
        self.protocol().finish("enough")
        self.network.iterateUntilIdle()
        client.client.finish()
        self.network.iterateUntilIdle()
        self.assertTrue(client.client.socket.closed)
        self.assertEqual(self.service.connections, {})

    def test_finishAndLinger(self) -> None:
        """
        A client that does not end its side is not waited for without limit.
        """
        client = self.converse()
        self.protocol().finish("enough")
        self.network.wait(LINGER_TIMEOUT)
        self.assertTrue(client.client.socket.closed)

    def test_turnedAway(self) -> None:
        """
        A client without a place is told so after the handshake, and then our
        side ends in order.
        """
        self.serve(maxConnections=1)
        self.converse()
        client = self.converse()
        client.receive()
        self.assertEqual(client.received, b"error: too many connections\n")
        self.assertTrue(client.notified)

    def test_endTwice(self) -> None:
        """
        Our side ends once, however often that is asked.
        """
        client = self.converse()
        transport = self.protocol().transport
        transport.unregisterProducer()
        transport.loseWriteConnection()
        transport.loseWriteConnection()
        self.network.iterateUntilIdle()
        client.receive()
        self.assertTrue(client.notified)
        self.assertEqual(client.incoming.pending, 0)

    def test_fatalAlert(self) -> None:
        """
        A client that breaks off is not taken for one that has ended.
        """
        client = self.converse()
        # It has received what cannot have come from the server.
        client.incoming.write(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        self.assertRaises(ssl.SSLError, client.read)
        client.flush()
        client.client.finish()
        self.network.iterateUntilIdle()
        self.assertTrue(client.client.socket.closed)
        self.assertEqual(self.service.ends, [("cut off", 0)])

    def test_subject(self) -> None:
        """
        A client that has to have a certificate, and has, is known to the log by
        its subject.
        """
        self.serve(self.authority.certificate)
        self.converse(*self.authority.issue("alice"))
        self.assertEqual(self.protocol().identity, "CN=alice")

    def test_refusedByTheLog(self) -> None:
        """
        Of one that is refused, it is known how long it was waited for, and where it
        came from.
        """
        told: list[tuple[Any, ...]] = []
        self.patch(self.pending, "refused", lambda *arguments: told.append(arguments))
        client = self.connect()
        self.network.wait(2.5)
        client.client.finish()
        self.network.iterateUntilIdle()
        [(peer, why, transport, seconds)] = told
        self.assertEqual(peer, transport.getPeer())
        self.assertEqual((why, seconds), ("closed before a TLS handshake", 2.5))

    def test_noSubject(self) -> None:
        """
        Where none is asked for, none is known.
        """
        self.converse(*self.authority.issue("alice"))
        self.assertEqual(self.protocol().identity, "")

    def test_version(self) -> None:
        """
        The version of TLS is known before the conversation begins.
        """
        versions: list[str] = []

        def note(protocol: UpperProtocol) -> None:
            versions.append(protocol.tlsVersion)

        self.patch(UpperProtocol, "connectionMade", note)
        self.converse()
        self.assertEqual(versions, [self.version.name.replace("_", ".")[4:]])

    def test_noCertificate(self) -> None:
        """
        A client that has to have a certificate, and has none, is refused.
        """
        self.serve(self.authority.certificate)
        client = self.connect()
        with contextlib.suppress(ssl.SSLError):
            client.shakeHands()
        self.assertTrue(client.client.socket.closed)
        self.assertEqual(
            self.service.refusals,
            ["TLS handshake failed: peer did not return a certificate"],
        )
        self.assertEqual(self.service.ends, [])

    def test_wrongCertificate(self) -> None:
        """
        So is one whose certificate somebody else has issued, or that has
        expired.
        """
        self.serve(self.authority.certificate)
        stranger = Authority(f"{self.folder}/other").issue("alice")
        expired = self.authority.issue("bob", days=-1)
        for certificate in (stranger, expired):
            client = self.connect(*certificate)
            with contextlib.suppress(ssl.SSLError):
                client.shakeHands()
            self.assertTrue(client.client.socket.closed)
        self.assertEqual(
            self.service.refusals,
            ["TLS handshake failed: certificate verify failed"] * 2,
        )

    def test_plainText(self) -> None:
        """
        Plain text is refused with one line.
        """
        client = self.network.connect(self.factory)
        client.send(b"hello, is anybody there?\n")
        self.network.iterateUntilIdle()
        self.assertTrue(client.socket.closed)
        self.assertEqual(
            self.service.refusals, ["TLS handshake failed: wrong version number"]
        )

    def test_closeNotifyFirst(self) -> None:
        """
        So is a client that ends before it has begun.
        """
        client = self.network.connect(self.factory)
        client.send(CLOSE_NOTIFY)
        self.network.iterateUntilIdle()
        self.assertTrue(client.socket.closed)
        [refusal] = self.service.refusals
        self.assertTrue(refusal.startswith("TLS handshake failed: "), refusal)

    def test_closeNotifyAmid(self) -> None:
        """
        So is one that ends in the middle of its handshake.
        """
        client = self.connect()
        with contextlib.suppress(ssl.SSLWantReadError):
            client.tls.do_handshake()
        client.flush()
        client.client.send(CLOSE_NOTIFY)
        self.network.iterateUntilIdle()
        self.assertTrue(client.client.socket.closed)
        [refusal] = self.service.refusals
        self.assertTrue(refusal.startswith("TLS handshake failed: "), refusal)

    def test_brokenAmid(self) -> None:
        """
        So is one whose next record is broken, and the log says what it was.
        """
        client = self.connect()
        client.beginHandshake()
        client.client.send(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        self.network.iterateUntilIdle()
        self.assertTrue(client.client.socket.closed)
        [refusal] = self.service.refusals
        self.assertTrue(refusal.startswith("TLS handshake failed: "), refusal)
        self.assertNotIn("record layer failure", refusal)

    def test_gone(self) -> None:
        """
        A client that goes before or amid its handshake makes one line.
        """
        client = self.connect()
        client.client.finish()
        self.network.iterateUntilIdle()
        self.assertTrue(client.client.socket.closed)
        client = self.connect()
        with contextlib.suppress(ssl.SSLWantReadError):
            client.tls.do_handshake()
        client.flush()
        client.client.finish()
        self.network.iterateUntilIdle()
        self.assertTrue(client.client.socket.closed)
        self.assertEqual(self.service.refusals, ["closed before a TLS handshake"] * 2)

    def test_late(self) -> None:
        """
        A handshake that never comes is not waited for without limit.
        """
        client = self.network.connect(self.factory)
        self.network.wait(HANDSHAKE_TIMEOUT)
        self.assertTrue(client.socket.closed)
        self.assertEqual(self.service.refusals, ["no TLS handshake within 10 s"])

    def test_slow(self) -> None:
        """
        Nor is one that has begun.
        """
        client = self.connect()
        with contextlib.suppress(ssl.SSLWantReadError):
            client.tls.do_handshake()
        client.flush()
        self.network.wait(HANDSHAKE_TIMEOUT)
        self.assertTrue(client.client.socket.closed)

    def test_unix(self) -> None:
        """
        A UNIX socket is not TLS.
        """
        protocol = self.factory.buildProtocol(UNIXAddress(None))
        self.assertIsInstance(protocol, UpperProtocol)
        protocol = self.factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1))
        self.assertIsInstance(protocol, TLSTransport)

    def test_otherProtocol(self) -> None:
        """
        A protocol that cannot be half-closed is closed with its client.
        """
        self.serveBy(Protocol)
        for cut in [False, True]:
            client = self.converse()
            if cut:
                client.client.finish()
                self.network.iterateUntilIdle()
            else:
                client.end()
                client.flush()
            client.receive()
            self.assertTrue(client.notified)
            self.assertTrue(client.client.socket.closed)

    def test_otherProtocolGoesOn(self) -> None:
        """
        One that can is told once, by the close_notify, and may go on; the end of
        the TCP stream is nothing new.
        """
        ends: list[Any] = []

        @implementer(IHalfCloseableProtocol)
        class Talker(Protocol):
            def readConnectionLost(self) -> None:
                ends.append(self.transport)

            def writeConnectionLost(self) -> None:
                pass

        self.serveBy(Talker)
        client = self.converse()
        client.end()
        client.flush()
        [transport] = ends
        client.client.finish()
        self.network.iterateUntilIdle()
        self.assertEqual(len(ends), 1)
        self.assertEqual(self.service.truncations, 0)
        transport.write(b"and another thing")
        self.network.iterateUntilIdle()
        client.receive()
        self.assertEqual(client.received, b"and another thing")

    def test_otherProtocolEnds(self) -> None:
        """
        Such a protocol may end its own side, and is not told that it has.
        """

        class Goodbye(Protocol):
            def connectionMade(self) -> None:
                assert self.transport is not None
                self.transport.write(b"goodbye\n")
                self.transport.loseWriteConnection()  # type: ignore[attr-defined]

        self.serveBy(Goodbye)
        client = self.converse()
        client.receive()
        self.assertEqual(client.received, b"goodbye\n")
        self.assertTrue(client.notified)
        self.assertFalse(client.client.socket.closed)


class TLS12Tests(TLSTests):
    """
    The same with TLS 1.2.
    """

    version = ssl.TLSVersion.TLSv1_2


class PyOpenSSLTLSTests(TLSTests):
    """
    The same with pyOpenSSL on the server.
    """

    usesPython = False
