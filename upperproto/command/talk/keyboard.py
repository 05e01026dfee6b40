"""
Read the lines that a person types, with the line editing and history of C{input}.

C{input} blocks, so a thread of its own calls it. While it waits, the terminal is in
another mode. Whoever ends the process then must restore the terminal.
"""

from __future__ import annotations

import os
import signal
import sys
import termios
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

from upperproto.command import standardio as stdio

PROMPT = " -> "

# How many seconds to wait for the prompt: the terminal may be stopped (Ctrl-S).
_SHOWN_WITHIN = 0.5

# Signals that end the process by default, and that can be caught.
_ENDS = (signal.SIGTERM, signal.SIGHUP)


class Keyboard:
    """
    Show a prompt, and read a line.
    """

    def __init__(self, reactor: Any) -> None:
        """
        @param reactor: gets the lines in its thread.
        """
        self._reactor = reactor
        self._asked: SimpleQueue[None] = SimpleQueue()
        self._settings: Any = None
        self._readline: Any = None
        # Is set when the prompt is shown; None if that cannot be known.
        self._shown: Event | None = None

    def start(
        self, received: Callable[[bytes], None], ended: Callable[[str], None]
    ) -> None:
        """
        Set the terminal up, and start the thread.

        @param received: is called with each line, without its end.
        @param ended: is called at the end of input, with an error message or with an
            empty one.
        """
        self._settings = termios.tcgetattr(stdio.STDIN)
        for number in _ENDS:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, self._endBySignal)
        # Bytes that are not valid in the terminal's encoding are sent unchanged.
        sys.stdin.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
        # Without readline, the terminal itself edits the line.
        with suppress(ImportError):
            import readline

            # A tab is plain text. Each pasted line is a line.
            readline.parse_and_bind("tab: self-insert")
            readline.parse_and_bind("set enable-bracketed-paste off")
            self._readline = readline
            if hasattr(readline, "set_pre_input_hook"):
                self._shown = Event()
                readline.set_pre_input_hook(self._shown.set)
        Thread(target=self._read, args=(received, ended), daemon=True).start()

    def ask(self) -> None:
        """
        Show the prompt, and read a line.

        It returns when the other thread has shown the prompt. So all that is written
        later stands behind the prompt.
        """
        if self._shown is not None:
            self._shown.clear()
        self._asked.put(None)
        if self._shown is not None:
            self._shown.wait(_SHOWN_WITHIN)

    def showAgain(self) -> None:
        """
        Show the prompt and the typed text again, on a new line.
        """
        typed = "" if self._readline is None else self._readline.get_line_buffer()
        with suppress(OSError):
            stdio.write((PROMPT + typed).encode("utf-8", "replace"))

    def stop(self) -> None:
        """
        Restore the terminal.
        """
        if self._settings is not None:
            with suppress(termios.error):
                termios.tcsetattr(stdio.STDIN, termios.TCSADRAIN, self._settings)

    def _read(
        self, received: Callable[[bytes], None], ended: Callable[[str], None]
    ) -> None:
        # Signals must go to the main thread: it has the handlers, and must wake up.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *_ENDS})
        encoding = sys.stdin.encoding
        call = self._reactor.callFromThread
        while True:
            self._asked.get()
            try:
                line = input(PROMPT)
            except EOFError:
                call(ended, "")
                return
            except OSError as error:
                call(ended, f"cannot read standard input: {error.strerror}")
                return
            call(received, line.encode(encoding, "surrogateescape"))

    def _endBySignal(self, number: int, frame: object) -> None:
        self.stop()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
