"""
What OpenSSL does by itself, and how much of it a peer can have done.
"""

from __future__ import annotations

import contextlib
import ssl

from OpenSSL import SSL
from twisted.internet.protocol import ServerFactory
from twisted.internet.ssl import optionsForClientTLS, trustRootFromCertificates

from tests.memory import Client
from tests.tls.clients import TLSClient
from tests.tls.rawrecords import ALERT, HANDSHAKE, TEXT, RecordWriter
from tests.tls.service import TLSTestCase
from tests.tls.test_transport import Talker
from upperproto.tls.certificates.clientcredentials import _certificates
from upperproto.tls.factory import TLSFactory, clientSide
from upperproto.tls.floodguard import MAX_WITHOUT_TEXT
from upperproto.tls.transport import TLSTransport

# As large a read as there is.
READ = 262144


class FloodTests(TLSTestCase):
    """
    A client that sends what is no text.
    """

    def setUp(self) -> None:
        """
        Shake hands.
        """
        super().setUp()
        context = ssl.create_default_context(cafile=self.authority.certificate)
        context.keylog_filename = f"{self.folder}/keys"
        self.client = TLSClient(self.network, self.factory, context)
        self.client.shakeHands()
        self.client.client.transport.bufferSize = READ
        self.writer = RecordWriter(context.keylog_filename)

    def send(self, records: bytes) -> None:
        """
        Send records, and receive.
        """
        self.client.client.send(records)
        self.network.iterateUntilIdle()
        while self.client.client.socket.outbound:
            self.client.receive()
            self.network.iterateUntilIdle()

    def keyUpdates(self, size: int) -> bytes:
        """
        Make so many bytes of KeyUpdates.
        """
        records = b""
        while len(records) < size:
            records += self.writer.keyUpdate()
        return records

    def test_fewKeyUpdates(self) -> None:
        """
        A client may change its key, and ask us to, as often as it has something to
        say: what it says is answered at once.
        """
        for _ in range(10):
            updates = self.keyUpdates(MAX_WITHOUT_TEXT // 2)
            self.send(updates + self.writer.record(TEXT, b"hello\n"))
        self.assertEqual(self.client.received, b"HELLO\n" * 10)
        self.assertEqual(self.protocol().unsentBytes(), 0)

    def test_keyUpdatesInOneRead(self) -> None:
        """
        So it is when all of that comes at once.
        """
        records = b""
        for _ in range(10):
            records += self.keyUpdates(MAX_WITHOUT_TEXT // 2)
            records += self.writer.record(TEXT, b"hello\n")
        self.send(records)
        self.assertEqual(self.client.received, b"HELLO\n" * 10)

    def test_keyUpdates(self) -> None:
        """
        One that does nothing else for long is cut off: each costs as much time as a
        thousand bytes of text.
        """
        self.send(self.writer.record(TEXT, b"hello\n"))
        records = self.keyUpdates(4 * MAX_WITHOUT_TEXT)
        self.client.client.socket.window = 0
        self.client.client.send(records)
        self.network.iterateUntilIdle()
        # Only the beginning was answered.
        protocol = self.client.client.protocol
        self.assertLess(protocol.records._sent, 3 * MAX_WITHOUT_TEXT)
        self.client.client.socket.window = 1 << 30
        self.network.iterateUntilIdle()
        self.client.receive()
        self.assertEqual(self.client.received, b"HELLO\n")
        self.assertTrue(self.client.client.ended)
        self.client.client.finish()
        self.network.iterateUntilIdle()
        self.assertEqual(self.service.ends, [("cut off", 0)])

    def test_keyUpdatesWhileAnswersWait(self) -> None:
        """
        The answers to KeyUpdates are bounded like those to text, by what is read.
        """
        self.client.client.socket.window = 0
        self.client.client.transport.bufferSize = 10_000
        line = self.writer.record(TEXT, b"a" * 14_999 + b"\n")
        self.client.client.send(line + self.keyUpdates(MAX_WITHOUT_TEXT))
        self.network.iterateUntilIdle()
        self.assertGreater(len(self.client.client.socket.inbound), 10_000)
        self.assertEqual(self.protocol().unsentBytes(), 15_000)

    def test_keyUpdatesBehindOurEnd(self) -> None:
        """
        Behind our close_notify nothing is sent, whatever is asked for.
        """
        self.client.client.socket.window = 0
        self.protocol().finish("enough", error="enough")
        self.client.client.send(self.keyUpdates(MAX_WITHOUT_TEXT // 2))
        self.network.iterateUntilIdle()
        self.client.client.socket.window = 1 << 30
        self.network.iterateUntilIdle()
        self.assertLess(len(self.client.client.socket.outbound), 1000)
        self.client.receive()
        self.assertEqual(self.client.received, b"error: enough\n")
        self.assertTrue(self.client.notified)

    def test_handshakeBehindTheEnd(self) -> None:
        """
        What comes behind the client's close_notify is not looked at.
        """
        self.client.client.socket.window = 0
        records = self.writer.record(TEXT, b"hello\n")
        records += self.writer.record(ALERT, b"\x01\x00")
        self.client.client.send(records + self.keyUpdates(5 * MAX_WITHOUT_TEXT))
        self.network.iterateUntilIdle()
        self.client.client.socket.window = 1 << 30
        self.network.iterateUntilIdle()
        self.client.receive()
        self.assertEqual(self.client.received, b"HELLO\n")
        self.assertTrue(self.client.notified)
        self.assertEqual(self.service.ends, [("closed by the client", 0)])

    def test_emptyRecords(self) -> None:
        """
        Records without a byte of text are no harm, in small numbers; of many, OpenSSL
        itself has enough.
        """
        empty = [self.writer.record(TEXT, b"") for _ in range(20)]
        self.send(b"".join(empty) + self.writer.record(TEXT, b"hello\n"))
        self.assertEqual(self.client.received, b"HELLO\n")
        with contextlib.suppress(ssl.SSLError):
            self.send(b"".join(self.writer.record(TEXT, b"") for _ in range(100)))
        self.client.client.finish()
        self.network.iterateUntilIdle()
        self.assertEqual(self.service.ends, [("cut off", 0)])

    def test_unknownMessage(self) -> None:
        """
        A message that has no place behind the handshake breaks the connection.
        """
        self.client.client.send(self.writer.record(HANDSHAKE, b"\x08\x00\x00\x00"))
        self.network.iterateUntilIdle()
        with self.assertRaises(ssl.SSLError):
            self.client.receive()
        self.client.client.finish()
        self.network.iterateUntilIdle()
        self.assertEqual(self.service.ends, [("cut off", 0)])

    def test_tinyRecords(self) -> None:
        """
        Text in tiny records is answered as if it had come in one, in one.
        """
        text = b"hello\n" * 1000
        records = (self.writer.record(TEXT, b"%c" % each) for each in text)
        before = self.client.client.protocol.records._sent
        self.client.client.send(b"".join(records))
        self.network.iterateUntilIdle()
        sent = self.client.client.protocol.records._sent - before
        self.assertLess(sent, len(text) + 10 * 22)
        self.client.receive()
        self.assertTrue(self.client.received == text.upper())

    def test_ticketsUnread(self) -> None:
        """
        Session tickets that a client does not receive are no answers: nothing waits,
        and when it is gone, nothing is undelivered.
        """
        client = self.connect()
        client.client.socket.window = 1 << 30
        while True:
            try:
                client.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                client.flush()
                client.incoming.write(client.client.receive())
        client.client.socket.window = 0
        client.flush()
        transport = client.client.transport
        self.assertGreater(transport._tempDataLen + len(transport.dataBuffer), 100)
        conversation = client.client.protocol.wrappedProtocol
        self.assertEqual(conversation.unsentBytes(), 0)
        self.assertEqual(conversation.unacknowledgedBytes(), 0)
        client.client.socket.reset()
        self.network.iterateUntilIdle()
        self.assertEqual(self.service.ends, [("cut off", 0)])


class PyOpenSSLFloodTests(FloodTests):
    """
    The same with pyOpenSSL on the server.
    """

    usesPython = False


class HandshakeFloodTests(TLSTestCase):
    """
    A client that makes much of its handshake.
    """

    def assertRefused(self, client: TLSClient | Client, why: str) -> None:
        """
        Assert that a client was refused, with one line, and is gone.
        """
        end = client.client if isinstance(client, TLSClient) else client
        self.assertTrue(end.socket.closed)
        [refusal] = self.service.refusals
        self.assertIn(why, refusal)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_tinyPieces(self) -> None:
        """
        A handshake that comes byte by byte is one.
        """
        client = self.connect()
        while True:
            try:
                client.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                for byte in client.take():
                    client.client.send(bytes([byte]))
                    self.network.iterateUntilIdle()
                client.incoming.write(client.client.receive())
        client.say(b"hello\n")
        client.flush()
        client.receive()
        self.assertEqual(client.received, b"HELLO\n")

    def test_hugeHello(self) -> None:
        """
        A hello that is longer than OpenSSL takes is refused before it has come.
        """
        client = self.network.connect(self.factory)
        length = (1 << 20).to_bytes(3, "big")
        hello = b"\x01" + length + b"\x03\x03" + bytes(1 << 20)
        for start in range(0, len(hello), 16_000):
            piece = hello[start : start + 16_000]
            client.send(b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece)
            self.network.iterateUntilIdle()
            if client.socket.closed:
                break
        self.assertLess(start, 200_000)
        self.assertRefused(client, "TLS handshake failed: ")

    def test_hugeCertificate(self) -> None:
        """
        So is a certificate that is.
        """
        self.serve(self.authority.certificate)
        certificate, key = self.authority.issue("alice")
        context = SSL.Context(SSL.TLS_METHOD)
        context.use_certificate_chain_file(certificate)
        context.use_privatekey_file(key)
        own = _certificates(certificate)[0].original
        for _ in range(1000):
            context.add_extra_chain_cert(own)
        connection = SSL.Connection(context)
        connection.set_connect_state()
        client = self.network.connect(self.factory, window=1 << 30)
        while not client.socket.closed:
            with contextlib.suppress(SSL.WantReadError):
                connection.do_handshake()
            with contextlib.suppress(SSL.WantReadError):
                client.send(connection.bio_read(1 << 20))
            self.network.iterateUntilIdle()
            if received := client.receive():
                connection.bio_write(received)
        self.assertRefused(client, "TLS handshake failed: excessive message size")


class PyOpenSSLHandshakeFloodTests(HandshakeFloodTests):
    """
    The same with pyOpenSSL on the server.
    """

    usesPython = False


class RenegotiationTests(TLSTestCase):
    """
    TLS 1.2, in which either side may want to shake hands again.
    """

    def tls12(self) -> SSL.Context:
        """
        Make a context of OpenSSL that does.
        """
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        return context

    def exchange(self, connection: SSL.Connection, end: Client) -> bytes:
        """
        Send and receive what there is, and read text.
        """
        with contextlib.suppress(SSL.WantReadError):
            end.send(connection.bio_read(1 << 20))
        self.network.iterateUntilIdle()
        if received := end.receive():
            connection.bio_write(received)
        with contextlib.suppress(SSL.WantReadError, SSL.ZeroReturnError):
            return connection.recv(1 << 20)
        return b""

    def test_byTheClient(self) -> None:
        """
        A client is refused another handshake.
        """
        connection = SSL.Connection(self.tls12())
        connection.set_connect_state()
        client = self.network.connect(self.factory)
        with contextlib.suppress(SSL.WantReadError):
            connection.do_handshake()
        for _ in range(3):
            self.exchange(connection, client)
        connection.send(b"hello\n")
        self.assertEqual(self.exchange(connection, client), b"HELLO\n")
        connection.renegotiate()
        with contextlib.suppress(SSL.WantReadError):
            connection.do_handshake()
        with self.assertRaises(SSL.Error):
            self.exchange(connection, client)
        client.finish()
        self.network.iterateUntilIdle()
        self.assertTrue(client.socket.closed)

    def test_byTheServer(self) -> None:
        """
        What a client writes while its server wants another handshake is sent after
        it, and the end of its side behind that.
        """
        trusted = trustRootFromCertificates(_certificates(self.authority.certificate))
        creator = optionsForClientTLS("localhost", trusted)
        factory = TLSFactory(
            clientSide(creator), ServerFactory.forProtocol(Talker), self.network
        )
        end = self.network.connect(factory)
        tls: TLSTransport = end.protocol
        context = self.tls12()
        certificate, key = self.authority.issue("server")
        context.use_certificate_chain_file(certificate)
        context.use_privatekey_file(key)
        connection = SSL.Connection(context)
        connection.set_accept_state()
        for _ in range(4):
            self.exchange(connection, end)
        connection.renegotiate()
        connection.do_handshake()
        end.send(connection.bio_read(1 << 20))
        self.network.iterateUntilIdle()
        tls.write(b"hello\n")
        tls.loseWriteConnection()
        self.assertEqual(tls.unsentBytes(), 6)
        text = b"".join(self.exchange(connection, end) for _ in range(4))
        self.assertEqual(text, b"hello\n")
        self.assertTrue(end.ended)
        self.assertEqual(tls.unsentBytes(), 0)
