"""
Tests for L{upperproto.tls.certificates.clientidentity}.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from OpenSSL.crypto import FILETYPE_PEM, load_certificate
from twisted.trial.unittest import SynchronousTestCase

from tests.authority import Authority
from upperproto.tls.certificates.clientidentity import clientIdentity


class ClientIdentityTests(SynchronousTestCase):
    """
    Tests for L{clientIdentity}.
    """

    def test_subject(self) -> None:
        """
        It is the subject of the certificate. A comma in a name is escaped, so that no
        name can look like two.
        """
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        path, _ = Authority(folder).issue("alice,O=Example")
        certificate = load_certificate(FILETYPE_PEM, Path(path).read_bytes())
        self.assertEqual(clientIdentity(certificate), "CN=alice\\,O=Example")

    def test_none(self) -> None:
        """
        A client without a certificate has none.
        """
        self.assertEqual(clientIdentity(None), "")
