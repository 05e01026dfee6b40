"""
Tests for L{upperproto.command.route.addresses}.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from upperproto.command.errors import NotConnected
from upperproto.command.route.addresses import STAGGER, Address, Attempts, lookUp

V4 = Address(socket.AF_INET, "192.0.2.1", 1)
V6 = Address(socket.AF_INET6, "2001:db8::1", 1)


class Immediate:
    """
    A thread that runs when it is started; and the reactor that it calls.
    """

    def __init__(self, target: Callable[[], None], daemon: bool) -> None:
        """
        @param target: what it runs.
        @param daemon: whether the process does not wait for it.
        """
        assert daemon
        self.start = target

    @staticmethod
    def callFromThread(call: Callable[..., None], *arguments: Any) -> None:
        """
        Call.
        """
        call(*arguments)


class LookUpTests(SynchronousTestCase):
    """
    L{lookUp}.
    """

    def setUp(self) -> None:
        """
        Answer what is asked of the system's resolver, in no other thread.
        """
        self.answer: Exception | None = None
        real = socket.getaddrinfo

        def getaddrinfo(host: str, *more: Any) -> Any:
            if more[-1] & socket.AI_NUMERICHOST:
                return real(host, *more)
            if self.answer is not None:
                raise self.answer
            return [
                (socket.AF_INET6, 0, 0, "", ("2001:db8::1", 1, 0, 0)),
                (socket.AF_INET, 0, 0, "", ("192.0.2.1", 1)),
            ]

        self.patch(socket, "getaddrinfo", getaddrinfo)
        self.patch(threading, "Thread", Immediate)

    def test_address(self) -> None:
        """
        An address needs no resolver.
        """
        for host, family in [("192.0.2.1", socket.AF_INET), ("::1", socket.AF_INET6)]:
            found = self.successResultOf(lookUp(None, host, 1, socket.AF_UNSPEC))
            self.assertEqual(found, [Address(family, host, 1)])

    def test_name(self) -> None:
        """
        A name may have several addresses.
        """
        found = self.successResultOf(lookUp(Immediate, "a", 1, socket.AF_UNSPEC))
        self.assertEqual(list(map(str, found)), ["[2001:db8::1]:1", "192.0.2.1:1"])

    def test_unknown(self) -> None:
        """
        Why there is none is said in words.
        """
        for error, said in [
            (socket.gaierror(socket.EAI_NONAME, "x"), "no such host"),
            (UnicodeError("x"), "no such host"),
            (socket.gaierror(socket.EAI_AGAIN, "x"), "no name server answers"),
            (socket.gaierror(socket.EAI_FAIL, "bad"), "bad"),
            (socket.gaierror(-9, "x"), "it has no address of this family"),
        ]:
            self.answer = error
            failed = lookUp(Immediate, "a", 1, socket.AF_UNSPEC)
            found = self.failureResultOf(failed, NotConnected).value
            self.assertEqual((found.code, found.why), ("no-host", said))


class AttemptsTests(SynchronousTestCase):
    """
    L{Attempts}.
    """

    def attempt(self, *tried: Address) -> None:
        """
        Begin.
        """
        self.reactor = MemoryReactorClock()
        self.built: list[Protocol] = []

        def build() -> Protocol:
            self.built.append(Protocol())
            return self.built[-1]

        self.attempts = Attempts(self.reactor, tried, Factory.forProtocol(build))

    def clients(self) -> list[str]:
        """
        Where has been connected to.
        """
        return [host for host, *_ in self.reactor.tcpClients]

    def fail_(self, index: int) -> None:
        """
        Fail one attempt.
        """
        factory: Any = self.reactor.tcpClients[index][2]
        factory.clientConnectionFailed(None, Failure(Refused(111)))

    def succeed(self, index: int) -> None:
        """
        Make one connection.
        """
        self.reactor.tcpClients[index][2].buildProtocol(None)

    def test_first(self) -> None:
        """
        One that answers at once is the only one.
        """
        self.attempt(V6, V4)
        self.succeed(0)
        self.successResultOf(self.attempts.connected)
        self.assertEqual(self.clients(), ["2001:db8::1"])
        self.assertEqual(len(self.built), 1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_next(self) -> None:
        """
        Where one fails, the next one is tried at once.
        """
        self.attempt(V6, V4)
        self.fail_(0)
        self.assertEqual(self.clients(), ["2001:db8::1", "192.0.2.1"])
        self.assertNoResult(self.attempts.connected)
        self.succeed(1)
        self.successResultOf(self.attempts.connected)

    def test_stagger(self) -> None:
        """
        Where one takes long, the next one is tried, too; the first that answers is
        taken, and the other is given up.
        """
        self.attempt(V6, V4)
        self.reactor.advance(STAGGER)
        self.assertEqual(len(self.clients()), 2)
        self.succeed(1)
        self.successResultOf(self.attempts.connected)
        stopped = [each.stoppedConnecting for each in self.reactor.connectors]
        self.assertEqual(stopped, [True, False])

    def test_allFail(self) -> None:
        """
        If all fail, it is said why: once, or for each.
        """
        self.attempt(V6, V4)
        self.fail_(0)
        self.fail_(1)
        error = self.failureResultOf(self.attempts.connected, NotConnected).value
        self.assertEqual((error.code, error.why), ("refused", "Connection refused"))
        self.attempt(V6, V4)
        self.fail_(0)
        factory: Any = self.reactor.tcpClients[1][2]
        factory.clientConnectionFailed(None, Failure(ValueError("bad")))
        error = self.failureResultOf(self.attempts.connected, NotConnected).value
        self.assertEqual(error.code, "not-connected")
        self.assertEqual(
            error.why, "[2001:db8::1]:1: Connection refused; 192.0.2.1:1: bad"
        )

    def test_cancel(self) -> None:
        """
        Whoever gives up gives all of it up.
        """
        self.attempt(V6, V4)
        self.attempts.connected.addErrback(lambda _: None)
        self.attempts.connected.cancel()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        stopped = [each.stoppedConnecting for each in self.reactor.connectors]
        self.assertEqual(stopped, [True])
