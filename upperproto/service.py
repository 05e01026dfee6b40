"""
L{UpperService}: listen, serve, drain, stop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from socket import socket
from typing import TYPE_CHECKING, Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from zope.interface import implementer

from upperproto.datagrams.port import bindDatagrams
from upperproto.datagrams.service import DatagramListener, chooseAddress
from upperproto.factory import UpperFactory
from upperproto.interfaces import IObserved
from upperproto.limits.descriptorlimit import keepMemory
from upperproto.limits.pendingconnections import PendingConnections
from upperproto.limits.stopsignals import SecondSignal
from upperproto.ways import systemd
from upperproto.ways.endpoints import CannotStart
from upperproto.ways.inherited import Inheriting
from upperproto.ways.layers import Layers
from upperproto.ways.proxyprotocol.headerwait import Network

if TYPE_CHECKING:
    # Only who wants TLS needs it.
    from upperproto.tls.certificates.serverfiles import Certificates


@implementer(IObserved)
class UpperService(MultiService):
    """
    Listen on endpoints and serve; at the end, drain the connections.

    @ivar serving: 1 while clients are served, 0 before and after.
    """

    serving = 0

    def __init__(
        self,
        factory: UpperFactory,
        endpoints: Iterable[str],
        drain: float,
        reactor: Any,
        maxPending: int = 1024,
        certificates: Certificates | None = None,
        proxies: Iterable[Network] | None = None,
    ) -> None:
        """
        @param factory: serves the connections.
        @param endpoints: server endpoint descriptions, as Twisted has them.
        @param drain: how many seconds open connections may go on after L{stopService}.
        @param reactor: listens and tells the time.
        @param maxPending: how many connections may wait for their PROXY header or their
            TLS handshake at the same time.
        @param certificates: the certificates for TLS on all TCP listeners; no TLS by
            default.
        @param proxies: the proxies that all connections must come from, with a PROXY
            header; no such header by default.
        @raise CannotStart: for a description that is not valid.
        """
        super().__init__()
        self._factory = factory
        self._drain = drain
        self._reactor = reactor
        self._certificates = certificates
        self._secondSignal = SecondSignal(reactor, self._abort)
        self._pending = PendingConnections(reactor, maxPending, factory.refused)
        layers = Layers(
            self._pending,
            factory,
            truncated=factory.truncated,
            opened=None if factory.counters is None else factory.counters.opened,
            getContext=None if certificates is None else certificates.getContext,
            proxies=proxies,
        )
        self._listeners = [layers.listener(each, reactor) for each in endpoints]
        self._datagrams: DatagramListener | None = None
        for listener in self._listeners:
            self.addService(listener)

    def addDatagrams(self, port: int | str, interface: str) -> None:
        """
        Answer datagrams, too.

        @param port: see L{chooseAddress}.
        @param interface: see L{chooseAddress}.
        """
        counters = self._factory.counters
        outcomes = Counter[str]() if counters is None else counters.counts["datagrams"]

        def bind() -> socket:
            inherited = None
            if isinstance(self._reactor, Inheriting):
                inherited = self._reactor.inheritDatagrams()
            if inherited is not None:
                return inherited
            hosts = [listener.getHost() for listener in self._listeners]
            try:
                return bindDatagrams(*chooseAddress(port, hosts, interface))
            except (CannotListenError, ValueError) as error:
                raise CannotStart(f"upper: {error}") from error

        self._datagrams = DatagramListener(
            bind,
            self._reactor,
            outcomes,
            self._factory.connectionLog,
        )
        self.addService(self._datagrams)

    def privilegedStartService(self) -> None:
        """
        Listen, as C{twistd} asks while the process has its privileges.

        @raise CannotStart: if the system does not allow it. Then nothing listens.
        """
        with self._everywhereOrNowhere():
            self._startLog()
            super().privilegedStartService()

    def startService(self) -> None:
        """
        Serve.

        @raise CannotStart: if the system does not allow to listen, or if the user of
            the process cannot read the certificates. Then nothing listens.
        """
        with self._everywhereOrNowhere():
            self._startLog()
            super().startService()
            if self._certificates is not None:
                try:
                    self._certificates.check()
                except ValueError as error:
                    raise CannotStart(f"upper: {error}") from error
        keepMemory()
        self._secondSignal.start()
        self._reactor.callWhenRunning(self._serving)

    def stopService(self) -> Deferred[None]:
        """
        Refuse new connections, then drain.

        @return: fires when the last connection has closed.
        """
        return Deferred.fromCoroutine(self._stop())

    def listeners(self) -> list[tuple[str, str]]:
        """
        Give the addresses of the listeners: see L{IObserved}.
        """
        found = [(each.address, str(each.faults or "")) for each in self._listeners]
        if self._datagrams is not None:
            found.append((self._datagrams.address, ""))
        return found

    def workers(self) -> list[tuple[str, str]]:
        """
        Give no workers: there is one process.
        """
        return []

    def snapshot(self) -> dict[str, Any]:
        """
        Give all counts: see L{IObserved}. The factory must have counters.
        """
        counters, connections = self._factory.counters, self._factory.connections
        assert counters is not None
        log = self._factory.connectionLog
        counts = counters.snapshot(connections)
        counts["lost"] = Counter(lines=0 if log is None else log.lost)
        return {
            "connections": len(connections) + len(self._pending),
            "counts": counts,
            "incidents": list(counters.incidents),
            "notAfter": self._certificates and self._certificates.notAfter,
        }

    async def _stop(self) -> None:
        self.serving = 0
        systemd.stopping()
        try:
            await super().stopService()
            self._pending.refuseAll("the service is shutting down")
            await self._factory.drain(self._drain)
        finally:
            self._secondSignal.stop()
            self._stopLog()

    def _serving(self) -> None:
        if self.running:
            self.serving = 1
            systemd.ready()

    def _abort(self) -> None:
        self._pending.refuseAll("a second signal")
        self._factory.abort("a second signal")

    @contextmanager
    def _everywhereOrNowhere(self) -> Iterator[None]:
        """
        Close all listeners if the service cannot start.
        """
        try:
            yield
        except BaseException:
            for listener in self._listeners:
                listener.close()
            if self._datagrams is not None:
                self._datagrams.close()
            self._stopLog()
            raise

    def _startLog(self) -> None:
        log = self._factory.connectionLog
        if log is not None:
            try:
                log.start()
            except OSError as error:
                raise CannotStart(
                    f"upper: the access log cannot be opened: {error}"
                ) from error

    def _stopLog(self) -> None:
        log = self._factory.connectionLog
        if log is not None:
            log.stop()
