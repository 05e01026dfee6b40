"""
Records of TLS 1.3 that no well-behaved client sends.
"""

from __future__ import annotations

import struct
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

ALERT, HANDSHAKE, TEXT = 21, 22, 23

# Ask the other side to change its key, too (RFC 8446, section 4.6.3).
KEY_UPDATE = b"\x18\x00\x00\x01\x01"


class RecordWriter:
    """
    Encrypt with the keys of a client that has shaken hands, in its place.
    """

    def __init__(self, keylog: str) -> None:
        """
        @param keylog: the file where the client has logged its keys. Its cipher is
            C{TLS_AES_256_GCM_SHA384}.
        """
        lines = Path(keylog).read_text().splitlines()
        secrets = dict(line.split(" ", 1) for line in lines if line[:1] != "#")
        self._use(bytes.fromhex(secrets["CLIENT_TRAFFIC_SECRET_0"].split()[1]))

    def record(self, kind: int, content: bytes) -> bytes:
        """
        Make the next record.

        @param kind: L{ALERT}, L{HANDSHAKE} or L{TEXT}.
        @param content: what is in it.
        """
        number = int.from_bytes(self._vector, "big") ^ self._number
        self._number += 1
        inner = content + bytes([kind])
        header = struct.pack("!BHH", TEXT, 0x0303, len(inner) + 16)
        nonce = number.to_bytes(12, "big")
        return header + self._cipher.encrypt(nonce, inner, header)

    def keyUpdate(self) -> bytes:
        """
        Make a KeyUpdate that asks for another one, and change the key.
        """
        record = self.record(HANDSHAKE, KEY_UPDATE)
        self._use(_expand(self._secret, b"traffic upd", 48))
        return record

    def _use(self, secret: bytes) -> None:
        self._secret = secret
        self._cipher = AESGCM(_expand(secret, b"key", 32))
        self._vector = _expand(secret, b"iv", 12)
        self._number = 0


def _expand(secret: bytes, label: bytes, length: int) -> bytes:
    label = b"tls13 " + label
    info = struct.pack("!HB", length, len(label)) + label + b"\0"
    return HKDFExpand(hashes.SHA384(), length, info).derive(secret)
