"""
systemd: find the sockets that it has opened, and tell it the state of the service.

Both protocols are stable and small: see C{sd_listen_fds(3)} and C{sd_notify(3)}.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

# The descriptor of the first socket, after the standard streams.
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
    Tell systemd the state of the service, if it has asked for this. If systemd does not
    read, the message is lost, and the service does not wait.

    @param state: one assignment on each line, such as C{READY=1}.
    @param environment: the environment; by default, that of this process now.
    """
    if environment is None:
        environment = os.environ
    address = environment.get("NOTIFY_SOCKET", "")
    if address.startswith("@"):
        # An abstract UNIX socket.
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
    Find a socket that systemd has opened for this process, by its index or its name.

    @param index: its place among the sockets, from 0 on.
    @param name: its name (C{FileDescriptorName=}).
    @param environment: the environment when the process was started; by default, that
        of this process.
    @return: its descriptor.
    @raise ValueError: if there is no such socket, or more than one.
    """
    if (index is None) == (name is None):
        raise ValueError("it needs an index or a name, and not both")
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
        # All ListenStream= of one unit have the same name.
        raise ValueError(f"{len(found)} sockets have this name: {inherited}")
    return _FIRST_DESCRIPTOR + found[0]


def _initialEnvironment() -> Mapping[str, str]:
    """
    Get the environment that the process was started with. Twisted removes the variables
    of systemd when its endpoints are imported, but Linux keeps them.
    """
    if "LISTEN_PID" in os.environ:
        return os.environ
    try:
        words = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    pairs = (os.fsdecode(word).partition("=") for word in words)
    return {name: value for name, _, value in pairs}
