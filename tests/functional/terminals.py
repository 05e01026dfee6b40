"""
A terminal in which a test types what a page shows.
"""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path
from select import select

from tests.functional.processes import TIME_LIMIT

ROOT = Path(__file__).parents[2]
PROMPT = " -> "


class Terminal:
    """
    A terminal in which somebody types what a page has after each prompt.
    """

    def __init__(self, command: str) -> None:
        """
        @param command: what to run in it, for a shell.
        """
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            cwd=ROOT,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def play(self, typed: list[str]) -> str:
        """
        Type a line at each prompt.

        @param typed: the lines.
        @return: all that the terminal has shown at the end, what was typed
            among it.
        """
        shown = b""
        for line in typed:
            shown += self._read(PROMPT.encode())
            os.write(self._ours, f"{line}\n".encode())
        shown += self._read()
        os.close(self._ours)
        self._process.wait(TIME_LIMIT)
        return shown.decode().replace("\r\n", "\n")

    def _read(self, end: bytes = b"") -> bytes:
        """
        Read what the terminal shows.

        @param end: stop when it ends so; by default, when it is left.
        """
        shown = b""
        while not (end and shown.endswith(end)):
            if not select([self._ours], [], [], TIME_LIMIT)[0]:
                self._process.kill()
                raise AssertionError(f"nothing comes after {shown!r}")
            try:
                shown += os.read(self._ours, 4096)
            except OSError:  # EIO: nobody has the terminal open any more.
                break
        return shown
