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

# Where the sockets that are handed over begin, beside the standard streams.
_FIRST_DESCRIPTOR = 3


def ready() -> None:
    """
    Tell systemd that the service serves.
    """
    notify("READY=1\nSTATUS=Serving")


def stopping() -> None:
    """
    Tell systemd that the service has begun to end.
    """
    notify("STOPPING=1\nSTATUS=Draining")


def notify(state: str, environment: Mapping[str, str] | None = None) -> None:
    """
    Tell systemd how the service is, if systemd wants to know and listens. While it
    does not read what it has been told, the service does not wait: this is lost.

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
            sender.sendto(state.encode(), socket.MSG_DONTWAIT, address)


def findSocket(
    index: str | None = None,
    name: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> int:
    """
    Find a socket that was handed over to this process. Exactly one of index and name
    says which.

    @param index: its place among them, from 0 on.
    @param name: its name (C{FileDescriptorName=}). Sockets without one are found by
        their index.
    @param environment: what the process was started with; by default, as it was.
    @return: its descriptor.
    @raise ValueError: if there is no such socket, or more than one.
    """
    if (index is None) == (name is None):
        raise ValueError("it needs either an index or a name")
    if environment is None:
        environment = _initialEnvironment()
    number, names = 0, [""]
    if environment.get("LISTEN_PID") == str(os.getpid()):
        count = environment.get("LISTEN_FDS", "")
        number = int(count) if count.isascii() and count.isdigit() else 0
        names = environment.get("LISTEN_FDNAMES", "").split(":")
    inherited = f"{number} {'socket was' if number == 1 else 'sockets were'} inherited"
    if index is not None:
        if not (index.isascii() and index.isdigit()) or int(index) >= number:
            raise ValueError(f"no index from 0 on: {inherited}")
        return _FIRST_DESCRIPTOR + int(index)
    found = [each for each, other in enumerate(names[:number]) if other == name]
    if len(found) != 1:
        # All ListenStream= of one unit have one name.
        raise ValueError(f"{len(found)} sockets have this name: {inherited}")
    return _FIRST_DESCRIPTOR + found[0]


def _initialEnvironment() -> Mapping[str, str]:
    """
    The environment that the process was started with. Twisted takes those variables
    away that tell of sockets, when its endpoints are imported; so they are read from
    where Linux keeps them.
    """
    if "LISTEN_PID" in os.environ:
        return os.environ
    try:
        words = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    pairs = (os.fsdecode(word).partition("=") for word in words)
    return {name: value for name, _, value in pairs}
