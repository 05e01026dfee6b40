"""
Tests for L{upperproto.ways.layers}.
"""

from __future__ import annotations

import shutil
import tempfile
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from twisted.internet import endpoints
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from tests.authority import Authority
from upperproto.factory import UpperFactory
from upperproto.faults.endpoint import FaultFactory
from upperproto.limits.pendingconnections import PendingConnections
from upperproto.protocol import UpperProtocol
from upperproto.tls.certificates.serverfiles import Certificates
from upperproto.ways.endpoints import CannotStart
from upperproto.ways.layers import Layers
from upperproto.ways.proxyprotocol.headerwait import ProxyFactory
from upperproto.ways.tls import TLSListenerFactory


class LayersTests(SynchronousTestCase):
    """
    What a listener gets for a factory.
    """

    def setUp(self) -> None:
        """
        Make a service.
        """
        self.reactor = MemoryReactorClock()
        self.service = UpperFactory(clock=self.reactor)
        self.pending = PendingConnections(self.reactor, 10, self.service.refused)
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.certificate, self.key = Authority(self.folder).issue("localhost")

    def listen(self, layers: Layers, description: str) -> Any:
        """
        Listen on an endpoint.

        @return: the arguments of C{listenTCP}.
        """
        layers.listener(description, self.reactor).privilegedStartService()
        [server] = self.reactor.tcpServers
        return server

    def test_plain(self) -> None:
        """
        By default, nothing stands before the service.
        """
        _, factory, backlog, interface = self.listen(
            Layers(self.pending, self.service), r"tcp:5000:backlog=7:interface=\:\:"
        )
        self.assertIs(factory, self.service)
        self.assertEqual((backlog, interface), (7, "::"))

    def test_order(self) -> None:
        """
        The PROXY header is read first, and under it is TLS.
        """
        getContext = Certificates(self.certificate, self.key).getContext
        proxies = [ip_network("192.0.2.0/24")]
        _, factory, *_ = self.listen(
            Layers(
                self.pending, self.service, self.service.truncated, getContext, proxies
            ),
            "tcp:5000",
        )
        self.assertIsInstance(factory, ProxyFactory)
        self.assertIsInstance(factory.inner, TLSListenerFactory)
        self.assertEqual(factory.logPrefix(), "UpperFactory (TLS) (PROXY)")

    def test_ssl(self) -> None:
        """
        An C{ssl:} endpoint gets our TLS, with all that it says.
        """
        port, factory, backlog, interface = self.listen(
            Layers(self.pending, self.service),
            f"ssl:5000:privateKey={self.key}:certKey={self.certificate}"
            r":backlog=7:interface=\:\:",
        )
        self.assertIsInstance(factory, TLSListenerFactory)
        self.assertEqual((port, backlog, interface), (5000, 7, "::"))

    def test_sslBehindProxy(self) -> None:
        """
        And a PROXY header before it, if there is to be one.
        """
        _, factory, *_ = self.listen(
            Layers(self.pending, self.service, proxies=[]),
            f"ssl:5000:privateKey={self.key}:certKey={self.certificate}",
        )
        self.assertIsInstance(factory, ProxyFactory)
        self.assertIsInstance(factory.inner, TLSListenerFactory)

    def test_tls(self) -> None:
        """
        A C{tls:} endpoint gets our TLS, with all that it says.
        """
        both = Path(self.key).read_bytes() + Path(self.certificate).read_bytes()
        folder = self.folder / "both"
        folder.mkdir()
        (folder / "both.pem").write_bytes(both)
        if not hasattr(endpoints, "_TLSServerEndpointParser"):
            # An old Twisted has none for servers.
            listen = Layers(self.pending, self.service).listener
            self.assertRaises(CannotStart, listen, f"tls:{folder}:5000", self.reactor)
            return
        port, factory, backlog, interface = self.listen(
            Layers(self.pending, self.service), f"tls:{folder}:5000:backlog=7"
        )
        self.assertIsInstance(factory, TLSListenerFactory)
        self.assertEqual((port, backlog, interface), (5000, 7, "::"))
        self.assertIsNotNone(factory.buildProtocol(None))

    def test_faults(self) -> None:
        """
        Faults stand before all else, as the network does: also before the TLS of an
        endpoint.
        """
        layers = Layers(self.pending, self.service, proxies=[])
        for description, inner in [
            ("tcp:5000", ProxyFactory),
            (
                f"ssl:5000:privateKey={self.key}:certKey={self.certificate}",
                ProxyFactory,
            ),
        ]:
            self.reactor.tcpServers.clear()
            listener = layers.listener(f"fault:delay=1:{description}", self.reactor)
            self.assertEqual(str(listener.faults), "delay=1")
            _, factory, *_ = self.listen(layers, f"fault:delay=1:{description}")
            self.assertIsInstance(factory, FaultFactory)
            self.assertIsInstance(factory.wrappedFactory, inner)

    def test_notAnEndpoint(self) -> None:
        """
        What is no endpoint, or names no file, ends the start.
        """
        for description in ("nonsense", "tcp:5000:nonsense=1", "ssl:5000"):
            self.assertRaises(
                CannotStart,
                Layers(self.pending, self.service).listener,
                description,
                self.reactor,
            )

    def test_opened(self) -> None:
        """
        Where it is asked for, each connection is told of, with the address of its
        listener; the protocol comes as it does without, and needs no more context.
        """
        opened: list[str] = []
        layers = Layers(self.pending, self.service, opened=opened.append)
        _, factory, *_ = self.listen(layers, "tcp:5000:interface=127.0.0.1")
        self.assertEqual(factory.logPrefix(), "UpperFactory")
        self.assertFalse(factory.logContext)
        protocol = factory.buildProtocol(None)
        self.assertIsInstance(protocol, UpperProtocol)
        self.assertEqual(len(opened), 1)
        self.assertEqual(opened[0].rpartition(":")[2], "5000")
