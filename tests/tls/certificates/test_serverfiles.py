"""
Tests for L{upperproto.tls.certificates.serverfiles}.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from twisted.logger import (
    ILogObserver,
    LogEvent,
    LogLevel,
    eventAsText,
    globalLogPublisher,
)
from twisted.trial.unittest import SynchronousTestCase

from tests.authority import Authority
from upperproto.tls.certificates.serverfiles import Certificates

# A certificate, and its key, on the curve secp224k1: OpenSSL knows it, and no cipher of
# TLS does. (Made by openssl ecparam and openssl req.)
USELESS = b"""\
-----BEGIN CERTIFICATE-----
MIIBbDCCARqgAwIBAgIULMdTyjQd26hXQQUWc+yrKsmB+9UwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyODIwMDkwNloYDzIxMjYxMTA0
MjAwOTA2WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwTjAQBgcqhkjOPQIBBgUrgQQA
IAM6AASiBi4/2FO+Ekx0u1SnQT3n1Cr7+dpoDHUPt1OAQkhRUPtvoegS/kLNmkAQ
f7ohMqUuAGcO40YfG6NTMFEwHQYDVR0OBBYEFF5SptaJBa9alLSARX3DUDdaAmYi
MB8GA1UdIwQYMBaAFF5SptaJBa9alLSARX3DUDdaAmYiMA8GA1UdEwEB/wQFMAMB
Af8wCgYIKoZIzj0EAwIDQAAwPQIdAOvenXzvPbvUg+VYkMGmAkd+mxW6QvHonLj0
ymYCHGMepf1H7dHSvCBTtzrdNI8gCzimjmX6a/Tsocg=
-----END CERTIFICATE-----
-----BEGIN PRIVATE KEY-----
MHkCAQAwEAYHKoZIzj0CAQYFK4EEACAEYjBgAgEBBB0AIhMGHbHPXT/QNl5aXZk8
wUlQ5cf8vYKArFi2IKE8AzoABKIGLj/YU74STHS7VKdBPefUKvv52mgMdQ+3U4BC
SFFQ+2+h6BL+Qs2aQBB/uiEypS4AZw7jRh8b
-----END PRIVATE KEY-----
"""

# A certificate, and its key, of 512 bits of RSA. (Made by openssl req.)
SHORT = b"""\
-----BEGIN CERTIFICATE-----
MIIBgTCCASugAwIBAgIUVf6hcjxR2gZ+D3ZvUcOrUdPt1skwDQYJKoZIhvcNAQEL
BQAwFDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyODIwNTA1OVoYDzIxMjYx
MTA0MjA1MDU5WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwXDANBgkqhkiG9w0BAQEF
AANLADBIAkEA8eGNDQ+CKITJj1tzo8fF8fCVzsBE9An/MPndvx5otcVHNi0xMC4w
wPo1LSMgRo6zUCn14JO+wQIiJNHAQDEC/QIDAQABo1MwUTAdBgNVHQ4EFgQUNF3N
KDmz7Xc/OArggfjtY3PZZ0swHwYDVR0jBBgwFoAUNF3NKDmz7Xc/OArggfjtY3PZ
Z0swDwYDVR0TAQH/BAUwAwEB/zANBgkqhkiG9w0BAQsFAANBAEQjcGquUv1eLPpV
l8MwVNxXxqi7Fg55KMeghwubNY/4S0NVi8hB6ubYYel+BBpZbsl1k23fmt1WDSZl
xiVDPcM=
-----END CERTIFICATE-----
-----BEGIN PRIVATE KEY-----
MIIBVAIBADANBgkqhkiG9w0BAQEFAASCAT4wggE6AgEAAkEA8eGNDQ+CKITJj1tz
o8fF8fCVzsBE9An/MPndvx5otcVHNi0xMC4wwPo1LSMgRo6zUCn14JO+wQIiJNHA
QDEC/QIDAQABAkA54ODhmS5qB6w7c4SuUiVZiVoviO52/tVjoMag7uPbaoxO7NHd
9H7Db6dvrE3DGm2DPPEDX2Fd4dCOZi/aVRwBAiEA/OHE7rH1QdlkNowuwm2qo2f6
RDmYcTjJ1bQedcuY/IECIQD03Q6gJmxxAvi17j0eF/cm1Ps5G3/HrwUpy9gMpIG4
fQIhAPHsZ0NXmmNhvv50Q7ObyNhE++bTFuSSSH0asN1OZtCBAiBXcn7fqPk/Xu1N
o9iF388vOg7CNVTsDlBMvfTZhwKgzQIgbw0jOF3bLA0RMAofXHR2qV+oHSU4QI7c
QuwGH0UK7gA=
-----END PRIVATE KEY-----
"""


def pem(key: Any) -> bytes:
    """
    Write a private key.
    """
    contents: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return contents


class CertificatesTests(SynchronousTestCase):
    """
    Files, good and bad.
    """

    def setUp(self) -> None:
        """
        Have certificates issued.
        """
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.authority = Authority(self.folder)
        self.certificate, self.key = self.authority.issue("server")
        self.events: list[LogEvent] = []
        observer: ILogObserver = self.events.append  # type: ignore[assignment] # is one
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def write(self, name: str, contents: bytes) -> str:
        """
        Write a file.
        """
        path = Path(self.folder, name)
        path.write_bytes(contents)
        return str(path)

    def warnings(self) -> list[str]:
        """
        The warnings logged since the last call.
        """
        texts = [
            eventAsText(event, includeTimestamp=False, includeSystem=False)
            for event in self.events
            if event["log_level"] is LogLevel.warn
        ]
        self.events.clear()
        return texts

    def assertUnusable(self, message: str, *paths: str) -> None:
        """
        Assert that files cannot be used, for a certain reason.
        """
        error = self.assertRaises(ValueError, Certificates, *paths)
        self.assertEqual(str(error), message)

    def test_same(self) -> None:
        """
        While the files stay as they are, so does the context.
        """
        certificates = Certificates(self.certificate, self.key)
        self.assertIs(certificates.getContext(), certificates.getContext())

    def test_oneFile(self) -> None:
        """
        Certificate and key can be in one file.
        """
        both = Path(self.key).read_bytes() + Path(self.certificate).read_bytes()
        Certificates(self.write("both.pem", both)).getContext()

    def test_noFile(self) -> None:
        """
        A file that cannot be read is named, with the reason.
        """
        self.assertUnusable("cannot read none: No such file or directory", "none")
        self.assertUnusable(
            "cannot read none: No such file or directory", self.certificate, "none"
        )
        self.assertUnusable(
            f"cannot read {self.folder}: Is a directory",
            self.certificate,
            self.key,
            self.folder,
        )

    def test_noCertificate(self) -> None:
        """
        A file without a certificate is named.
        """
        broken = self.write("broken.pem", b"-----BEGIN CERTIFICATE-----\nAA\n")
        for path in (self.key, broken):
            message = f"no usable certificate in {path}"
            self.assertUnusable(message, path, self.key)
            self.assertUnusable(message, self.certificate, self.key, path)

    def test_noKey(self) -> None:
        """
        A file without a key is named; so is one whose key is encrypted.
        """
        plain = serialization.load_pem_private_key(Path(self.key).read_bytes(), None)
        encrypted = plain.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
        path = self.write("encrypted.key", encrypted)
        for message, key in [
            (f"no usable private key in {self.certificate}", self.certificate),
            (f"the private key in {path} is encrypted", path),
        ]:
            self.assertUnusable(message, self.certificate, key)

    def test_otherKey(self) -> None:
        """
        A key that does not fit the certificate is named, be it of another kind or not.
        """
        _, other = self.authority.issue("other")
        for path in (
            other,
            self.write("rsa.key", pem(generate_private_key(65537, 2048))),
        ):
            self.assertUnusable(
                f"the private key in {path} does not fit the certificate in"
                f" {self.certificate}",
                self.certificate,
                path,
            )

    def test_uselessKey(self) -> None:
        """
        A pair that OpenSSL takes, and that no client could be answered with, is of no
        use; where it comes at a renewal, the old pair stays.
        """
        path = self.write("useless.pem", USELESS)
        message = f"the private key in {path} is of a kind that TLS has no use for"
        self.assertUnusable(f"{message} (no shared cipher)", path, path)
        certificates = Certificates(self.certificate, self.key)
        before = certificates.getContext()
        for renewed in (self.certificate, self.key):
            Path(renewed).write_bytes(USELESS)
        self.assertIs(certificates.getContext(), before)
        [warning] = self.warnings()
        self.assertIn("TLS has no use for", warning)

    def test_uselessKeyFor(self) -> None:
        """
        So is a key for another purpose, and one that is too short, for the reason that
        OpenSSL has.
        """
        exchange = self.write("exchange.key", pem(X25519PrivateKey.generate()))
        message = f"the private key in {exchange} is of a kind that TLS has no use for"
        self.assertUnusable(
            f"{message} (unknown certificate type)", self.certificate, exchange
        )
        short = self.write("short.pem", SHORT)
        message = f"the private key in {short} is of a kind that TLS has no use for"
        self.assertUnusable(f"{message} (ee key too small)", short)

    def test_notAfter(self) -> None:
        """
        It is known when the certificate expires that is served now.
        """
        certificates = Certificates(self.certificate, self.key)

        def days() -> int:
            # It was issued an hour ago.
            return round((certificates.notAfter - time.time() + 3600) / 86400)

        self.assertEqual(days(), 1)
        self.authority.issue("server", days=10)
        certificates.getContext()
        self.assertEqual(days(), 10)
        self.authority.issue("server", days=20)
        Path(self.key).write_bytes(b"broken")
        certificates.getContext()
        self.assertEqual(days(), 10)

    def test_check(self) -> None:
        """
        Files that cannot be read any more are found.
        """
        certificates = Certificates(self.certificate, self.key)
        certificates.check()
        Path(self.key).unlink()
        with self.assertRaises(ValueError) as caught:
            certificates.check()
        self.assertIn(f"cannot read {self.key}: No such file", str(caught.exception))

    def test_renewed(self) -> None:
        """
        When the files have changed, the next context is made of them.
        """
        certificates = Certificates(self.certificate, self.key)
        before = certificates.getContext()
        self.authority.issue("server")
        after = certificates.getContext()
        self.assertIsNot(after, before)
        self.assertIs(certificates.getContext(), after)
        self.assertEqual(self.warnings(), [])

    def test_otherAuthority(self) -> None:
        """
        When the file of the clients' authority has changed, too.
        """
        path = self.authority.certificate
        certificates = Certificates(self.certificate, self.key, path)
        before = certificates.getContext()
        Authority(self.folder)
        self.assertIsNot(certificates.getContext(), before)

    def test_halfRenewed(self) -> None:
        """
        While the new files do not fit together, or are gone, the old context
        stays, with one warning for each change.
        """
        certificates = Certificates(self.certificate, self.key)
        before = certificates.getContext()
        oldKey = Path(self.key).read_bytes()
        self.authority.issue("server")
        newKey = Path(self.key).read_bytes()
        self.write("server.key", oldKey)
        for _ in range(2):
            self.assertIs(certificates.getContext(), before)
        [warning] = self.warnings()
        self.assertIn("stays as it was: the private key in", warning)
        os.remove(self.key)
        for _ in range(2):
            self.assertIs(certificates.getContext(), before)
        [warning] = self.warnings()
        self.assertIn("stays as it was: cannot read", warning)
        self.write("server.key", newKey)
        self.assertIsNot(certificates.getContext(), before)
        self.assertEqual(self.warnings(), [])
