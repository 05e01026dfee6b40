"""
Pending connections: those that still owe a PROXY header or a TLS handshake.
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
    Let so many connections wait at a time, and no more.

    If too many do, the one that has waited longest is refused: a flood keeps out
    only those who take longer to arrive than so many others.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        maximum: int,
        refused: Callable[..., None],
    ) -> None:
        """
        @param clock: what tells the time.
        @param maximum: how many may wait.
        @param refused: is told of each that was not let in, as
            L{IPendingConnections.refused} has it.
        """
        self.clock = clock
        self.refused = refused
        self._maximum = maximum
        # In the order in which they came.
        self._pending: dict[IPending, None] = {}

    def __len__(self) -> int:
        """
        How many wait.
        """
        return len(self._pending)

    def add(self, pending: IPending) -> None:
        """
        A connection begins to wait.
        """
        self._pending[pending] = None
        if len(self._pending) > self._maximum:
            next(iter(self._pending)).refuse("too many others wait")

    def remove(self, pending: IPending) -> None:
        """
        A connection waits no more: it has come in, or gone.
        """
        del self._pending[pending]

    def refuseAll(self, why: str) -> None:
        """
        Refuse all that wait.

        @param why: for the log.
        """
        for pending in list(self._pending):
            try:
                pending.refuse(why)
            except Exception:
                self._log.failure("A connection cannot be refused")
