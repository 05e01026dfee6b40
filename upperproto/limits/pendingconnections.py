"""
Pending connections: a limit for those that wait for a PROXY header or a TLS handshake.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from upperproto.interfaces import IPending, IPendingConnections


@implementer(IPendingConnections)
class PendingConnections:
    """
    Let only so many connections wait at the same time.

    When there are too many, the oldest one is refused. So during a flood, a client
    still gets in if it is quick: it must be ready before so many others have come.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        maximum: int,
        refused: Callable[..., None],
    ) -> None:
        """
        @param clock: tells the time.
        @param maximum: how many connections may wait.
        @param refused: called for each connection that was refused, with the arguments
            of L{IPendingConnections.refused}.
        """
        self.clock = clock
        self.refused = refused
        self._maximum = maximum
        # A dictionary keeps the order in which they came.
        self._pending: dict[IPending, None] = {}

    def __len__(self) -> int:
        """
        How many connections wait.
        """
        return len(self._pending)

    def add(self, pending: IPending) -> None:
        """
        A connection begins to wait. If there are too many, the oldest is refused.
        """
        self._pending[pending] = None
        if len(self._pending) > self._maximum:
            self._refuse(next(iter(self._pending)), "too many others wait")

    def remove(self, pending: IPending) -> None:
        """
        A connection does not wait any more: it has reached the protocol, or is lost.
        """
        # A connection that could not be refused was removed before.
        self._pending.pop(pending, None)

    def refuseAll(self, why: str) -> None:
        """
        Refuse all connections that wait.

        @param why: for the log.
        """
        for pending in list(self._pending):
            self._refuse(pending, why)

    def _refuse(self, pending: IPending, why: str) -> None:
        """
        Refuse one connection. An error there must not end another connection.
        """
        try:
            pending.refuse(why)
        except Exception:
            # If it stayed the oldest one, no other would be refused any more.
            self._pending.pop(pending, None)
            self._log.failure("A connection cannot be refused")
