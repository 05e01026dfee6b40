"""
The monotonic clock of the reactor.
"""

from __future__ import annotations

from time import monotonic, time


class MonotonicClock:
    """
    The time of a reactor. It is monotonic: when somebody sets the system's clock,
    timeouts keep their length.
    """

    def __init__(self) -> None:
        """
        Begin with the time of the system's clock.
        """
        self._wallClockAtZero = time() - monotonic()
        super().__init__()

    def seconds(self) -> float:
        """
        Get the time in seconds since 1970, by the system's clock when the reactor was
        made. A later change of that clock does not change it.
        """
        return self._wallClockAtZero + monotonic()
