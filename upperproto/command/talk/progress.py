"""
Progress of a filter, shown on standard error.
"""

from __future__ import annotations

import os
import stat
import sys
from typing import Any

from upperproto.command import standardio as stdio
from upperproto.command.errors import NoDestination

# How often, in seconds, the progress is shown if nothing is sent.
_REFRESH = 0.5


class Progress:
    """
    Show bytes, rate and time.
    """

    def __init__(self, reactor: Any) -> None:
        """
        @param reactor: tells the time.
        @raise NoDestination: if tqdm is not installed.
        """
        try:
            from tqdm import tqdm
        except ImportError as error:
            raise NoDestination(
                "--progress needs one more package: pip install 'upperproto[progress]'"
            ) from error

        # Without the thread of tqdm: we refresh the bar.
        tqdm.monitor_interval = 0
        self._bar = tqdm(
            total=_size(),
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
            desc="sent",
            file=sys.stderr,
        )
        self._answered = 0
        self._reactor = reactor
        self._timer = reactor.callLater(_REFRESH, self._refresh)

    def sent(self, size: int) -> None:
        """
        Count bytes that were sent.
        """
        self._bar.update(size)

    def received(self, size: int) -> None:
        """
        Count bytes of answers.
        """
        self._answered += size

    def close(self) -> None:
        """
        Show the progress for the last time.
        """
        if self._timer.active():
            self._timer.cancel()
        self._show()
        self._bar.close()

    def _refresh(self) -> None:
        self._timer = self._reactor.callLater(_REFRESH, self._refresh)
        self._show()
        self._bar.refresh()

    def _show(self) -> None:
        self._bar.set_postfix_str(
            f"answered {self._bar.format_sizeof(self._answered, 'B', 1024)}", False
        )


def _size() -> int | None:
    """
    Get how many bytes standard input has, if it is a file.
    """
    status = os.fstat(stdio.STDIN)
    if not stat.S_ISREG(status.st_mode):
        return None
    return max(0, status.st_size - os.lseek(stdio.STDIN, 0, os.SEEK_CUR))
