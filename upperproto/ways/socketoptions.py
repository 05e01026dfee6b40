"""
Socket options of the connections that listeners accept.
"""

from __future__ import annotations

import socket


def setConnectionOptions(listening: socket.socket) -> None:
    """
    Set C{TCP_NODELAY} on a listening socket, to send small answers at once, and
    C{SO_KEEPALIVE}, to find out that a client has died. On Linux, the connections that
    it accepts later inherit both options, so no call is needed for each of them.

    @param listening: the socket. UNIX sockets do not have these options.
    """
    if listening.family in (socket.AF_INET, socket.AF_INET6):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, True)
