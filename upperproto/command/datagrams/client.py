"""
A UDP client that asks texts, and sees what becomes of each.
"""

from __future__ import annotations

import os
import socket
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.error import MessageLengthError
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import DatagramProtocol

from upperproto.command.findings.faults import Fault
from upperproto.command.route.addresses import Address

# ip(7) and ipv6(7), for which Python has no names: never fragment, and say when a
# datagram is too long; and how long it may be, with its headers.
_DISCOVER: dict[int, tuple[int, int]] = {
    socket.AF_INET: (socket.IPPROTO_IP, 10),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 23),
}
_MTU: dict[int, tuple[int, int]] = {
    socket.AF_INET: (socket.IPPROTO_IP, 14),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 24),
}
_DO = 2

# For how many answers it is known whether they have come before.
_REMEMBERED = 10000

# Letters of two bytes, as is the upper case of each.
_LETTERS = "ßàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþαβγδεζηθικλμνξοπρστυφχψωабвгдежзий"
_TABLE = {byte: _LETTERS[byte % len(_LETTERS)] for byte in range(256)}


def unlike(number: int, size: int) -> str:
    """
    Make a text that has never been asked before, and that is answered: its upper case
    is another one, and has as many bytes.

    @param number: of the text, with which it begins.
    @param size: how many bytes it has, 16 at least.
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
    A socket that asks one server.

    @ivar duplicates: how many answers have come once more.
    @ivar reordered: how many have come after the answer to a later text.
    """

    def __init__(self, reactor: Any, address: Address) -> None:
        """
        @param reactor: what sends and tells the time.
        @param address: whom to ask.
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

        @param number: of the text; those of later ones are higher.
        @param text: it.
        @param seconds: how long to wait for the answer.
        @return: fires with the seconds that it took; fails with L{Fault}.
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
        Find out which text this answers.
        """
        if data in self._asked:
            asked = self._settle(data, True)
            self.reordered += asked.number < self._last
            self._last = max(asked.number, self._last)
            asked.answered.callback(self._reactor.seconds() - asked.started)
        elif data in self._known:
            # One that comes late has been given up, and is no duplicate.
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
        The machine has said that nobody listens.
        """
        for answer in list(self._asked):
            self._fail(answer, Fault("refused", "Connection refused"))

    def stopProtocol(self) -> None:
        """
        The socket has closed. Where it was not told to, that is how a reactor with
        epoll(7) or poll(2) takes a refusal.
        """
        self._port = None
        self.connectionRefused()

    def close(self) -> None:
        """
        Wait for nothing more.
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
