"""
Name resolution, and the connection to the first address that accepts one (RFC 8305).
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IConnector
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

from upperproto.command.errors import NotConnected, Reason, whyNotConnected
from upperproto.command.route.endpoint import hostAndPort

# After how many seconds the next address is tried, too (RFC 8305, section 5).
STAGGER = 0.25


class Address(NamedTuple):
    """
    An address with a TCP port.
    """

    family: int
    host: str
    port: int

    def __str__(self) -> str:
        """
        Show it in messages.
        """
        return hostAndPort(self.host, self.port)


def lookUp(reactor: Any, host: str, port: int, family: int) -> Deferred[list[Address]]:
    """
    Find the addresses of a host.

    @param reactor: gets the answer in its thread.
    @param host: a name or an address.
    @param port: the port of the addresses.
    @param family: the only address family to look for, or C{AF_UNSPEC}.
    @return: fires with at least one address, or fails with L{NotConnected}.
    """
    try:
        return succeed(_find(host, port, family, socket.AI_NUMERICHOST))
    except (OSError, UnicodeError):
        pass
    found: Deferred[list[Address]] = Deferred()

    def find() -> None:
        try:
            addresses = _find(host, port, family, 0)
        except (OSError, UnicodeError) as error:
            reactor.callFromThread(found.errback, _whyNotFound(error))
        else:
            reactor.callFromThread(found.callback, addresses)

    # The process can end before the system's resolver does.
    threading.Thread(target=find, daemon=True).start()
    return found


def _find(host: str, port: int, family: int, flags: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, 0, flags)
    return [Address(kind, str(where[0]), port) for kind, _, _, _, where in found]


def _whyNotFound(error: Exception) -> NotConnected:
    unknown = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
    why = "no such host"
    if isinstance(error, socket.gaierror) and error.errno not in unknown:
        why = error.strerror or why
        if error.errno == socket.EAI_AGAIN:
            why = "no name server answers"
        elif error.errno == getattr(socket, "EAI_ADDRFAMILY", 0):
            why = "it has no address of this family"
    return NotConnected("no-host", why)


class _Attempt(ClientFactory):
    """
    A connection to one address. An endpoint would do the same, but the import of
    Twisted's endpoints takes 10 ms, and a connection can take 0.1 ms.
    """

    noisy = False

    def __init__(self, reactor: Any, address: Address, factory: Any) -> None:
        self.made: Deferred[None] = Deferred()
        self._factory = factory
        self._connector = reactor.connectTCP(
            address.host, address.port, self, timeout=None
        )

    def buildProtocol(self, addr: IAddress | None) -> Any:
        self.made.callback(None)
        return self._factory.buildProtocol(addr)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self.made.errback(reason)

    def cancel(self) -> None:
        if not self.made.called:
            self._connector.stopConnecting()


class Attempts:
    """
    Connect to the first address that accepts a connection. The next address is tried
    when the one before it has failed, or after L{STAGGER} (RFC 8305).

    @ivar connected: fires when a connection is made; fails with L{NotConnected} when
        all addresses have failed.
    """

    def __init__(
        self, reactor: Any, addresses: Sequence[Address], factory: Any
    ) -> None:
        """
        @param reactor: what connects.
        @param addresses: at least one.
        @param factory: builds the protocol.
        """
        self.connected: Deferred[None] = Deferred(lambda _: self._stop())
        self._reactor = reactor
        self._factory = factory
        self._left = deque(addresses)
        self._made: list[_Attempt] = []
        self._running = 0
        self._failures: dict[Address, Reason] = {}
        self._timer: Any = None
        self._next()

    def _next(self) -> None:
        self._stopTimer()
        address = self._left.popleft()
        if self._left:
            self._timer = self._reactor.callLater(STAGGER, self._next)
        self._running += 1
        attempt = _Attempt(self._reactor, address, self._factory)
        self._made.append(attempt)
        attempt.made.addCallbacks(self._won, self._lost, errbackArgs=(address,))

    def _won(self, made: None) -> None:
        if not self.connected.called:
            self._stop()
            self.connected.callback(None)

    def _lost(self, failure: Failure, address: Address) -> None:
        self._running -= 1
        self._failures[address] = whyNotConnected(failure.value)
        if self.connected.called:
            return
        if self._left:
            self._next()
        elif not self._running:
            reasons = set(self._failures.values())
            if len(reasons) == 1:
                code, why = reasons.pop()
            else:
                each = [f"{a}: {reason.words}" for a, reason in self._failures.items()]
                code, why = "not-connected", "; ".join(each)
            self.connected.errback(NotConnected(code, why))

    def _stop(self) -> None:
        """
        Give up all other attempts.
        """
        self._stopTimer()
        self._left.clear()
        made, self._made = self._made, []
        for attempt in made:
            attempt.cancel()

    def _stopTimer(self) -> None:
        if self._timer is not None:
            if self._timer.active():
                self._timer.cancel()
            self._timer = None
