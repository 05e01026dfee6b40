"""
What asyncio can do, as the words of the command line want it.

C{streams}: its streams, line by line. C{protocol}: the best that it can do, a protocol
that answers all whole lines of a chunk at once. C{udp}: datagrams. C{tls} and C{log}
are for connections, C{uvloop} is for the loop.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import ssl
import sys
from typing import Any

access = logging.getLogger("access")
LOG = "log" in sys.argv


def upper(data: bytes) -> bytes:
    """Give the upper case of some UTF-8 text."""
    return data.upper() if data.isascii() else data.decode().upper().encode()


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each line of one client with its upper case."""
    peer = writer.get_extra_info("peername")
    if LOG:
        access.info("%s opened", peer)
    async for line in reader:
        writer.write(line.decode().upper().encode())
        await writer.drain()
    writer.close()
    if LOG:
        access.info("%s closed", peer)


class Upper(asyncio.Protocol, asyncio.DatagramProtocol):
    """Answer whole lines, as many as there are, or a datagram."""

    transport: Any  # For uvloop, it is not one of asyncio's own.
    rest = b""

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self.transport = transport
        if LOG:
            access.info("%s opened", transport.get_extra_info("peername"))

    def connection_lost(self, reason: Exception | None) -> None:
        """End."""
        if LOG:
            access.info("%s closed", self.transport.get_extra_info("peername"))

    def data_received(self, data: bytes) -> None:
        """Answer the lines that a chunk ends, and keep its rest."""
        end = data.rfind(b"\n") + 1
        if end == len(data) and not self.rest:
            self.transport.write(upper(data))
        elif end:
            self.transport.write(upper(self.rest + data[:end]))
            self.rest = data[end:]
        else:
            self.rest += data

    def eof_received(self) -> None:
        """Answer what is left; the transport then sends all, and closes."""
        if self.rest:
            self.transport.write(upper(self.rest))

    def pause_writing(self) -> None:
        """Read no more while the client does not take its answers."""
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read on."""
        self.transport.resume_reading()

    def datagram_received(self, data: bytes, address: Any) -> None:
        """Answer what upper case changes, and with no more bytes than came."""
        try:
            answer = upper(data)
        except UnicodeDecodeError:
            return
        if answer != data and len(answer) <= len(data):
            self.transport.sendto(answer, address)


async def serve(words: list[str]) -> None:
    """Serve what some words say, until the process is ended."""
    loop = asyncio.get_running_loop()
    context = None
    if "tls" in words:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain("server.pem")
    where: dict[str, Any] = {"backlog": 1024, "ssl": context}
    if "udp" in words:
        await loop.create_datagram_endpoint(Upper, ("127.0.0.1", 0))
    elif "streams" in words:
        await asyncio.start_server(converse, "127.0.0.1", 0, **where)
    else:
        # Once it has seen a larger block freed, the C library keeps the memory of
        # smaller ones (M_MMAP_THRESHOLD in mallopt(3)): no more page faults.
        bytes(1 << 20)
        await loop.create_server(Upper, "127.0.0.1", 0, **where)
    await asyncio.Event().wait()


if __name__ == "__main__":
    if LOG:
        logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    loops = importlib.import_module("uvloop" if "uvloop" in sys.argv else "asyncio")
    loops.run(serve(sys.argv))
