"""
Tests for L{upperproto.tls.certificates.untrusted}. That C{upper-client} says it is in
L{tests.functional.command}.
"""

from __future__ import annotations

import contextlib
import tempfile

from OpenSSL.SSL import (
    TLS_METHOD,
    VERIFY_PEER,
    Connection,
    Context,
    Error,
    WantReadError,
)
from twisted.trial.unittest import SynchronousTestCase

from tests.authority import Authority
from upperproto.tls.certificates.untrusted import whyNotTrusted


class WhyNotTrustedTests(SynchronousTestCase):
    """
    L{whyNotTrusted}, for two sides in memory.
    """

    def setUp(self) -> None:
        """
        Make an authority, and another one that no client trusts.
        """
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.authority = Authority(temporary.name)
        self.stranger = Authority(temporary.name, "stranger")

    def client(self) -> Connection:
        """
        Make a client that trusts the authority.
        """
        context = Context(TLS_METHOD)
        context.set_verify(VERIFY_PEER)
        context.load_verify_locations(self.authority.certificate)
        client = Connection(context, None)
        client.set_connect_state()
        return client

    def shake(self, certificate: str, key: str) -> Connection:
        """
        Let a client verify the certificate of a server.

        @return: the client's side, which has decided.
        """
        context = Context(TLS_METHOD)
        context.use_certificate_file(certificate)
        context.use_privatekey_file(key)
        server = Connection(context, None)
        server.set_accept_state()
        client = self.client()
        self.assertRaises(WantReadError, client.do_handshake)
        server.bio_write(client.bio_read(1 << 16))
        self.assertRaises(WantReadError, server.do_handshake)
        client.bio_write(server.bio_read(1 << 16))
        with contextlib.suppress(Error):
            client.do_handshake()
        return client

    def test_reasons(self) -> None:
        """
        Each fault of a certificate is named.
        """
        for issued, said in [
            (
                self.authority.issue("self", selfSigned=True),
                "self-signed certificate",
            ),
            (self.authority.issue("expired", days=-9), "certificate has expired"),
            (
                self.authority.issue("future", days=9, start=8),
                "certificate is not yet valid or the system clock is incorrect",
            ),
            (self.stranger.issue("other"), "unable to get local issuer certificate"),
        ]:
            self.assertEqual(whyNotTrusted(self.shake(*issued)), said)

    def test_noCertificate(self) -> None:
        """
        Without a certificate to verify again, there is no better reason.
        """
        self.assertEqual(whyNotTrusted(self.client()), "its verification failed")

    def test_trusted(self) -> None:
        """
        Neither is there one if OpenSSL finds no fault the second time.
        """
        client = self.shake(*self.authority.issue("server"))
        self.assertEqual(whyNotTrusted(client), "its verification failed")
