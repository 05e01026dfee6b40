"""
A service over TLS whose ends of connections can be looked at.
"""

from __future__ import annotations

import shutil
import ssl
import tempfile
from typing import Any
from unittest.mock import patch

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.trial.unittest import SynchronousTestCase

from tests.authority import Authority
from tests.memory import MemoryNetwork
from tests.tls.clients import TLSClient
from upperproto.factory import UpperFactory
from upperproto.interfaces import IServedConnection
from upperproto.limits.pendingconnections import PendingConnections
from upperproto.protocol import UpperProtocol
from upperproto.reactor import unsentbytes
from upperproto.tls.certificates.serverfiles import Certificates
from upperproto.ways.tls import TLSListenerFactory


class RecordingFactory(UpperFactory):
    """
    A factory that notes how its connections end.

    @ivar refusals: why clients were refused.
    @ivar truncations: how many clients ended without a close_notify.
    @ivar cutShort: their connections.
    @ivar ends: of each connection, what ended it and how much was not delivered.
    """

    def __init__(self, **settings: Any) -> None:
        """
        Begin with none.
        """
        super().__init__(**settings)
        self.refusals: list[str] = []
        self.truncations = 0
        self.cutShort: list[IServedConnection] = []
        self.ends: list[tuple[str, int]] = []

    def refused(
        self,
        peer: IAddress,
        reason: str,
        transport: object = None,
        seconds: float = 0.0,
    ) -> None:
        """
        Note a refusal.
        """
        super().refused(peer, reason, transport, seconds)
        self.refusals.append(reason)

    def truncated(self, connection: IServedConnection) -> None:
        """
        Count a client that was cut short.
        """
        super().truncated(connection)
        self.cutShort.append(connection)
        self.truncations += 1

    def connectionClosed(self, connection: IServedConnection, reason: str) -> None:
        """
        Note the end of a connection.
        """
        super().connectionClosed(connection, reason)
        self.ends.append((reason, connection.undeliveredBytes))


class TLSTestCase(SynchronousTestCase):
    """
    What tests of a service over TLS share.
    """

    version = ssl.TLSVersion.TLSv1_3

    # Whether the server uses Python's ssl; otherwise pyOpenSSL.
    usesPython = True

    def setUp(self) -> None:
        """
        Make the service.
        """
        if not self.usesPython:
            # As if Python could not use the key.
            self.patch(Certificates, "_lightContext", lambda certificates: None)
        self.network = MemoryNetwork()
        kernel = patch.object(unsentbytes, "fcntl", self.network)
        kernel.start()
        self.addCleanup(kernel.stop)
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.authority = Authority(self.folder)
        self.serve()

    def serve(self, clientCA: str | None = None, **settings: Any) -> None:
        """
        Make another one.
        """
        self.service = RecordingFactory(clock=self.network, **settings)
        self.listen(self.service, clientCA)

    def serveBy(self, protocol: type[Protocol]) -> None:
        """
        Make one that serves by another protocol.
        """
        self.listen(ServerFactory.forProtocol(protocol))

    def listen(self, inner: Any, clientCA: str | None = None) -> None:
        """
        Put TLS before a factory.
        """
        certificates = Certificates(*self.authority.issue("server"), clientCA)
        self.pending = PendingConnections(self.network, 3, self.service.refused)
        self.factory = TLSListenerFactory(
            self.pending, inner, certificates.getContext, self.service.truncated
        )

    def connect(self, *certificate: str, window: int = 65536) -> TLSClient:
        """
        Make a client that has not begun its handshake.

        @param certificate: the files of its own certificate, if it has one.
        @param window: how many bytes the kernels take before it receives.
        """
        context = ssl.create_default_context(cafile=self.authority.certificate)
        context.minimum_version = context.maximum_version = self.version
        if certificate:
            context.load_cert_chain(*certificate)
        return TLSClient(self.network, self.factory, context, window)

    def converse(self, *certificate: str, window: int = 65536) -> TLSClient:
        """
        Make a client that has shaken hands.
        """
        client = self.connect(*certificate, window=window)
        client.shakeHands()
        return client

    def protocol(self) -> UpperProtocol:
        """
        The one conversation's.
        """
        [protocol] = self.service.connections
        assert isinstance(protocol, UpperProtocol)
        return protocol
