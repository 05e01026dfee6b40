"""
A certificate authority for tests.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# The bits of RFC 5280, section 4.2.1.3, in their order.
_USAGES = [
    *["digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment"],
    *["keyAgreement", "keyCertSign", "cRLSign", "encipherOnly", "decipherOnly"],
]


class Authority:
    """
    Issue certificates, and write all that it issues into a folder.

    @ivar certificate: the path of its own certificate.
    """

    def __init__(self, folder: str | Path, name: str = "authority") -> None:
        """
        @param folder: where the files go.
        @param name: of the authority and of its files.
        """
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        extensions = [
            x509.BasicConstraints(True, 0),
            # To sign certificates, and for nothing else.
            x509.KeyUsage(*[each == "keyCertSign" for each in _USAGES]),
        ]
        issuer = (self._name, self._key)
        certificate = self._sign(self._name, self._key, extensions, 1, -30, issuer)
        self.certificate = self._write(f"{name}.pem", _pem(certificate))

    def issue(
        self,
        name: str,
        days: float = 1,
        server: str = "",
        start: float = -30,
        selfSigned: bool = False,
    ) -> tuple[str, str]:
        """
        Issue a certificate for a client, or for the server at 127.0.0.1, ::1
        and localhost.

        @param name: the common name of its subject, and of its files.
        @param days: how long it holds from an hour ago; less than none makes
            one that has expired.
        @param server: the DNS name of another server that it is for instead.
        @param start: from when it holds, in days from an hour ago.
        @param selfSigned: whether it signs itself, instead of the authority.
        @return: the paths of the certificate and of its key.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        where = x509.SubjectAlternativeName(
            [x509.DNSName(server)]
            if server
            else [
                x509.DNSName("localhost"),
                x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
                x509.IPAddress(ipaddress.ip_address("::1")),
            ]
        )
        issuer = (_name(name), key) if selfSigned else (self._name, self._key)
        certificate = self._sign(_name(name), key, [where], days, start, issuer)
        return (
            self._write(f"{name}.pem", _pem(certificate)),
            self._write(
                f"{name}.key",
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                ),
            ),
        )

    def _sign(
        self,
        name: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        extensions: Sequence[x509.ExtensionType],
        days: float,
        start: float,
        issuer: tuple[x509.Name, ec.EllipticCurvePrivateKey],
    ) -> x509.Certificate:
        utc = datetime.timezone.utc
        anHourAgo = datetime.datetime.now(utc) - datetime.timedelta(hours=1)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer[0])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(anHourAgo + datetime.timedelta(days=start))
            .not_valid_after(anHourAgo + datetime.timedelta(days=days))
        )
        # Python 3.13 insists on these, as RFC 5280 does (section 4.2.1).
        ours = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        theirs = x509.AuthorityKeyIdentifier.from_issuer_public_key(
            issuer[1].public_key()
        )
        for each in [*extensions, ours, theirs]:
            critical = isinstance(each, (x509.BasicConstraints, x509.KeyUsage))
            builder = builder.add_extension(each, critical)
        return builder.sign(issuer[1], hashes.SHA256())

    def _write(self, name: str, contents: bytes) -> str:
        path = self._folder / name
        # In one step, as whoever renews certificates should.
        part = self._folder / f"{name}.part"
        part.write_bytes(contents)
        part.rename(path)
        return str(path)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
