"""
What the words of an asyncio server's command line mean: C{tls} and C{log}, for its
connections; C{uvloop}, for its loop; C{keep}, for its memory.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import sys
from collections.abc import Awaitable, Callable
from typing import Any

access = logging.getLogger("access")


def run(create: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
    """Serve what a function creates, until the process is ended."""

    async def serve() -> None:
        context = None
        if "tls" in sys.argv:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain("server.pem")
        server = await create(*arguments, "127.0.0.1", 0, backlog=1024, ssl=context)
        await server.serve_forever()

    if "log" in sys.argv:
        logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    if "keep" in sys.argv:
        # Once it has seen a larger block freed, the C library keeps the memory of
        # smaller ones (M_MMAP_THRESHOLD in mallopt(3)): no more page faults.
        bytes(1 << 20)
    if "uvloop" in sys.argv:
        import uvloop

        uvloop.run(serve())
    else:
        asyncio.run(serve())
