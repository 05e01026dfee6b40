"""
L{StatusService}: a service, and the status of it over HTTP.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from upperproto.limits.signals import SecondSignal
from upperproto.status.report import Observer
from upperproto.status.resources import StatusSite
from upperproto.ways import systemd
from upperproto.ways.endpoints import CannotStart, Listener, endpointFrom, faultsFrom


class StatusListener(Listener):
    """
    Answer HTTP for as long as the service runs.
    """

    message = "Status on {name}"


class StatusService(Service):
    """
    Run a service, tell over HTTP how it does, and tell before it stops.

    The status is there before the service serves, and until it has ended.
    """

    _log = Logger()

    def __init__(
        self,
        observed: Any,
        reactor: Any,
        endpoint: str | None = None,
        readyDelay: float = 0,
    ) -> None:
        """
        @param observed: the service that it starts and stops, an
            L{upperproto.interfaces.IObserved}.
        @param reactor: what listens and tells the time.
        @param endpoint: where the status is asked for, as Twisted describes server
            endpoints; nowhere by default.
        @param readyDelay: for how many seconds the service goes on after the status has
            begun to say that it ends. A second signal makes it stop at once.
        @raise CannotStart: for a description that is not one.
        """
        self.observed = observed
        self._reactor = reactor
        self._readyDelay = readyDelay
        self._delaying: Deferred[None] | None = None
        self._secondSignal = SecondSignal(reactor, self._hurry)
        self._observer = Observer(observed)
        self._listener: StatusListener | None = None
        if endpoint is not None:
            if faultsFrom(endpoint) is not None:
                raise CannotStart(f"upper: --status has no faults: {endpoint}")
            site = StatusSite(self._observer, reactor)
            self._listener = StatusListener(endpointFrom(reactor, endpoint), site)

    def privilegedStartService(self) -> None:
        """
        Listen, as C{twistd} asks while the process has its privileges.

        @raise CannotStart: where the system refuses. Then nothing listens.
        """
        super().privilegedStartService()
        self._start("privilegedStartService")

    def startService(self) -> None:
        """
        Serve.

        @raise CannotStart: what the service raises. Then nothing listens.
        """
        super().startService()
        self._start("startService")
        self._secondSignal.start()

    def _start(self, step: str) -> None:
        try:
            if self._listener is not None:
                getattr(self._listener, step)()
            getattr(self.observed, step)()
        except BaseException:
            if self._listener is not None:
                self._listener.close()
            raise

    def stopService(self) -> Deferred[None]:
        """
        Say that the service ends; then end it.

        @return: fires when it has ended.
        """
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._observer.stopping = True
        try:
            if self._readyDelay:
                systemd.stopping()
                self._log.info(
                    "Not ready any more; the ports close in {seconds:g} s",
                    seconds=self._readyDelay,
                )
                self._delaying = deferLater(self._reactor, self._readyDelay)
                with suppress(CancelledError):
                    await self._delaying
                self._delaying = None
            await self.observed.stopService()
        finally:
            self._secondSignal.stop()
            if self._listener is not None:
                await self._listener.stopService()

    def _hurry(self) -> None:
        if self._delaying is not None:
            self._delaying.cancel()
