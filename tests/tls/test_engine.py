"""
Tests for L{upperproto.tls.engine}.
"""

from __future__ import annotations

import ssl

from OpenSSL import SSL
from twisted.internet.ssl import CertificateOptions, PrivateCertificate

from tests.tls.clients import TLSClient
from tests.tls.service import TLSTestCase
from upperproto.tls.certificates.serverfiles import Certificates
from upperproto.ways.tls import TLSListenerFactory


class ProtocolNegotiationTests(TLSTestCase):
    """
    Clients that offer protocols (ALPN).
    """

    def offer(self, name: str = "localhost") -> TLSClient:
        """
        Shake hands with the offer of two.

        @param name: the name of the server to ask for.
        """
        context = ssl.create_default_context(cafile=self.authority.certificate)
        context.minimum_version = context.maximum_version = self.version
        context.set_alpn_protocols(["h2", "http/1.1"])
        client = TLSClient(self.network, self.factory, context, name=name)
        client.shakeHands()
        return client

    def assertServed(self, client: TLSClient) -> None:
        """
        Assert that a client is answered, though by none of its protocols.
        """
        self.assertIsNone(client.tls.selected_alpn_protocol())
        client.say(b"hello\n")
        client.flush()
        client.receive()
        self.assertEqual(client.received, b"HELLO\n")

    def twisted(self, name: str) -> SSL.Context:
        """
        Make a context as Twisted's endpoints do.
        """
        certificate, key = self.authority.issue(name, server=name)
        with open(certificate) as first, open(key) as second:
            pair = PrivateCertificate.loadPEM(first.read() + second.read())
        options = CertificateOptions(pair.privateKey.original, pair.original)
        context: SSL.Context = options.getContext()
        return context

    def test_served(self) -> None:
        """
        A client is served, by our own contexts, again and again.
        """
        for _ in range(2):
            self.assertServed(self.offer())

    def test_twoListeners(self) -> None:
        """
        Several listeners can share a context.
        """
        getContext = Certificates(*self.authority.issue("server")).getContext
        for _ in range(2):
            self.factory = TLSListenerFactory(
                self.pending, self.service, getContext, self.service.truncated
            )
            self.assertServed(self.offer())

    def test_name(self) -> None:
        """
        A client is served by the context that the name of its server leads to, too.
        """
        first, second = self.twisted("one.example"), self.twisted("two.example")
        first.set_tlsext_servername_callback(
            lambda connection: connection.set_context(second)
        )
        self.factory = TLSListenerFactory(
            self.pending, self.service, lambda: first, self.service.truncated
        )
        for _ in range(2):
            self.assertServed(self.offer("two.example"))


class TLS12ProtocolNegotiationTests(ProtocolNegotiationTests):
    """
    The same with TLS 1.2.
    """

    version = ssl.TLSVersion.TLSv1_2


class ConnectionTests(TLSTestCase):
    """
    A connection of OpenSSL.
    """

    def test_allRecords(self) -> None:
        """
        All records that wait are taken at once, so that none stays behind.
        """
        self.converse()
        connection = self.protocol().transport.getHandle()
        for _ in range(5):
            connection.write(b"x" * 16_000)
        self.assertGreater(len(connection.take()), 80_000)
        self.assertEqual(connection.take(), b"")

    def test_noRecords(self) -> None:
        """
        A connection that is broken has nobody to be told that it ends.
        """
        client = self.converse()
        connection = self.protocol().transport.getHandle()
        client.client.send(b"GET / HTTP/1.1\r\n\r\n")
        self.network.iterateUntilIdle()
        connection.end()
        self.assertEqual(connection.take(), b"")
