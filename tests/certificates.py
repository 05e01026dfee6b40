"""
Certificates for the tests, made as they are needed.
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Authority:
    """
    A certificate authority of its own.

    @ivar path: the PEM file of its certificate.
    """

    def __init__(self, folder: str) -> None:
        """
        @param folder: where the files go.
        """
        self._folder = Path(folder)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("authority")
        self.path = str(self._folder / "authority.pem")
        certificate = _builder(self._name, self._key, 0).issuer_name(self._name)
        certificate = certificate.add_extension(x509.BasicConstraints(True, None), True)
        signed = certificate.sign(self._key, hashes.SHA256())
        Path(self.path).write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def issue(
        self, name: str, days: int = 0, selfSigned: bool = False
    ) -> tuple[str, str]:
        """
        Issue a certificate.

        @param name: the DNS name or IP address that it is for.
        @param days: by how many days its time is shifted: without, it is valid from
            yesterday to tomorrow.
        @param selfSigned: whether it signs itself instead.
        @return: PEM files of the certificate and of its key.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(name), key, days)
        builder = builder.issuer_name(_name(name) if selfSigned else self._name)
        try:
            alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            alternative = x509.DNSName(name)
        builder = builder.add_extension(
            x509.SubjectAlternativeName([alternative]), False
        )
        signed = builder.sign(key if selfSigned else self._key, hashes.SHA256())
        stem = str(self._folder / f"{signed.serial_number:x}")
        Path(f"{stem}.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        Path(f"{stem}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return f"{stem}.pem", f"{stem}.key"


def _name(commonName: str) -> x509.Name:
    attribute = x509.NameAttribute(x509.NameOID.COMMON_NAME, commonName)
    return x509.Name([attribute])


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC) + timedelta(days)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(1))
        .not_valid_after(now + timedelta(1))
    )
