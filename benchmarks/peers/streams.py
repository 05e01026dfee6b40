"""
An asyncio stream server that answers line by line.
"""

from __future__ import annotations

import asyncio

from asyncserver import access, listener, run


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each line of one client with its upper case."""
    peer = writer.get_extra_info("peername")
    access.info("%s opened", peer)
    async for line in reader:
        writer.write(line.decode().upper().encode())
        await writer.drain()
    writer.close()
    access.info("%s closed", peer)


if __name__ == "__main__":
    run(lambda: asyncio.start_server(converse, **listener()))
