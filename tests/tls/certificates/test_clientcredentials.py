"""
Tests for L{upperproto.tls.certificates.clientcredentials}. That they are shown and
trusted is in L{tests.functional.command}.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.authority import Authority
from upperproto.tls.certificates.clientcredentials import BadCredentials, clientTLS


class ClientTLSTests(SynchronousTestCase):
    """
    L{clientTLS}, with files that it cannot use.
    """

    def setUp(self) -> None:
        """
        Make a certificate and files that are none.
        """
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        folder = temporary.name
        self.certificate, self.key = Authority(folder).issue("client.example")
        self.damaged = str(Path(folder, "damaged"))
        Path(self.damaged).write_text(
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        )

    def assertBad(
        self, said: str, ca: str | None, certificate: str | None, key: str | None
    ) -> None:
        """
        Assert that some files cannot be used, and why.
        """
        error = self.assertRaises(
            BadCredentials, clientTLS, "localhost", ca, certificate, key
        )
        self.assertEqual(str(error), said)

    def test_missing(self) -> None:
        """
        A file that is not there.
        """
        said = "cannot read /nowhere: No such file or directory"
        self.assertBad(said, "/nowhere", None, None)
        self.assertBad(said, None, "/nowhere", self.key)
        self.assertBad(said, None, self.certificate, "/nowhere")

    def test_noCertificate(self) -> None:
        """
        A file without certificates, or with a damaged one.
        """
        self.assertBad(f"no certificate in {self.key}", self.key, None, None)
        self.assertBad(
            f"a certificate in {self.damaged} is damaged", self.damaged, None, None
        )

    def test_noKey(self) -> None:
        """
        A file without a key, or with another one's.
        """
        self.assertBad(
            f"no private key that can be used in {self.certificate}",
            *(None, self.certificate, None),
        )
        _, other = Authority(os.path.dirname(self.key)).issue("other.example")
        self.assertBad(
            f"another certificate's key in {other}",
            *(None, self.certificate, other),
        )

    def test_noName(self) -> None:
        """
        A name that no server can have.
        """
        for name in "a..b", "a" * 64:
            error = self.assertRaises(BadCredentials, clientTLS, name, None, None, None)
            self.assertEqual(str(error), f"not the name of a server: {name!r}")
