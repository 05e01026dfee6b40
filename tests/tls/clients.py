"""
A TLS client in memory, made of Python's C{ssl}: not what the service is made of.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import Any

from tests.memory import MemoryNetwork


class TLSClient:
    """
    A TLS client that decides when its bytes are sent.

    @ivar client: the end of the connection below it.
    @ivar received: what it has received.
    @ivar notified: whether it has received a close_notify.
    @ivar tls: its TLS.
    """

    def __init__(
        self,
        network: MemoryNetwork,
        factory: Any,
        context: ssl.SSLContext,
        window: int = 65536,
        name: str | None = "localhost",
        isServer: bool = False,
    ) -> None:
        """
        @param network: where to connect.
        @param factory: the other side's.
        @param context: how.
        @param window: how many bytes the kernels take before it receives.
        @param name: the server's.
        @param isServer: whether it takes the server's part.
        """
        self.network = network
        self.client = network.connect(factory, window)
        self.received = b""
        self.notified = False
        self.incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self.incoming,
            self._outgoing,
            server_side=isServer,
            server_hostname=None if isServer else name,
        )

    def shakeHands(self) -> None:
        """
        Go on until the handshake is done.
        """
        while True:
            self.network.iterateUntilIdle()
            self.incoming.write(self.client.receive())
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.flush()
        self.flush()

    def beginHandshake(self) -> None:
        """
        Send what begins a handshake.
        """
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        self.flush()

    def say(self, data: bytes) -> None:
        """
        Encrypt something, and keep it.
        """
        self.tls.write(data)

    def end(self) -> None:
        """
        Keep a close_notify.
        """
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()

    def take(self) -> bytes:
        """
        Give what has been kept, without sending it.
        """
        return self._outgoing.read()

    def flush(self) -> None:
        """
        Send what has been kept, in one piece, and let it be handled.
        """
        self.client.send(self.take())
        self.network.iterateUntilIdle()

    def receive(self, size: int = 1 << 30) -> None:
        """
        Receive what is there.
        """
        self.incoming.write(self.client.receive(size))
        with contextlib.suppress(ssl.SSLWantReadError):
            while data := self.read():
                self.received += data

    def read(self) -> bytes:
        """
        Decrypt something of what has been received.

        @return: text; nothing at a close_notify.
        """
        try:
            data: bytes = self.tls.read(1 << 20)
        except ssl.SSLZeroReturnError:
            data = b""
        self.notified = not data
        return data
