"""
Tests for L{upperproto.ways.inherited}.
"""

from __future__ import annotations

import os
import socket
import tempfile
from typing import Any

from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from upperproto.interfaces import IUNIXAdoption
from upperproto.ways import systemd
from upperproto.ways.endpoints import CannotStart, endpointFrom, listen
from upperproto.ways.inherited import (
    FAMILIES,
    InheritedUNIXPort,
    Inheriting,
    checkSocket,
)


class InheritedTestsMixin(SynchronousTestCase):
    """
    A reactor that notes what it adopts, and sockets for it.
    """

    def setUp(self) -> None:
        """
        Set up the reactor.
        """
        self.reactor = MemoryReactorClock()
        self.adopted: list[tuple[int, int, Factory]] = []

        def adopt(descriptor: int, family: int, factory: Factory) -> None:
            self.adopted.append((descriptor, family, factory))

        self.patch(self.reactor, "adoptStreamPort", adopt)
        self.factory = Factory()
        self.factory.noisy = False

    def bind(
        self, family: int, kind: int = socket.SOCK_STREAM, listening: bool = True
    ) -> int:
        """
        Make a socket to inherit.
        """
        bound = socket.socket(family, kind)
        descriptor = bound.detach()
        self.addCleanup(os.close, descriptor)
        with socket.socket(fileno=os.dup(descriptor)) as bound:
            if family == socket.AF_UNIX:
                bound.bind("")
            if listening:
                bound.listen(7)
        return descriptor

    def open(self, descriptor: int) -> str:
        """
        What a descriptor stands for.
        """
        return os.readlink(f"/proc/self/fd/{descriptor}")


class CheckSocketTests(InheritedTestsMixin):
    """
    Tests for L{checkSocket}.
    """

    def test_listening(self) -> None:
        """
        A stream socket that listens is what is wanted. It stays open.
        """
        for family in FAMILIES.values():
            descriptor = self.bind(family)
            self.assertEqual(checkSocket(descriptor), family)
            self.assertEqual(checkSocket(descriptor), family)

    def test_others(self) -> None:
        """
        Whatever nobody can be accepted from is refused, with a message each, and
        stays open.
        """
        one, other = socket.socketpair()
        self.addCleanup(other.close)
        self.addCleanup(one.close)
        file = tempfile.TemporaryFile()  # noqa: SIM115 # closed by the test
        self.addCleanup(file.close)
        for descriptor, why in [
            (self.bind(socket.AF_INET, socket.SOCK_DGRAM, False), "is not a stream"),
            (self.bind(socket.AF_UNIX, socket.SOCK_DGRAM, False), "is not a stream"),
            (self.bind(socket.AF_INET, listening=False), "does not listen"),
            (one.fileno(), "does not listen (with Accept=yes, systemd hands over"),
            (file.fileno(), f"descriptor {file.fileno()} is no socket"),
        ]:
            before = self.open(descriptor)
            error = self.assertRaises(ValueError, checkSocket, descriptor)
            self.assertIn(why, str(error))
            self.assertEqual(self.open(descriptor), before)

    def test_closed(self) -> None:
        """
        So is what is not open.
        """
        self.assertRaises(ValueError, checkSocket, 1 << 20)

    def test_descriptors(self) -> None:
        """
        Whatever it is told, it leaves no descriptor behind.
        """
        descriptor = self.bind(socket.AF_INET, socket.SOCK_DGRAM, False)
        before = len(os.listdir("/proc/self/fd"))
        for each in (descriptor, 1 << 20):
            self.assertRaises(ValueError, checkSocket, each)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)


class InheritedEndpointTests(InheritedTestsMixin):
    """
    Tests for L{upperproto.ways.inherited.InheritedEndpoint}.
    """

    def endpoint(self, description: str, *sockets: int) -> Any:
        """
        Make an endpoint, where some sockets were handed over.
        """

        def findSocket(index: str | None, name: str | None) -> int:
            return sockets[int(index or 0)]

        self.patch(systemd, "findSocket", findSocket)
        return endpointFrom(self.reactor, description)

    def refusal(self, description: str, *sockets: int) -> str:
        """
        Why there is no endpoint.
        """
        with self.assertRaises(CannotStart) as caught:
            self.endpoint(description, *sockets)
        return str(caught.exception)

    def test_listen(self) -> None:
        """
        The reactor adopts the socket, which does not block, and then nothing but
        its own copy is open. The number stays taken, by nothing.
        """
        for domain, family in FAMILIES.items():
            descriptor = self.bind(family)
            os.set_blocking(descriptor, True)
            copy = os.dup(descriptor)
            self.addCleanup(os.close, copy)
            for words in ("index=0", "name=upper"):
                description = f"systemd:domain={domain}:{words}"
                endpoint = self.endpoint(description, descriptor)
            listen(endpoint, self.factory)
            self.assertEqual(self.adopted.pop(), (descriptor, family, self.factory))
            self.assertFalse(os.get_blocking(copy))
            self.assertEqual(self.open(descriptor), os.devnull)
            self.assertFalse(os.get_inheritable(descriptor))

    def test_twice(self) -> None:
        """
        A socket is adopted once, however it was named, and no other file is taken
        for it.
        """
        descriptor = self.bind(socket.AF_INET)
        endpoints = [
            self.endpoint("systemd:domain=INET:index=0", descriptor) for _ in range(2)
        ]
        listen(endpoints[0], self.factory)
        other = socket.socket()
        self.addCleanup(other.close)
        error = self.assertRaises(ValueError, listen, endpoints[1], self.factory)
        self.assertIn("is no socket any more", str(error))
        self.assertEqual(len(self.adopted), 1)

    def test_family(self) -> None:
        """
        A socket of another family than was named is refused, with the name of its
        own.
        """
        descriptor = self.bind(socket.AF_INET6)
        for domain in ("INET", "UNIX"):
            description = f"systemd:domain={domain}:index=0"
            self.assertEqual(
                self.refusal(description, descriptor),
                f"upper: not an endpoint: {description}: the domain of the socket is"
                " INET6",
            )

    def test_domain(self) -> None:
        """
        There are three domains.
        """
        for domain in ("inet", "INET4", "VSOCK", "PACKET"):
            self.assertIn(
                "the domain is one of INET, INET6, UNIX",
                self.refusal(f"systemd:domain={domain}:index=0"),
            )
        self.assertIn("'domain'", self.refusal("systemd:index=0"))
        self.assertIn("'nonsense'", self.refusal("systemd:domain=INET:nonsense=1"))

    def test_others(self) -> None:
        """
        A socket that nobody can be accepted from is refused before anything is
        served.
        """
        bound = self.bind(socket.AF_INET, listening=False)
        datagram = self.bind(socket.AF_INET, socket.SOCK_DGRAM, False)
        for descriptor, why in [(bound, "does not listen"), (datagram, "not a stream")]:
            self.assertIn(why, self.refusal("systemd:domain=INET:index=0", descriptor))


