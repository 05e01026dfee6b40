"""
C{upper-client check} against TLS that does not do.
"""

from __future__ import annotations

import os
import socket
import ssl

from tests.authority import Authority
from tests.functional.command import faulty
from tests.functional.command.client import folder, run, serveAll
from tests.functional.command.examination import QUICK, CheckTestCase
from tests.functional.processes import Server


class TLSTests(CheckTestCase):
    """
    Certificates that do not do.
    """

    def setUp(self) -> None:
        """
        Make a certificate authority.
        """
        self.authority = Authority(folder(self))

    def assertTLSFault(self, certificate: tuple[str, str], *said: str) -> None:
        """
        Assert that the step tls fails, and that the certificate is described.
        """
        certificateFile, key = certificate
        options = ("--tls-cert", certificateFile, "--tls-key", key)
        with Server(*options) as server:
            where = f"127.0.0.1:{server.port}"
            found = self.check(where, "--tls-ca", self.authority.certificate)
        self.assertEqual(found["tls"][0], "FAIL")
        for each in said:
            self.assertIn(each, found["tls"][1])
        self.assertEqual(found["answer"], ("skip", "no TLS session"))

    def test_certificateFiles(self) -> None:
        """
        What is wrong with a certificate is told, and what it shows, too.
        """
        self.assertTLSFault(
            self.authority.issue("other", server="upper.example"),
            "for another name: upper.example, not 127.0.0.1; it shows: TLSv1.3, ",
        )
        self.assertTLSFault(
            self.authority.issue("expired", days=-9),
            "not trusted: certificate has expired; it shows: TLSv1.3, ",
            "for localhost, 127.0.0.1, ::1, expired 9 days ago",
        )
        self.assertTLSFault(
            self.authority.issue("self", selfSigned=True),
            "not trusted: self-signed certificate; it shows: TLSv1.3, ",
        )

    def test_good(self) -> None:
        """
        A good certificate is described, too.
        """
        certificate, key = self.authority.issue("server", days=10.06)
        with Server("--tls-cert", certificate, "--tls-key", key) as server:
            found = self.check(
                *(f"127.0.0.1:{server.port}", "--only", "tls,answer"),
                *("--tls-ca", os.path.dirname(self.authority.certificate)),
            )
            self.assertRegex(
                found["tls"][1],
                r"^TLSv1.3, TLS_\w+, for localhost, 127.0.0.1, ::1, 10\S* days left,",
            )
            result = run(
                *("ask", "a", f"127.0.0.1:{server.port}", "--format", "prometheus"),
                *("--tls-ca", self.authority.certificate),
            )
            self.assertIn(b"probe_ssl_earliest_cert_expiry 1", result.stdout)

    def test_plainServer(self) -> None:
        """
        A server without TLS is told.
        """
        with Server() as server:
            self.assertFault(
                "tls",
                "the server does not speak TLS (wrong version number)",
                *(f"127.0.0.1:{server.port}", "--tls"),
            )
        with serveAll(faulty.silent) as where:
            said = "no TLS handshake within 1 s"
            self.assertFault("tls", said, where, "--tls", *QUICK)

    def test_askedInPlain(self) -> None:
        """
        A server that speaks TLS and was asked in plain text is recognised.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.authority.issue("server"))

        def shakeHands(connection: socket.socket) -> None:
            context.wrap_socket(connection, server_side=True)

        with serveAll(shakeHands) as where:
            found = self.check(where)["answer"]
            self.assertEqual(found[0], "FAIL")
            self.assertIn("ask with --tls, or with --tls-ca FILE", found[1])
