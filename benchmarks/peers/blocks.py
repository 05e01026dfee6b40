"""
The best that asyncio can do: a C{Protocol} that answers all whole lines of a chunk at
once, with back-pressure.
"""

from __future__ import annotations

import asyncio
from asyncio import get_running_loop
from typing import cast

from asyncserver import access, listener, run, upper


class Upper(asyncio.Protocol):
    """Answer whole lines with their upper case, as many as there are."""

    transport: asyncio.Transport
    rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast(asyncio.Transport, transport)
        access.info("%s opened", transport.get_extra_info("peername"))

    def connection_lost(self, reason: Exception | None) -> None:
        """End."""
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


if __name__ == "__main__":
    run(lambda: get_running_loop().create_server(Upper, **listener()))
