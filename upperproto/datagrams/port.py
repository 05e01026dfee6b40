"""
A UDP port that answers datagrams where they were sent to.
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

# How many datagrams, and how many bytes of them, are read before connections have
# their turn again: together about as much work as the largest read of a connection.
BATCH = 64
BATCH_BYTES = 1 << 16

# No datagram is longer.
MAX_DATAGRAM = 65535

# in_pktinfo and in6_pktinfo of ip(7) and ipv6(7): interface, local address, address in
# the header; address, interface. Python has no name for the first before 3.14.
_IP_PKTINFO = 8
_PKTINFO4 = struct.Struct("=I4s4s")
_PKTINFO6 = struct.Struct("=16sI")
_ANCILLARY_SIZE = socket.CMSG_SPACE(_PKTINFO6.size) + socket.CMSG_SPACE(_PKTINFO4.size)


def bindDatagrams(host: str, port: int, shared: bool = False) -> socket.socket:
    """
    Bind a UDP socket.

    @param host: an IPv4 or IPv6 address; C{0.0.0.0} or C{::} for all of this machine.
    @param port: which port; 0 for one that the system chooses.
    @param shared: let others bind the same port, too (C{SO_REUSEPORT}).
    @return: the socket, which does not block.
    @raise CannotListenError: where the system refuses.
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


class DatagramPort(FileDescriptor):
    """
    Answer the datagrams that come to a socket.

    @ivar outcomes: how many datagrams were C{answered}, and how many were not, by why:
        as L{answerDatagram} has it, or C{unsent}, because the system had no room.
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
        @param bound: the socket, which is closed in the end.
        @param reactor: what waits for datagrams.
        @param outcomes: what counts them.
        @param connectionLog: where what is said is logged; nowhere by default.
        """
        super().__init__(reactor)
        self.outcomes = outcomes
        self._socket = bound
        self._connectionLog = connectionLog
        address = bound.getsockname()[0]
        self._level, self._option = socket.IPPROTO_IP, _IP_PKTINFO
        if bound.family == socket.AF_INET6:
            self._level, self._option = socket.IPPROTO_IPV6, socket.IPV6_PKTINFO
        # A machine has several addresses. The answer comes from the one that was
        # asked, or whoever has asked does not take it.
        self._many = address in ("0.0.0.0", "::")
        if self._many:
            receive = self._option
            if bound.family == socket.AF_INET6:
                receive = socket.IPV6_RECVPKTINFO
            bound.setsockopt(self._level, receive, True)

    def fileno(self) -> int:
        """
        The socket's descriptor.
        """
        return self._socket.fileno()

    def getHost(self) -> IPv4Address | IPv6Address:
        """
        Where it listens.
        """
        host, port, *_ = self._socket.getsockname()
        if self._socket.family == socket.AF_INET6:
            return IPv6Address("UDP", host, port)
        return IPv4Address("UDP", host, port)

    def doRead(self) -> None:
        """
        Answer what has come, as far as that keeps nobody waiting for long.
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
                # There is none left; or an earlier answer has found nobody.
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
        What makes an answer come from where its text was sent to.
        """
        for level, kind, data in ancillary:
            if (level, kind) == (self._level, self._option):
                if level == socket.IPPROTO_IP:
                    _, local, _ = _PKTINFO4.unpack(data)
                    data = _PKTINFO4.pack(0, local, b"\0" * 4)
                return [(level, kind, data)]
        return []
