"""
An asyncio stream server that answers line by line; on uvloop, if told so.
"""

from __future__ import annotations

import asyncio
import sys


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """
    Answer each line of one client with its upper case.
    """
    async for line in reader:
        writer.write(line.decode().upper().encode())
        await writer.drain()
    writer.close()


async def serve() -> None:
    """
    Serve until the process is ended.
    """
    server = await asyncio.start_server(converse, "127.0.0.1", 0, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    if "uvloop" in sys.argv:
        import uvloop

        uvloop.run(serve())
    else:
        asyncio.run(serve())
