"""
L{StatusService}: run a service, and show its status over HTTP.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from upperproto.limits.stopsignals import SecondSignal
from upperproto.status.httpresources import StatusSite
from upperproto.status.report import Observer
from upperproto.ways import systemd
from upperproto.ways.endpoints import CannotStart, Listener, endpointFrom, faultsFrom


class StatusListener(Listener):
    """
    Answer HTTP for as long as the service runs.
    """

    message = "Status on {name}"


class StatusService(Service):
    """
    Run a service, show its status over HTTP, and show that it ends before it stops.

    The status can be asked for before the service serves, and until it has ended.
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
        @param reactor: listens and tells the time.
        @param endpoint: the server endpoint for the status, as Twisted describes it; by
            default, there is none.
        @param readyDelay: when the service has to stop, the status first says so, and
            the service goes on for so many seconds. A second signal makes it stop at
            once.
        @raise CannotStart: for a description that is not valid.
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
        Listen. C{twistd} calls this while the process has its privileges.

        @raise CannotStart: if the system does not allow it. Then nothing listens.
        """
        super().privilegedStartService()
        self._start("privilegedStartService")

    def startService(self) -> None:
        """
        Start the service.

        @raise CannotStart: if the service cannot start. Then nothing listens.
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
        Show in the status that the service ends, and then end it.

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
