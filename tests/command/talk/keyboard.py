"""
A keyboard without a terminal.
"""

from __future__ import annotations

from collections.abc import Callable


class FakeKeyboard:
    """
    What a person types, on demand.

    @ivar asked: how many lines were asked for and have not been typed.
    @ivar stopped: whether the terminal is as it was.
    """

    asked = 0
    stopped = False

    def __init__(self, show: Callable[[bytes], None]) -> None:
        """
        @param show: shows the prompt.
        """
        self._show = show

    def start(
        self, received: Callable[[bytes], None], ended: Callable[[str], None]
    ) -> None:
        """
        Begin.
        """
        self._received = received
        self.end = ended

    def ask(self) -> None:
        """
        Show the prompt.
        """
        assert not self.asked
        self.asked += 1
        self._show(b" -> ")

    def type(self, line: bytes) -> None:
        """
        Type a line.
        """
        assert self.asked
        self.asked -= 1
        self._received(line)

    def showAgain(self) -> None:
        """
        Show the prompt and some text after it.
        """
        self._show(b" -> typed")

    def stop(self) -> None:
        """
        Note that the terminal is as it was.
        """
        self.stopped = True
