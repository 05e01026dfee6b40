"""
Lines that a person types, with the line editing and the history of Python's own
C{input}.

C{input} blocks, so a thread of its own calls it. While it waits, the terminal is in
another mode; whoever leaves then puts it back.
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

# For how many seconds a prompt is waited for: a terminal may have been stopped.
_SHOWN_WITHIN = 0.5

# What ends a process that does not say otherwise, and can be put off.
_ENDS = (signal.SIGTERM, signal.SIGHUP)


class Keyboard:
    """
    Ask a person for lines.
    """

    def __init__(self, reactor: Any) -> None:
        """
        @param reactor: in whose thread lines are received.
        """
        self._reactor = reactor
        self._asked: SimpleQueue[None] = SimpleQueue()
        self._settings: Any = None
        self._readline: Any = None
        # Set while the prompt is shown, where that can be known.
        self._shown: Event | None = None

    def start(
        self, received: Callable[[bytes], None], ended: Callable[[str], None]
    ) -> None:
        """
        Be ready.

        @param received: is called with each line, without its end.
        @param ended: is called at the end of input, with what has gone wrong or
            nothing.
        """
        self._settings = termios.tcgetattr(stdio.STDIN)
        for number in _ENDS:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, self._endBySignal)
        # Bytes that are no text in the terminal's encoding are sent as they are.
        sys.stdin.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
        # Where Python has no readline, the terminal's driver edits the line.
        with suppress(ImportError):
            import readline

            # A tab is a text like any other, and so is each line that is pasted.
            readline.parse_and_bind("tab: self-insert")
            readline.parse_and_bind("set enable-bracketed-paste off")
            self._readline = readline
            if hasattr(readline, "set_pre_input_hook"):
                self._shown = Event()
                readline.set_pre_input_hook(self._shown.set)
        Thread(target=self._read, args=(received, ended), daemon=True).start()

    def ask(self) -> None:
        """
        Show the prompt, and take a line.

        What is written after this stands behind the prompt: the other thread has shown
        it by then.
        """
        if self._shown is not None:
            self._shown.clear()
        self._asked.put(None)
        if self._shown is not None:
            self._shown.wait(_SHOWN_WITHIN)

    def showAgain(self) -> None:
        """
        Show the prompt, and what has been typed after it, on a new line.
        """
        typed = "" if self._readline is None else self._readline.get_line_buffer()
        with suppress(OSError):
            stdio.write((PROMPT + typed).encode("utf-8", "replace"))

    def stop(self) -> None:
        """
        Leave the terminal as it was.
        """
        if self._settings is not None:
            with suppress(termios.error):
                termios.tcsetattr(stdio.STDIN, termios.TCSADRAIN, self._settings)

    def _read(
        self, received: Callable[[bytes], None], ended: Callable[[str], None]
    ) -> None:
        # The handlers are the main thread's, which has to wake up for them.
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
