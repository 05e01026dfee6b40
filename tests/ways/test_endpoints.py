"""
Tests for L{upperproto.ways.endpoints}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from upperproto.faults.settings import FaultSettings
from upperproto.ways.endpoints import (
    CannotStart,
    Listener,
    addressName,
    endpointFrom,
    faultsFrom,
    forWorker,
    kindOf,
    listen,
)


class CannotStartTests(SynchronousTestCase):
    """
    Tests for L{CannotStart}.
    """

    def test_bothKinds(self) -> None:
        """
        It ends a process with its message, and whoever cleans up after any
        exception meets it.
        """
        error = CannotStart("upper: because")
        self.assertIsInstance(error, SystemExit)
        self.assertIsInstance(error, Exception)
        self.assertEqual(error.code, "upper: because")
        self.assertEqual(str(error), "upper: because")


class EndpointFromTests(SynchronousTestCase):
    """
    Tests for L{endpointFrom} and L{kindOf}.
    """

    def refusal(self, description: str) -> str:
        """
        Why a description gives no endpoint.
        """
        with self.assertRaises(CannotStart) as caught:
            endpointFrom(MemoryReactorClock(), description)
        return str(caught.exception)

    def test_endpoint(self) -> None:
        """
        A description becomes an endpoint of the reactor.
        """
        reactor = MemoryReactorClock()
        factory = Factory()
        for description in ["tcp:5000:interface=127.0.0.1", r"\tcp:5000:127.0.0.1"]:
            listen(endpointFrom(reactor, description), factory)
            self.assertEqual(reactor.tcpServers.pop(), (5000, factory, 50, "127.0.0.1"))

    def test_notAnEndpoint(self) -> None:
        """
        Whatever is wrong with a description, the error says which it is, and what
        is wrong in words of this world.
        """
        for description, why in [
            ("", "Unknown endpoint type: ''"),
            ("foo:1", "Unknown endpoint type: 'foo'"),
            ("tcp", "missing 1 required positional argument: 'port'"),
            ("tcp:interface=::1", r"interface is empty (a colon within a value: \:)"),
            ("interface=127.0.0.1", "it has to begin with its kind, such as tcp:"),
            ("tcp:5000:nonsense=1", "got an unexpected keyword argument 'nonsense'"),
            ("unix:a:b:c:d:e", ""),
            ("tcp:5000\\", ""),
        ]:
            self.assertIn(
                f"upper: not an endpoint: {description}: {why}",
                self.refusal(description),
            )

    def test_faults(self) -> None:
        """
        C{fault:} stands before any of these, which are what they are without it.
        """
        reactor = MemoryReactorClock()
        factory = Factory()
        description = "fault:delay=1:tcp:5000:interface=127.0.0.1:rate=7"
        self.assertEqual(kindOf(description), "tcp")
        self.assertEqual(faultsFrom(description), FaultSettings(delay=1, rate=7))
        listen(endpointFrom(reactor, description), factory)
        self.assertEqual(reactor.tcpServers, [(5000, factory, 50, "127.0.0.1")])
        for none in ["tcp:5000", "fault:tcp:5000"]:
            self.assertIsNone(faultsFrom(none))
        for wrong, why in [
            ("fault:dealy=1:tcp:5000", "there is no fault dealy"),
            ("fault:delay=1", "fault: needs an endpoint after it"),
            ("fault:delay=x:tcp:5000", "delay takes seconds, not 'x'"),
            ("fault:delay=1:nonsense:1", "Unknown endpoint type: 'nonsense'"),
            ("FAULT:delay=1:tcp:65536", "not a port: 65536"),
        ]:
            self.assertIn(f"not an endpoint: {wrong}: {why}", self.refusal(wrong))
        for kind in ["stdio:", "haproxy:tcp:5000"]:
            words = self.refusal(kind).removeprefix(f"upper: {kind}")
            for faulty in [f"fault:{kind}", f"fault:delay=1:{kind}"]:
                self.assertEqual(self.refusal(faulty), f"upper: {faulty}{words}")

    def test_forWorker(self) -> None:
        """
        A worker inherits systemd's socket from its parent, not from systemd; faults are
        its own.
        """
        for description, worker in [
            ("tcp:1", "tcp:1"),
            ("fault:delay=1:tcp:1", "fault:delay=1:tcp:1"),
            ("systemd:domain=INET:index=0", "tcp:0"),
            ("fault:delay=1:systemd:domain=INET:index=0", "fault:delay=1:tcp:0"),
        ]:
            self.assertEqual(forWorker(description), worker)

    def test_port(self) -> None:
        """
        A port is a number from 0 to 65535, in ASCII digits.
        """
        for kind in ("tcp", "tcp6", "ssl"):
            for port in ("65536", "70000", "-1", "1_0", "+7", " 5", "x", "5\uff100"):
                for words in (port, f"port={port}"):
                    self.assertIn(
                        f"not a port: {port}", self.refusal(f"{kind}:{words}")
                    )

    def test_number(self) -> None:
        """
        So is it with other numbers that Twisted would take: a mode that is none would
        be cut to one, which could be open to everybody.
        """
        for description, why in [
            ("tcp:0:backlog=-1", "not a backlog: -1"),
            ("tcp:0:127.0.0.1:0", "not a backlog: 0"),
            ("ssl:0:backlog=99999999999", "not a backlog: 99999999999"),
            ("unix:/s:mode=-1", "not a mode: -1"),
            ("unix:/s:mode=7777777", "not a mode: 7777777"),
            ("unix:/s:mode=0o600", "not a mode: 0o600"),
            ("unix:/s:mode=4777", "not a mode: 4777"),
            ("unix:/s:1_0", "not a mode: 1_0"),
            ("unix:/s:mode=9", "invalid literal for int() with base 8: '9'"),
        ]:
            self.assertIn(f"{description}: {why}", self.refusal(description))

    def test_folder(self) -> None:
        """
        A folder for certificates that is not there is an error: every client would
        be refused.
        """
        description = "tls:/nonexistent:5000"
        self.assertIn(f"{description}: not a folder", self.refusal(description))

    def test_empty(self) -> None:
        """
        An empty value is an error: often a variable was not set. An empty interface
        would be open to every network, an empty path listen on nobody knows what.
        """
        for description, what in [
            ("tcp:5000:interface=", "interface is empty"),
            ("tcp:5000:", "a value is empty"),
            ("tcp:", "a value is empty"),
            ("unix:", "a value is empty"),
            ("unix::mode=600", "a value is empty"),
            ("unix:address=", "address is empty"),
            ("ssl:5000:privateKey=", "privateKey is empty"),
            ("systemd:domain=INET:name=", "name is empty"),
        ]:
            self.assertIn(f"{description}: {what}", self.refusal(description))

    def test_breaking(self) -> None:
        """
        Endpoints that would break a promise of the service are refused, however
        they are written.
        """
        for description in ["stdio:", "stdio", "STDIO:", r"std\io:"]:
            self.assertEqual(
                self.refusal(description),
                f"upper: {description} is one connection, and the process would not"
                " end with it",
            )
        for description in ["haproxy:tcp:5000", "HAProxy:stdio:", r"\haproxy:tcp:0"]:
            self.assertIn(
                f"upper: {description} would lose answers", self.refusal(description)
            )

    def test_kind(self) -> None:
        """
        A kind is found as Twisted finds it.
        """
        for description, kind in [
            ("tcp:5000", "tcp"),
            (r"s\sl:5000", "ssl"),
            ("SYSTEMD:domain=INET", "systemd"),
            ("unix", "unix"),
            (r"a\:b:c", "a:b"),
            ("", ""),
            ("\\", ""),
        ]:
            self.assertEqual(kindOf(description), kind)


class AddressNameTests(SynchronousTestCase):
    """
    Tests for L{addressName}.
    """

    def test_names(self) -> None:
        """
        An address is named as people write it, in characters that any log takes.
        """
        for address, name in [
            (IPv4Address("TCP", "127.0.0.1", 5000), "127.0.0.1:5000"),
            (IPv6Address("TCP", "::1", 5000), "[::1]:5000"),
            (UNIXAddress(b"/run/upper"), "/run/upper"),
            (UNIXAddress(b"/run/\xc3\xb6\xff"), "/run/ö\\xff"),
            (UNIXAddress(b"\0upper"), "@upper"),
            (UNIXAddress(None), "UNIXAddress(None)"),
        ]:
            self.assertEqual(addressName(address), name)


@implementer(IStreamServerEndpoint)
class StubEndpoint:
    """
    An endpoint that gives what it was told to.
    """

    def __init__(self, result: Deferred[Any]) -> None:
        """
        @param result: what to give.
        """
        self.result = result

    def listen(self, protocolFactory: object) -> Deferred[Any]:
        """
        Give it.
        """
        return self.result


class ListenerTests(SynchronousTestCase):
    """
    Tests for L{Listener}.
    """

    def test_once(self) -> None:
        """
        It listens when the process has its privileges, or when it starts, but
        only once.
        """
        reactor = MemoryReactorClock()
        for privileged in [False, True]:
            listener = Listener(serverFromString(reactor, "tcp:5000"), Factory())
            if privileged:
                listener.privilegedStartService()
            listener.startService()
            self.assertEqual(len(reactor.tcpServers), 1)
            reactor.tcpServers.clear()

    def test_log(self) -> None:
        """
        The log says where it listens.
        """
        endpoint = serverFromString(MemoryReactorClock(), r"tcp:5000:interface=\:\:1")
        with capturedLogs() as events:
            Listener(endpoint, Factory()).startService()
        self.assertEqual(
            [formatEvent(each) for each in events], ["Listening on [::1]:5000"]
        )

    def test_faults(self) -> None:
        """
        The log says that connections have faults.
        """
        endpoint = serverFromString(MemoryReactorClock(), r"tcp:5000:interface=\:\:1")
        with capturedLogs() as events:
            Listener(endpoint, Factory(), FaultSettings(delay=0.2)).startService()
        self.assertEqual(
            [formatEvent(each) for each in events],
            [
                "Listening on [::1]:5000",
                "fault: [::1]:5000: connections of this listener have faults:"
                " delay=0.2",
            ],
        )

    def test_cannot(self) -> None:
        """
        If it cannot listen, it says why in one line, and there is nothing to stop.
        """
        reason = CannotListenError("127.0.0.1", 5000, OSError("Address in use"))
        listener = Listener(StubEndpoint(fail(reason)), Factory())
        with self.assertRaises(CannotStart) as caught:
            listener.startService()
        self.assertEqual(
            str(caught.exception),
            "upper: Couldn't listen on 127.0.0.1:5000: Address in use.",
        )
        listener.close()
        self.successResultOf(listener.stopService())

    def test_undecided(self) -> None:
        """
        An endpoint that does not know yet whether it can listen is refused: the
        process would stay, and listen on nothing.
        """
        with self.assertRaises(CannotStart) as caught:
            Listener(StubEndpoint(Deferred()), Factory()).startService()
        self.assertIn("does not know at once", str(caught.exception))

    def test_stop(self) -> None:
        """
        It has stopped when its port has.
        """
        stopped: Deferred[None] = Deferred()

        class StubPort:
            def getHost(self) -> IPv4Address:
                return IPv4Address("TCP", "127.0.0.1", 1)

            def stopListening(self) -> Deferred[None]:
                return stopped

        listener = Listener(StubEndpoint(succeed(StubPort())), Factory())
        listener.startService()
        waiting = listener.stopService()
        self.assertNoResult(waiting)
        stopped.callback(None)
        self.successResultOf(waiting)

    def test_stopAtOnce(self) -> None:
        """
        A port may stop at once, and say nothing.
        """
        endpoint = serverFromString(MemoryReactorClock(), "tcp:5000")
        listener = Listener(endpoint, Factory())
        listener.startService()
        self.successResultOf(listener.stopService())

    def test_neverListened(self) -> None:
        """
        A listener that has never listened, or has stopped, stops at once.
        """
        listener = Listener(StubEndpoint(Deferred()), Factory())
        self.successResultOf(listener.stopService())
        self.successResultOf(listener.stopService())
