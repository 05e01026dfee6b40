"""
A UDP port that answers each datagram from the address that it was sent to.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections import Counter
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.python.failure import Failure

from upperproto.datagrams.rules import answerDatagram

# One iteration of the reactor reads at most so many datagrams, and stops after so many
# bytes. This is about as much work as the largest read of a connection.
BATCH = 64
BATCH_BYTES = 1 << 16

# The length of the longest datagram, in bytes.
MAX_DATAGRAM = 65535

# in_pktinfo of ip(7): interface, local address, address in the header. in6_pktinfo of
# ipv6(7): address, interface. Python has no name for the first option before 3.14.
_IP_PKTINFO = 8
_PKTINFO4 = struct.Struct("=I4s4s")
_PKTINFO6 = struct.Struct("=16sI")
_ANCILLARY_SIZE = socket.CMSG_SPACE(_PKTINFO6.size) + socket.CMSG_SPACE(_PKTINFO4.size)


def bindDatagrams(host: str, port: int, shared: bool = False) -> socket.socket:
    """
    Bind a UDP socket.

    @param host: an IPv4 or IPv6 address; C{0.0.0.0} or C{::} means all addresses of
        this machine.
    @param port: the number of the port; with 0, the system chooses one.
    @param shared: whether other sockets may be bound to the same port
        (C{SO_REUSEPORT}).
    @return: a socket that does not block.
    @raise CannotListenError: if the system does not allow it.
    """
    try:
        [(family, *_, address), *_] = socket.getaddrinfo(
            host, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
        )
        bound = socket.socket(family, socket.SOCK_DGRAM)
        try:
            bound.setblocking(False)
            if shared:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, True)
            bound.bind(address)
        except BaseException:
            bound.close()
            raise
    except OSError as error:
        raise CannotListenError(f"UDP {host}", port, error) from error
    return bound


def datagramAddress(bound: socket.socket) -> IPv4Address | IPv6Address:
    """
    Get the address that a UDP socket is bound to.
    """
    host, port, *_ = bound.getsockname()
    kind = IPv6Address if bound.family == socket.AF_INET6 else IPv4Address
    return kind("UDP", host, port)


class DatagramPort(FileDescriptor):
    """
    Answer the datagrams that come to a socket.

    @ivar outcomes: counts the datagrams that were C{answered}, and those that were not
        answered, by reason. The reasons are those of L{answerDatagram}, and C{unsent}:
        the system could not send the answer.
    """

    _log = Logger()

    def __init__(
        self,
        bound: socket.socket,
        reactor: Any,
        outcomes: Counter[str],
        connectionLog: Any = None,
    ) -> None:
        """
        @param bound: the socket. This port closes it.
        @param reactor: waits for datagrams.
        @param outcomes: counts the datagrams.
        @param connectionLog: logs texts and answers; nothing is logged by default.
        """
        super().__init__(reactor)
        self.outcomes = outcomes
        self._socket = bound
        self._connectionLog = connectionLog
        self._level, self._option = socket.IPPROTO_IP, _IP_PKTINFO
        receive = _IP_PKTINFO
        if bound.family == socket.AF_INET6:
            self._level, self._option = socket.IPPROTO_IPV6, socket.IPV6_PKTINFO
            receive = socket.IPV6_RECVPKTINFO
        # A machine can have several addresses. A client accepts an answer only from the
        # address that its datagram was sent to.
        self._many = self.getHost().host in ("0.0.0.0", "::")
        if self._many:
            bound.setsockopt(self._level, receive, True)

    def fileno(self) -> int:
        """
        Get the socket's descriptor.
        """
        return self._socket.fileno()

    def getHost(self) -> IPv4Address | IPv6Address:
        """
        Get the address that it listens on.
        """
        return datagramAddress(self._socket)

    def doRead(self) -> None:
        """
        Answer datagrams that have come, but only a limited number, so that connections
        do not wait long.
        """
        size = 0
        ancillary: list[Any] = []
        for _ in range(BATCH):
            try:
                # Both calls with ancillary data cost more than those without it.
                if self._many:
                    text, ancillary, _, peer = self._socket.recvmsg(
                        MAX_DATAGRAM, _ANCILLARY_SIZE
                    )
                else:
                    text, peer = self._socket.recvfrom(MAX_DATAGRAM)
            except OSError as error:
                # Either no datagram is left, or an earlier answer was not delivered.
                if error.errno in (errno.EAGAIN, errno.EWOULDBLOCK):
                    return
                continue
            self._answer(text, ancillary, peer)
            size += len(text)
            if size >= BATCH_BYTES:
                return

    def connectionLost(self, reason: Failure) -> None:
        """
        Close the socket.
        """
        super().connectionLost(reason)
        self._socket.close()

    def _answer(self, text: bytes, ancillary: list[Any], peer: Any) -> None:
        answer, outcome = answerDatagram(text)
        if answer:
            try:
                if ancillary:
                    self._socket.sendmsg([answer], self._from(ancillary), 0, peer)
                else:
                    self._socket.sendto(answer, peer)
            except OSError:
                outcome = "unsent"
        self.outcomes[outcome] += 1
        if self._connectionLog is not None and self._connectionLog.lines:
            self._connectionLog.received(text)
            if outcome == "answered":
                self._connectionLog.answered(answer)

    def _from(self, ancillary: list[Any]) -> list[Any]:
        """
        Make the ancillary data that sends an answer from the address that the datagram
        was sent to.
        """
        for level, kind, data in ancillary:
            if (level, kind) == (self._level, self._option):
                if level == socket.IPPROTO_IP:
                    _, local, _ = _PKTINFO4.unpack(data)
                    data = _PKTINFO4.pack(0, local, b"\0" * 4)
                return [(level, kind, data)]
        return []
