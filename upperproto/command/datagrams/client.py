"""
A UDP client that sends texts, and finds lost, doubled and wrong answers.
"""

from __future__ import annotations

import os
import socket
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.error import MessageLengthError
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import DatagramProtocol

from upperproto.command.findings.diagnoses import Fault
from upperproto.command.route.addresses import Address

# Options of sockets that Python has no names for: ip(7) and ipv6(7). With the first,
# the system splits no datagram, so one that is too long is an error. The second is how
# long a packet may be, with its headers.
_DISCOVER: dict[int, tuple[int, int]] = {
    socket.AF_INET: (socket.IPPROTO_IP, 10),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 23),
}
_MTU: dict[int, tuple[int, int]] = {
    socket.AF_INET: (socket.IPPROTO_IP, 14),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 24),
}
_DO = 2

# How many answers are remembered, to find those that come twice.
_REMEMBERED = 10000

# Letters of two bytes, whose upper case has two bytes, too.
_LETTERS = "ßàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþαβγδεζηθικλμνξοπρστυφχψωабвгдежзий"
_TABLE = {byte: _LETTERS[byte % len(_LETTERS)] for byte in range(256)}


def unlike(number: int, size: int) -> str:
    """
    Make a text that is new, and whose upper case differs from it and has as many bytes.

    @param number: of the text, which begins with it.
    @param size: how many bytes it has, at least 16.
    """
    label = f"{number % 10000}:"
    pairs, odd = divmod(size - len(label), 2)
    return label + "z" * odd + os.urandom(pairs).decode("latin-1").translate(_TABLE)


class _Asked(NamedTuple):
    number: int
    text: bytes
    started: float
    answered: Deferred[float]
    call: IDelayedCall


class DatagramClient(DatagramProtocol):
    """
    A UDP socket that sends texts to one server.

    @ivar duplicates: how many answers came twice.
    @ivar reordered: how many answers came after the answer to a later text.
    """

    def __init__(self, reactor: Any, address: Address) -> None:
        """
        @param reactor: makes the socket and tells the time.
        @param address: the address of the server.
        """
        self.duplicates = self.reordered = 0
        self._reactor = reactor
        self._address = address
        self._port: Any = None
        self._asked: dict[bytes, _Asked] = {}
        # Whether each answer has come, or was given up.
        self._known: dict[bytes, bool] = {}
        self._last = 0

    def ask(self, number: int, text: str, seconds: float) -> Deferred[float]:
        """
        Ask for the upper case of a text.

        @param number: of the text. A later text has a higher number.
        @param text: the text.
        @param seconds: how long to wait for the answer.
        @return: fires with how many seconds it took; fails with L{Fault}.
        """
        answered: Deferred[float] = Deferred()
        answer = text.upper().encode()
        call = self._reactor.callLater(seconds, self._late, answer)
        started = self._reactor.seconds()
        asked = _Asked(number, text.encode(), started, answered, call)
        self._asked[answer] = asked
        if self._port is None:
            self._open()
        try:
            self._port.write(asked.text)
        except MessageLengthError:
            level, option = _MTU[self._address.family]
            most = self._port.socket.getsockopt(level, option)
            said = f"{len(asked.text)} bytes do not pass: the path takes packets of"
            self._fail(answer, Fault("too-long", f"{said} {most}"))
        return answered

    def datagramReceived(self, data: bytes, addr: Any) -> None:
        """
        Find the text that this datagram answers.
        """
        if data in self._asked:
            asked = self._settle(data, True)
            self.reordered += asked.number < self._last
            self._last = max(asked.number, self._last)
            asked.answered.callback(self._reactor.seconds() - asked.started)
        elif data in self._known:
            # An answer that comes too late was given up. It is no duplicate.
            self.duplicates += self._known[data]
            self._known[data] = True
        else:
            number = data.partition(b":")[0]
            for answer, asked in self._asked.items():
                if number == b"%d" % (asked.number % 10000):
                    shown = repr(data[:40]).removeprefix("b")
                    fault = Fault("wrong", f"{shown} came")
                    if data == asked.text:
                        fault = Fault("echo", "the text itself came back")
                    self._fail(answer, fault)
                    break

    def connectionRefused(self) -> None:
        """
        Fail all requests: the machine says that nothing listens on the port.
        """
        for answer in list(self._asked):
            self._fail(answer, Fault("refused", "Connection refused"))

    def stopProtocol(self) -> None:
        """
        Fail all requests: the socket has closed. A reactor with epoll(7) or poll(2)
        closes it when the port refuses.
        """
        self._port = None
        self.connectionRefused()

    def close(self) -> None:
        """
        Close the socket, and wait for no more answers.
        """
        for asked in self._asked.values():
            asked.call.cancel()
        self._asked.clear()
        if self._port is not None:
            self._port.stopListening()

    def _open(self) -> None:
        family, host, port = self._address
        interface = "::" if family == socket.AF_INET6 else "0.0.0.0"
        self._port = self._reactor.listenUDP(0, self, interface, 1 << 16)
        self._port.connect(host, port)
        level, option = _DISCOVER[family]
        self._port.socket.setsockopt(level, option, _DO)

    def _late(self, answer: bytes) -> None:
        self._fail(answer, Fault("unanswered", "no answer in time"))

    def _fail(self, answer: bytes, fault: Fault) -> None:
        self._settle(answer, False).answered.errback(fault)

    def _settle(self, answer: bytes, came: bool) -> _Asked:
        asked = self._asked.pop(answer)
        if asked.call.active():
            asked.call.cancel()
        self._known[answer] = came
        if len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]
        return asked
