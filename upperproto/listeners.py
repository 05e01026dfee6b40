"""
Listening: on an endpoint, or not at all, and without spinning.
"""

from __future__ import annotations

import select
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IDelayedCall,
    IProtocolFactory,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.internet.tcp import Port

# For how many seconds a port that cannot accept is left alone.
ACCEPT_AGAIN = 0.1


class CannotStart(SystemExit, Exception):
    """
    The service cannot start. The message is for the person who started it.

    It ends the process with this message and status 1 instead of a traceback,
    because it is a L{SystemExit}; and C{twistd} removes its PID file and tells
    the parent of a daemon, because it is an L{Exception}.
    """


class Listener(Service):
    """
    Listen on an endpoint for as long as the service runs.

    Unlike Twisted's own service for endpoints, it ends a process that cannot
    listen with a message instead of a traceback. And it waits a little after
    an accept that failed for want of descriptors or memory: the connection
    stays in the queue, so that the reactor would call again at once, and log
    the same error, for as long as the shortage lasts.
    """

    def __init__(
        self,
        endpoint: IStreamServerEndpoint,
        factory: IProtocolFactory,
        clock: IReactorTime,
    ) -> None:
        """
        @param endpoint: where to listen. It must know at once whether it can.
        @param factory: what serves the connections.
        @param clock: what tells the time.
        """
        self._endpoint = endpoint
        self._factory = factory
        self._clock = clock
        self._port: Any = None
        self._again: IDelayedCall | None = None

    def privilegedStartService(self) -> None:
        """
        Listen, as C{twistd} asks while the process has its privileges.

        @raise CannotStart: where the system refuses.
        """
        super().privilegedStartService()
        failures: list[Any] = []
        listening = self._endpoint.listen(self._factory)
        listening.addCallbacks(self._listen, failures.append)
        if failures:
            reason = failures[0].getErrorMessage()
            raise CannotStart(f"upper: {reason}") from failures[0].value

    def startService(self) -> None:
        """
        Listen, if L{privilegedStartService} has not.

        @raise CannotStart: where the system refuses.
        """
        super().startService()
        if self._port is None:
            self.privilegedStartService()

    def stopService(self) -> Deferred[None]:
        """
        Refuse new connections.

        @return: fires when they are refused.
        """
        super().stopService()
        if self._again is not None:
            self._again.cancel()
            self._again = None
        port, self._port = self._port, None
        stopped: Deferred[None] | None = port.stopListening()
        return succeed(None) if stopped is None else stopped

    def _listen(self, port: Any) -> None:
        self._port = port
        if isinstance(port, Port):
            self._doRead = port.doRead
            # abortConnection replaces a method of a transport likewise.
            port.doRead = self._accept  # type: ignore[method-assign]

    def _accept(self) -> None:
        """
        Accept, in place of the port's own C{doRead}.
        """
        port = self._port
        accepted = port.sessionno
        self._doRead()
        if port.sessionno == accepted and self._readable():
            port.stopReading()
            self._again = self._clock.callLater(ACCEPT_AGAIN, self._acceptAgain)

    def _readable(self) -> bool:
        """
        Whether a connection waits that could not be accepted. Otherwise it was
        aborted, or another process was faster.
        """
        poll = select.poll()
        poll.register(self._port.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def _acceptAgain(self) -> None:
        self._again = None
        self._port.startReading()