class InheritingTests(InheritedTestsMixin):
    """
    Tests for L{Inheriting} and L{InheritedUNIXPort}.
    """

    def test_none(self) -> None:
        """
        Where nothing is inherited, endpoints listen as ever.
        """
        inheriting = Inheriting(self.reactor)
        inheriting.listenTCP(5000, self.factory, backlog=7, interface="::1")
        inheriting.listenUNIX("/s", self.factory, backlog=7, mode=0o600, wantPID=True)
        self.assertEqual(self.reactor.tcpServers, [(5000, self.factory, 7, "::1")])
        self.assertEqual(
            self.reactor.unixServers, [("/s", self.factory, 7, 0o600, True)]
        )
        self.assertIs(inheriting.callLater.__self__, self.reactor)

    def test_inOrder(self) -> None:
        """
        Endpoints take what is inherited, one after the other, whatever they
        would have made themselves; and it does not block. Then nothing but the
        ports' own copies is open.
        """
        directlyProvides(self.reactor, IUNIXAdoption)
        sockets = [
            (self.bind(family), family)
            for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
        ]
        copies = [os.dup(descriptor) for descriptor, _ in sockets]
        inheriting = Inheriting(self.reactor, [each for each, _ in sockets])
        inheriting.adoptStreamPort(1000, socket.AF_INET, self.factory)
        inheriting.listenTCP(5000, self.factory)
        inheriting.listenUNIX("/elsewhere", self.factory)
        self.assertEqual(
            self.adopted, [(*expected, self.factory) for expected in sockets]
        )
        for copy, (descriptor, _) in zip(copies, sockets, strict=True):
            self.addCleanup(os.close, copy)
            self.assertFalse(os.get_blocking(copy))
            self.assertEqual(self.open(descriptor), os.devnull)

    def test_adopt(self) -> None:
        """
        An endpoint that knows of a socket gets this one, and closes it itself.
        """
        known = self.bind(socket.AF_INET)
        before = self.open(known)
        Inheriting(self.reactor).adoptStreamPort(known, socket.AF_INET, self.factory)
        self.assertEqual(self.adopted, [(known, socket.AF_INET, self.factory)])
        self.assertEqual(self.open(known), before)

    def test_checked(self) -> None:
        """
        What nobody can be accepted from is not adopted.
        """
        bound = self.bind(socket.AF_INET, listening=False)
        for name in ("listenTCP", "listenUNIX"):
            method = getattr(Inheriting(self.reactor, [bound]), name)
            self.assertRaises(ValueError, method, 5000, self.factory)
        self.assertEqual(self.adopted, [])

    def test_unix(self) -> None:
        """
        A UNIX socket is accepted from without touching it: it keeps its backlog,
        and listens on when the port has stopped.
        """
        descriptor = self.bind(socket.AF_UNIX)
        copy = os.dup(descriptor)
        self.addCleanup(os.close, copy)
        inheriting = Inheriting(self.reactor, [descriptor])
        port = inheriting.listenUNIX("/elsewhere", self.factory)
        self.assertIsInstance(port, InheritedUNIXPort)
        self.assertEqual(self.reactor.getReaders(), [port])
        with socket.socket(fileno=os.dup(copy)) as listening:
            self.assertEqual(port.getHost().name, listening.getsockname())
        stopped = port.stopListening()
        self.reactor.advance(0)
        self.successResultOf(stopped)
        self.assertEqual(checkSocket(copy), socket.AF_UNIX)

    def test_datagrams(self) -> None:
        """
        The socket of datagrams comes after those of the endpoints, if there is one.
        """
        descriptor = self.bind(socket.AF_INET, socket.SOCK_DGRAM, False)
        before = self.open(descriptor)
        inheriting = Inheriting(self.reactor, [descriptor])
        inherited = inheriting.inheritDatagrams()
        assert inherited is not None
        self.addCleanup(inherited.close)
        self.assertEqual(self.open(inherited.fileno()), before)
        self.assertEqual(self.open(descriptor), os.devnull)
        self.assertIsNone(inheriting.inheritDatagrams())
