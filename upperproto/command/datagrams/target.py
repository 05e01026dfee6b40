"""
The server that C{upper-client} talks to over UDP, from the command line.
"""

from __future__ import annotations

from collections.abc import Sequence

from upperproto.command.errors import WrongUsage
from upperproto.command.options import Options
from upperproto.command.route import target as route


def target(options: Options, words: Sequence[str]) -> route.Target:
    """
    Get the server from the command line.

    @param options: the options of the command line.
    @param words: C{HOST}, C{HOST:PORT}, C{HOST PORT} or C{[IPv6]:PORT}, perhaps with
        C{udp:} before it.
    @raise WrongUsage: if the words or options are wrong.
    """
    if options.command not in ("ping", "check"):
        raise WrongUsage(f"udp: is for ping and check, not for {options.command}")
    words = [words[0].removeprefix("udp:"), *words[1:]] if words else []
    where = route.target(options, words)
    if words and where.endpoint == words[0]:
        raise WrongUsage(f"udp: takes HOST, HOST:PORT or [IPv6]:PORT, not {words[0]!r}")
    if where.endpoint or where.credentials or where.source or "new" in options:
        raise WrongUsage(
            "with datagrams there is no TLS, endpoint, PROXY header or --new"
        )
    return where._replace(name=f"udp:{where.name}")
