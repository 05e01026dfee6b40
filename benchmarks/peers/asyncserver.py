"""
What the words of an asyncio server's command line mean: C{tls} and C{log}, for its
connections; C{uvloop}, for its loop; C{keep}, for its memory.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import ssl
import sys
from collections.abc import Awaitable, Callable
from typing import Any

access = logging.getLogger("access")


def upper(data: bytes) -> bytes:
    """Give the upper case of some UTF-8 text."""
    return data.upper() if data.isascii() else data.decode().upper().encode()


def listener() -> dict[str, Any]:
    """Say where, and how, connections are accepted."""
    context = None
    if "tls" in sys.argv:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain("server.pem")
    return {"host": "127.0.0.1", "port": 0, "backlog": 1024, "ssl": context}


def run(create: Callable[[], Awaitable[Any]]) -> None:
    """Serve what a function creates, until the process is ended."""

    async def serve() -> None:
        await create()
        await asyncio.Event().wait()

    if "log" in sys.argv:
        logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    if "keep" in sys.argv:
        # Once it has seen a larger block freed, the C library keeps the memory of
        # smaller ones (M_MMAP_THRESHOLD in mallopt(3)): no more page faults.
        bytes(1 << 20)
    importlib.import_module("uvloop" if "uvloop" in sys.argv else "asyncio").run(
        serve()
    )
