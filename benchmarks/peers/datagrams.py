"""
An asyncio server that answers datagrams, by the rules of this package.
"""

from __future__ import annotations

import asyncio
from typing import Any

from asyncserver import run, upper


class Upper(asyncio.DatagramProtocol):
    """Answer what upper case changes, and with no more bytes than came."""

    transport: Any  # For uvloop, it is not one of asyncio's own.

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        """Answer one datagram."""
        try:
            answer = upper(data)
        except UnicodeDecodeError:
            return
        if answer != data and len(answer) <= len(data):
            self.transport.sendto(answer, address)


if __name__ == "__main__":
    where = ("127.0.0.1", 0)
    run(lambda: asyncio.get_running_loop().create_datagram_endpoint(Upper, where))
