"""
L{UpperService}: listen, serve, drain, stop.
"""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from socket import socket
from types import FrameType
from typing import TYPE_CHECKING, Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError

from upperproto.datagrams.listener import DatagramListener, chooseAddress
from upperproto.datagrams.port import bindDatagrams
from upperproto.factory import UpperFactory
from upperproto.limits.descriptors import keepMemory
from upperproto.limits.pending import PendingConnections
from upperproto.ways import systemd
from upperproto.ways.endpoints import CannotStart
from upperproto.ways.inherited import Inheriting
from upperproto.ways.layers import Layers
from upperproto.ways.proxyprotocol import Network

if TYPE_CHECKING:
    # Only who wants TLS needs it.
    from upperproto.tls.certificates import Certificates


class UpperService(MultiService):
    """
    Serve on endpoints; at the end, let the conversations come to theirs.
    """

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
        @param factory: what serves the connections.
        @param endpoints: server endpoint descriptions, as Twisted has them.
        @param drain: how many seconds open conversations may go on after
            L{stopService}.
        @param reactor: what listens and tells the time.
        @param maxPending: how many connections may wait for their PROXY header or
            their TLS handshake at a time.
        @param certificates: those of TLS on all TCP listeners; no TLS by default.
        @param proxies: where every connection must come from, with a PROXY header; no
            such header by default.
        @raise CannotStart: for a description that is not one.
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
            getContext=None if certificates is None else certificates.getContext,
            proxies=proxies,
        )
        self._listeners = [layers.listener(each, reactor) for each in endpoints]
        self._datagrams: DatagramListener | None = None
        for listener in self._listeners:
            self.addService(listener)

    def addDatagrams(
        self, port: int | str, interface: str, outcomes: Counter[str] | None = None
    ) -> None:
        """
        Answer datagrams, too.

        @param port: where, as L{chooseAddress} has it.
        @param interface: likewise.
        @param outcomes: counts what becomes of them.
        """

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
            Counter() if outcomes is None else outcomes,
            self._factory.connectionLog,
        )
        self.addService(self._datagrams)

    def privilegedStartService(self) -> None:
        """
        Listen, as C{twistd} asks while the process has its privileges.

        @raise CannotStart: where the system refuses. Then nothing listens.
        """
        with self._everywhereOrNowhere():
            self._startLog()
            super().privilegedStartService()

    def startService(self) -> None:
        """
        Serve.

        @raise CannotStart: where the system refuses to listen, or where the user who
            serves cannot read what is read again later. Then nothing listens.
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

    async def _stop(self) -> None:
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
            systemd.ready()

    def _abort(self) -> None:
        self._pending.refuseAll("a second signal")
        self._factory.abort("a second signal")

    @contextmanager
    def _everywhereOrNowhere(self) -> Iterator[None]:
        """
        Listen nowhere if the service cannot start.
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


class SecondSignal:
    """
    What SIGINT and SIGTERM mean to a process that is already ending: end at once.

    The reactor's own handlers would stop it a second time, and it logs a traceback of
    C{ReactorNotRunning} then. Several services of one process may each watch: a
    signal is passed on to all that do, and the last to leave puts the handlers back.

    @ivar isWatching: whether a signal makes the call.
    @ivar before: the handlers that stood before this one's.
    """

    def __init__(self, reactor: Any, call: Callable[[], None]) -> None:
        """
        @param reactor: what calls.
        @param call: what to call, from the reactor.
        """
        self.reactor = reactor
        self.call = call
        self.isWatching = False
        self._trigger: Any = None
        self.before: dict[int, Any] = {}

    def start(self) -> None:
        """
        Watch as soon as the reactor begins to shut down.
        """
        self._trigger = self.reactor.addSystemEventTrigger(
            "before", "shutdown", self._watch
        )

    def stop(self) -> None:
        """
        Watch no longer, and put the handlers back.
        """
        if self._trigger is not None:
            self.reactor.removeSystemEventTrigger(self._trigger)
            self._trigger = None
        self.isWatching = False
        for number in self.before:
            while (owner := _owner(signal.getsignal(number))) and not owner.isWatching:
                signal.signal(number, owner.before[number])

    def _watch(self) -> None:
        # A trigger that has been fired cannot be removed.
        self._trigger = None
        # Python lets only the main thread set handlers. A reactor in another one has
        # none, either.
        if threading.current_thread() is threading.main_thread():
            self.isWatching = True
            for number in (signal.SIGINT, signal.SIGTERM):
                self.before[number] = signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        watcher: SecondSignal | None = self
        isWatched = False
        while watcher is not None:
            if watcher.isWatching:
                isWatched = True
                watcher.reactor.callFromThread(watcher.call)
            before = watcher.before[number]
            watcher = _owner(before)
        if not isWatched and callable(before):
            # Whoever has put a handler of his own on top of ours has called it.
            before(number, frame)


def _owner(handler: object) -> SecondSignal | None:
    """
    Whose handler this is, if it is one of ours.
    """
    owner = getattr(handler, "__self__", None)
    return owner if isinstance(owner, SecondSignal) else None
