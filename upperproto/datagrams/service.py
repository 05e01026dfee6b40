"""
The service that answers datagrams over UDP, and the choice of its address.
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
from upperproto.ways.endpoints import addressName

# The value of --udp that means the port of the first TCP listener.
SAME = "same"


def chooseAddress(
    port: int | str, listeners: Iterable[IAddress | None], interface: str
) -> tuple[str, int]:
    """
    Choose the address to listen on for datagrams: the one of the first TCP listener.

    @param port: the number of the port, or L{SAME}.
    @param listeners: the addresses of the other listeners.
    @param interface: the address to take if there is no TCP listener.
    @return: an address and a port.
    @raise ValueError: if the port is L{SAME} and there is no TCP listener.
    """
    for address in listeners:
        if isinstance(address, (IPv4Address, IPv6Address)):
            return address.host, address.port if port == SAME else int(port)
    if port == SAME:
        raise ValueError("--udp needs a port number, because there is no TCP listener")
    return interface, int(port)


class DatagramListener(Service):
    """
    Answer datagrams while the service runs.

    @ivar address: the address that it listens on, in the form that people write; empty
        while it does not listen.
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
        @param bind: makes the socket when the service starts. The TCP listeners have
            their ports by then.
        @param reactor: waits for datagrams.
        @param outcomes: counts the datagrams, as L{DatagramPort} does.
        @param connectionLog: logs texts and answers; nothing is logged by default.
        """
        self._bind = bind
        self._reactor = reactor
        self._outcomes = outcomes
        self._connectionLog = connectionLog
        self._port: DatagramPort | None = None
        self.address = ""

    def privilegedStartService(self) -> None:
        """
        Listen. C{twistd} calls this while the process has its privileges.

        @raise Exception: if it cannot listen.
        """
        super().privilegedStartService()
        port = self._port = DatagramPort(
            self._bind(), self._reactor, self._outcomes, self._connectionLog
        )
        port.startReading()
        self.address = addressName(port.getHost())
        self._log.info("Listening on {address}", address=self.address)

    def startService(self) -> None:
        """
        Listen, unless L{privilegedStartService} was called before.

        @raise Exception: if it cannot listen.
        """
        super().startService()
        if self._port is None:
            self.privilegedStartService()

    def stopService(self) -> None:
        """
        Stop, and log how many datagrams were answered and how many were not.
        """
        super().stopService()
        self.close()
        if self._outcomes:
            counted = ", ".join(f"{n} {what}" for what, n in self._outcomes.items())
            self._log.info("Datagrams: {counted}", counted=counted)

    def close(self) -> None:
        """
        Close the port, if there is one.
        """
        port, self._port = self._port, None
        if port is not None:
            port.stopReading()
            port.connectionLost(Failure(ConnectionDone()))
