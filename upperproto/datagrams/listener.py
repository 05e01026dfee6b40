"""
Listening for datagrams, for as long as the service runs.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress
from twisted.logger import Logger
from twisted.python.failure import Failure

from upperproto.datagrams.port import DatagramPort

# In place of a port's number: the port of the first TCP listener.
SAME = "same"


def chooseAddress(
    port: int | str, listeners: Iterable[IAddress | None], interface: str
) -> tuple[str, int]:
    """
    Choose where datagrams are waited for: beside the first TCP listener.

    @param port: which port, or L{SAME}.
    @param listeners: where connections are waited for.
    @param interface: the address, if there is no TCP listener.
    @return: an address and a port.
    @raise ValueError: if the port is that of a listener that there is not.
    """
    for address in listeners:
        if isinstance(address, (IPv4Address, IPv6Address)):
            return address.host, address.port if port == SAME else int(port)
    if port == SAME:
        raise ValueError("--udp takes a port where nothing listens on a TCP port")
    return interface, int(port)


class DatagramListener(Service):
    """
    Answer datagrams for as long as the service runs.

    @ivar address: where it listens, as people write it; empty while it does not.
    """

    _log = Logger()

    def __init__(
        self,
        bind: Callable[[], socket.socket],
        reactor: Any,
        outcomes: Counter[str],
        connectionLog: Any = None,
    ) -> None:
        """
        @param bind: gives the socket when the service starts. By then, the listeners
            that were added before this one listen.
        @param reactor: what waits for datagrams.
        @param outcomes: counts them, as L{DatagramPort} does.
        @param connectionLog: where what is said is logged; nowhere by default.
        """
        self._bind = bind
        self._reactor = reactor
        self._outcomes = outcomes
        self._connectionLog = connectionLog
        self._port: DatagramPort | None = None
        self.address = ""

    def privilegedStartService(self) -> None:
        """
        Listen, as C{twistd} asks while the process has its privileges.

        @raise Exception: what keeps it from listening.
        """
        super().privilegedStartService()
        port = self._port = DatagramPort(
            self._bind(), self._reactor, self._outcomes, self._connectionLog
        )
        port.startReading()
        host, number = port.getHost().host, port.getHost().port
        name = f"[{host}]" if ":" in host else host
        self.address = f"{name}:{number} (UDP)"
        self._log.info("Listening on {address}", address=self.address)

    def startService(self) -> None:
        """
        Listen, if L{privilegedStartService} has not.

        @raise Exception: what keeps it from listening.
        """
        super().startService()
        if self._port is None:
            self.privilegedStartService()

    def stopService(self) -> None:
        """
        Answer no more, and log what became of the datagrams.
        """
        super().stopService()
        self.close()
        if self._outcomes:
            counted = ", ".join(f"{n} {what}" for what, n in self._outcomes.items())
            self._log.info("Datagrams: {counted}", counted=counted)

    def close(self) -> None:
        """
        Answer no more. Where it never listened, there is nothing to do.
        """
        port, self._port = self._port, None
        if port is not None:
            port.stopReading()
            port.connectionLost(Failure(ConnectionDone()))
