"""
The best that asyncio can do: a C{Protocol} that answers all whole lines of a
chunk at once, with back-pressure; on uvloop, and with memory that is kept, if told
so.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast


def upper(data: bytes) -> bytes:
    """
    Give the upper case of some UTF-8 text.
    """
    if data.isascii():
        return data.upper()
    return data.decode().upper().encode()


class Upper(asyncio.Protocol):
    """
    Answer whole lines with their upper case, as many as there are.
    """

    transport: asyncio.Transport
    rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """
        Begin.
        """
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """
        Answer the lines that a chunk ends, and keep its rest.
        """
        end = data.rfind(b"\n") + 1
        if end == len(data) and not self.rest:
            self.transport.write(upper(data))
        elif end:
            self.transport.write(upper(self.rest + data[:end]))
            self.rest = data[end:]
        else:
            self.rest += data

    def eof_received(self) -> None:
        """
        Answer what is left; the transport then sends all, and closes.
        """
        if self.rest:
            self.transport.write(upper(self.rest))

    def pause_writing(self) -> None:
        """
        Read no more while the client does not take its answers.
        """
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """
        Read on.
        """
        self.transport.resume_reading()


async def serve() -> None:
    """
    Serve until the process is ended.
    """
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upper, "127.0.0.1", 0, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    if "keep" in sys.argv:
        # Once it has seen a larger block freed, the C library keeps the memory of
        # smaller ones (M_MMAP_THRESHOLD in mallopt(3)): no more page faults.
        bytes(1 << 20)
    if "uvloop" in sys.argv:
        import uvloop

        uvloop.run(serve())
    else:
        asyncio.run(serve())
