"""
The watchdog: find out that a worker hangs, or that it does not begin to serve.
"""

from __future__ import annotations

# A worker sends a heartbeat every so many seconds.
HEARTBEAT = 1.0

# After so many missing heartbeats, a worker hangs; after more, it is killed. One that
# does not serve yet has more time, because the machine may be busy.
HANGING_HEARTBEATS = 5
SILENT_HEARTBEATS = 10
START_HEARTBEATS = 30


class Watchdog:
    """
    Count the missing heartbeats of a process.

    It counts checks, and does not measure time. If this process was stopped or busy for
    a while, the heartbeats have come, but have not been read.
    """

    def __init__(self) -> None:
        """
        Watch a process that starts now.
        """
        self._missing = 0

    def heard(self) -> None:
        """
        A heartbeat has come.
        """
        self._missing = 0

    @property
    def silence(self) -> float:
        """
        For how many seconds no heartbeat has come.
        """
        return self._missing * HEARTBEAT

    @property
    def hangs(self) -> bool:
        """
        Whether a process that serves seems to hang.
        """
        return self._missing >= HANGING_HEARTBEATS

    def check(self, serving: bool) -> str:
        """
        Check a process. To be called every L{HEARTBEAT} seconds, by the reactor.

        @param serving: whether the process serves.
        @return: why it has to be killed now; empty if it need not be.
        """
        self._missing += 1
        if serving and self._missing == SILENT_HEARTBEATS:
            return f"has been silent for {self.silence:g} s"
        if not serving and self._missing == START_HEARTBEATS:
            return f"has not begun to serve within {self.silence:g} s"
        return ""
