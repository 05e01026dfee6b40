"""
An asyncio server that answers datagrams, by the rules of this package.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, cast

from blocks import upper


class Upper(asyncio.DatagramProtocol):
    """Answer what upper case changes, and with no more bytes than came."""

    transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: Any) -> None:
        """Answer one datagram."""
        try:
            answer = upper(data)
        except UnicodeDecodeError:
            return
        if answer != data and len(answer) <= len(data):
            self.transport.sendto(answer, address)


async def serve() -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(Upper, ("127.0.0.1", 0))
    await asyncio.Event().wait()


if __name__ == "__main__":
    if "uvloop" in sys.argv:
        import uvloop

        uvloop.run(serve())
    else:
        asyncio.run(serve())
