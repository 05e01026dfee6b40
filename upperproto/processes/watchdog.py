"""
The watchdog: it finds out if a worker hangs, or does not begin to serve.
"""

from __future__ import annotations

# A worker sends a heartbeat every so many seconds.
HEARTBEAT = 1.0

# After HANGING_HEARTBEATS missing heartbeats, a worker hangs. After SILENT_HEARTBEATS,
# it is killed. A worker that does not serve yet has START_HEARTBEATS, because the
# machine may be busy.
HANGING_HEARTBEATS = 5
SILENT_HEARTBEATS = 10
START_HEARTBEATS = 30


class Watchdog:
    """
    Count the missing heartbeats of a process.

    It counts checks, and does not measure time. The reason: when this process was
    stopped or busy for a while, heartbeats have come, but have not been read yet.
    """

    def __init__(self) -> None:
        """
        Watch a process that starts now.
        """
        self._missing = 0

    def heard(self) -> None:
        """
        Note that a heartbeat has come.
        """
        self._missing = 0

    @property
    def silence(self) -> float:
        """
        The number of seconds without a heartbeat.
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
        Count a missing heartbeat, and say whether the process has to be killed. The
        reactor calls this every L{HEARTBEAT} seconds.

        @param serving: whether the process serves.
        @return: the reason to kill it now; empty if there is none.
        """
        self._missing += 1
        if serving and self._missing == SILENT_HEARTBEATS:
            return f"has been silent for {self.silence:g} s"
        if not serving and self._missing == START_HEARTBEATS:
            return f"has not begun to serve within {self.silence:g} s"
        return ""
