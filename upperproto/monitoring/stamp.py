"""
The stamp: what stands before a line of the log, such as the time and who speaks,
made once a second in place of once a line.

Twisted works out the time zone for each line, and puts the line together with a
formatter that is written in Python. For the two lines of a connection that took
as long as all else that a short connection asks of the service. And the lines of a
turn of the reactor are written together, after its answers: nobody waits for them.

This module relies on these parts of C{twisted.logger}, unchanged from Twisted
24.3 to 26.10:

  - C{globalLogPublisher} has its observers in C{_observers};
  - a C{FileLogObserver} looks up C{formatEvent} for each event;
  - that of a text log is defined in C{twisted.logger._file}.

Only what one class logs is stamped, and only in Twisted's text log. What else is
logged, and what other observers write, JSON, syslog and those of others among
them, is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.logger import (
    FileLogObserver,
    LogEvent,
    LogLevel,
    LogPublisher,
    globalLogPublisher,
    textFileLogObserver,
)

# How many characters may wait to be written together.
ROOM = 1 << 16

Formatter = Callable[[LogEvent], str | None]


def stampLines(
    source: type,
    later: Callable[[Callable[[], object]], object] | None = None,
    publisher: LogPublisher = globalLogPublisher,
) -> None:
    """
    Let the text log stamp what a class logs.

    @param source: the class. The formats of what it logs name fields, and no
        more.
    @param later: calls what it is given when the reactor's turn ends, so that the
        lines of a turn are written together; without it, each is written at once.
    @param publisher: who has the observers that write.
    """
    for observer in publisher._observers:
        if isinstance(observer, FileLogObserver) and _canStamp(observer.formatEvent):
            stamp(observer, source, later)


def stamp(
    observer: FileLogObserver,
    source: type,
    later: Callable[[Callable[[], object]], object] | None,
) -> None:
    """
    Let one observer stamp what a class logs.

    @param observer: what writes.
    @param source: as L{stampLines} has it.
    @param later: as L{stampLines} has it.
    """
    write = None
    if later is not None:
        # An empty event has it write what waits, and no more. A publisher of its own
        # sees to it that a full disk is no fault of the turn.
        write = partial(later, partial(LogPublisher(observer), {}))
    observer.formatEvent = Stamp(source, observer.formatEvent, write)


def allStamp(source: type, publisher: LogPublisher = globalLogPublisher) -> bool:
    """
    Whether all that observe the log stamp what a class logs, so that the text of an
    event may have several lines.

    @param source: the class.
    @param publisher: who has the observers.
    """
    return all(
        isinstance(observer, FileLogObserver)
        and isinstance(observer.formatEvent, Stamp)
        and observer.formatEvent.source is source
        for observer in publisher._observers
    )


class Stamp:
    """
    Format log events as another formatter does, each of their lines.

    @ivar source: the class whose lines are stamped.
    """

    def __init__(
        self,
        source: type,
        formatEvent: Formatter,
        write: Callable[[], object] | None = None,
    ) -> None:
        """
        @param source: the class whose lines are stamped.
        @param formatEvent: the other one.
        @param write: has an event without anything formatted later; what is stamped
            waits for that, or for an event of another class. By default, it does
            not wait.
        """
        self.source = source
        self._formatEvent = formatEvent
        self._write = write
        self._waiting: list[str] = []
        self._size = 0
        self._second = -1
        self._stamp = ""

    def __call__(self, event: LogEvent) -> str | None:
        """
        Format an event.

        @param event: any event.
        @return: lines; nothing for what is not to be logged.
        """
        ours = type(event.get("log_source")) is self.source
        if not ours or event["log_level"] is not LogLevel.info:
            formatted = self._formatEvent(event) if event else None
            return self._take() + (formatted or "")
        second = int(event["log_time"])
        if second != self._second:
            self._second = second
            self._stamp = _stamp(self._formatEvent, event)
        text: str = event["log_format"].format_map(event)
        lines = self._stamp + text.replace("\n", "\n" + self._stamp) + "\n"
        self._waiting.append(lines)
        self._size += len(lines)
        if self._write is None or self._size >= ROOM:
            return self._take()
        if len(self._waiting) == 1:
            self._write()
        return None

    def _take(self) -> str:
        # In one step, because a signal handler may log, too.
        waiting, self._waiting = self._waiting, []
        self._size = 0
        return "".join(waiting)


def _stamp(formatEvent: Formatter, event: LogEvent) -> str:
    """
    What a formatter puts before the text of an event.
    """
    return (formatEvent({**event, "log_format": "-"}) or "").removesuffix("-\n")


def _canStamp(formatEvent: Formatter) -> bool:
    """
    Whether a formatter is the text log's, with a time that stays the same for a
    second.
    """
    if getattr(formatEvent, "__module__", None) != textFileLogObserver.__module__:
        return False
    early, late = ({"log_format": "text", "log_time": time} for time in (0.25, 0.75))
    return formatEvent(early) == formatEvent(late)
