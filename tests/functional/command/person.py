"""
A client on a terminal, and who sits there.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import subprocess
import termios

from tests.functional.command.client import CLIENT
from tests.functional.processes import TIME_LIMIT, restoreSignals


class Person:
    """
    A client on a terminal, and who sits there.
    """

    def __init__(self, *options: str, stdout: int | None = None) -> None:
        """
        @param options: for the client.
        @param stdout: where its output goes, if not to the terminal.
        """
        self._ours, self._theirs = pty.openpty()
        self.settings = termios.tcgetattr(self._theirs)
        # setsid makes it the controlling terminal, whose Ctrl-C is a signal.
        self.process = subprocess.Popen(
            ["setsid", "--ctty", CLIENT, *options],
            stdin=self._theirs,
            stdout=self._theirs if stdout is None else stdout,
            stderr=self._theirs,
            preexec_fn=restoreSignals,
            # No terminal that knows more than its driver does.
            env={**os.environ, "TERM": "dumb"},
        )
        self._screen = b""

    def __enter__(self) -> Person:
        """
        Sit down.
        """
        return self

    def __exit__(self, *failure: object) -> None:
        """
        Go.
        """
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(TIME_LIMIT)
        os.close(self._ours)
        os.close(self._theirs)

    def type(self, text: str) -> None:
        """
        Press some keys.
        """
        os.write(self._ours, text.encode("utf-8", "surrogateescape"))

    def sees(self, text: str) -> None:
        """
        Wait until the screen shows some text next.

        @param text: all that has been shown since the last call.
        """
        expected = text.replace("\n", "\r\n").encode()
        while len(self._screen) < len(expected):
            if not expected.startswith(self._screen):
                break
            if not select.select([self._ours], [], [], TIME_LIMIT)[0]:
                break
            self._screen += os.read(self._ours, 1 << 16)
        shown, self._screen = (
            self._screen[: len(expected)],
            self._screen[len(expected) :],
        )
        if shown != expected:
            raise AssertionError(f"{shown + self._screen!r} is shown, not {expected!r}")

    def shows(self, text: str) -> None:
        """
        Wait until the screen shows some text, after anything else.
        """
        self.showsUntil(text.replace("\n", "\r\n").encode())

    def showsUntil(self, end: bytes) -> bytes:
        """
        Wait until the screen shows some bytes.

        @return: all that has been shown since the last call, up to them.
        """
        while end not in self._screen:
            if not select.select([self._ours], [], [], TIME_LIMIT)[0]:
                raise AssertionError(f"{self._screen!r} is shown, not {end!r}")
            self._screen += os.read(self._ours, 1 << 16)
        before, end, self._screen = self._screen.partition(end)
        return before + end

    def leaves(self) -> int:
        """
        Wait for the end.

        @return: the status, when nothing more has been shown and the terminal is
            as it was.
        """
        status = self.process.wait(TIME_LIMIT)
        if select.select([self._ours], [], [], 0)[0]:
            self._screen += os.read(self._ours, 1 << 16)
        if self._screen:
            raise AssertionError(f"{self._screen!r} is shown, too")
        if termios.tcgetattr(self._theirs) != self.settings:
            raise AssertionError("the terminal has been changed")
        if fcntl.fcntl(self._theirs, fcntl.F_GETFL) & os.O_NONBLOCK:
            raise AssertionError("O_NONBLOCK has been left behind")
        return status
