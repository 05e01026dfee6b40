"""
Speaking with systemd: sockets that it hands over, and telling it how the service
is.

The protocol of either is stable and small: see C{sd_listen_fds(3)} and
C{sd_notify(3)}.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet import endpoints
from twisted.python.systemd import ListenFDs


def notify(state: str, environment: Mapping[str, str] | None = None) -> None:
    """
    Tell systemd how the service is, if systemd wants to know and listens.

    @param state: assignments, one a line, such as C{READY=1}.
    @param environment: of the process; by default, as it is now.
    """
    if environment is None:
        environment = os.environ
    address = environment.get("NOTIFY_SOCKET", "")
    if address.startswith("@"):
        # An abstract one.
        address = "\0" + address[1:]
    if address:
        sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with sender, suppress(OSError):
            sender.sendto(state.encode(), address)


def tell(reactor: Any) -> None:
    """
    Tell systemd when the service is ready, and when it is stopping.

    @param reactor: what serves; it is ready once it runs.
    """
    reactor.callWhenRunning(notify, "READY=1\nSTATUS=Serving")
    stopping = "STOPPING=1\nSTATUS=Draining"
    reactor.addSystemEventTrigger("before", "shutdown", notify, stopping)


def nameSockets(environment: Mapping[str, str] | None = None) -> None:
    """
    Let endpoints such as C{systemd:domain=INET:index=0} find their sockets where
    they were handed over without names, too. systemd calls those C{unknown}.

    Twisted forgets such sockets, and by the time that it knows its endpoints it
    has taken away the environment variables that told of them; so they are read
    from where Linux keeps them. One private name is relied on, that of the
    attribute where Twisted remembers the sockets, which is the same in Twisted
    24.3 and 26.10.

    @param environment: what the process was started with; by default, as Linux
        has it.
    """
    if environment is None:
        environment = _initialEnvironment()
    count = environment.get("LISTEN_FDS", "")
    if count.isdecimal() and not environment.get("LISTEN_FDNAMES"):
        names = ":".join(["unknown"] * int(count))
        endpoints._SystemdParser._sddaemon = ListenFDs.fromEnvironment(
            {**environment, "LISTEN_FDNAMES": names}
        )


def _initialEnvironment() -> dict[str, str]:
    words = Path("/proc/self/environ").read_bytes().split(b"\0")
    pairs = (os.fsdecode(word).partition("=") for word in words)
    return {name: value for name, _, value in pairs}
