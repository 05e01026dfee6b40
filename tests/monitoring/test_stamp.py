"""
Tests for L{upperproto.monitoring.stamp}.
"""

from __future__ import annotations

from collections.abc import Callable
from errno import ENOSPC
from functools import partial
from io import StringIO
from typing import Any

from twisted.logger import (
    FileLogObserver,
    LegacyLogObserverWrapper,
    LogEvent,
    Logger,
    LogLevel,
    LogPublisher,
    capturedLogs,
    jsonFileLogObserver,
    textFileLogObserver,
)
from twisted.trial.unittest import SynchronousTestCase

from upperproto.monitoring.connectionlog import Transcript
from upperproto.monitoring.stamp import Stamp, allStamp, stampLines


class StampTests(SynchronousTestCase):
    """
    Two observers that write the same events: one whose lines are stamped, where
    that can be, and one that is left alone.
    """

    def observe(self, make: Callable[[Any], FileLogObserver]) -> None:
        """
        Make both.
        """
        self.stamped, self.plain = StringIO(), StringIO()
        self.observer = make(self.stamped)
        self.publisher = LogPublisher(self.observer)
        stampLines(Transcript, publisher=self.publisher)
        self.publisher.addObserver(make(self.plain))

    def log(self, call: Callable[[], object], *times: float) -> None:
        """
        Log what something logs, as often as there are times.
        """
        with capturedLogs() as events:
            call()
        for time in times:
            for event in events:
                self.publisher({**event, "log_time": time})

    def logAll(self, *times: float) -> None:
        """
        Log one of each kind of a connection's lines.
        """
        transcript = Transcript()
        peer = "{192.0.2.1}:5000 %s"
        self.log(lambda: transcript.opened(peer), *times)
        self.log(lambda: transcript.refused(peer, "no password"), *times)
        self.log(lambda: transcript.cutShort(peer), *times)
        self.log(lambda: transcript.received("é\\\n{b}\n".encode()), *times)
        self.log(lambda: transcript.answered("É\\\n{B}\n".encode()), *times)
        self.log(lambda: transcript.closed(peer, 1.5, 1, 2, 3, "cut off"), *times)

    def test_text(self) -> None:
        """
        In Twisted's text log each line is the same, in this second and the next.
        """
        self.observe(textFileLogObserver)
        self.assertIsInstance(self.observer.formatEvent, Stamp)
        self.logAll(0, 1.0, 1.9, 2.0, 86400.5, 1.0)
        self.assertEqual(len(self.stamped.getvalue().split("\n")), 8 * 6 + 1)
        self.assertEqual(self.stamped.getvalue(), self.plain.getvalue())

    def test_once(self) -> None:
        """
        For that, one line a second is formatted the long way.
        """
        formatted: list[LogEvent] = []

        def formatEvent(event: LogEvent) -> str:
            formatted.append(event)
            return f"{event['log_time']} {event['log_format']}\n"

        stamp = Stamp(Transcript, formatEvent)
        event = {"log_source": Transcript(), "log_level": LogLevel.info}
        lines = [
            stamp({**event, "log_format": "{a}", "a": "b", "log_time": time})
            for time in (1.0, 1.5, 1.9, 2.0)
        ]
        self.assertEqual(lines, ["1.0 b\n", "1.0 b\n", "1.0 b\n", "2.0 b\n"])
        self.assertEqual(len(formatted), 2)

    def test_lines(self) -> None:
        """
        Each line of an event is stamped, and a log that is all stamped is known.
        """
        self.observe(textFileLogObserver)
        self.assertFalse(allStamp(Transcript, self.publisher))
        stampLines(Transcript, publisher=self.publisher)
        self.assertTrue(allStamp(Transcript, self.publisher))
        self.assertFalse(allStamp(Logger, self.publisher))
        transcript = Transcript()
        self.log(lambda: transcript.opened("a\nConnection from b"), 1.0)
        both = self.stamped.getvalue()
        self.assertEqual(both.count("\n"), 2)
        self.stamped.truncate(self.stamped.seek(0))
        for peer in "ab":
            self.log(partial(transcript.opened, peer), 1.0)
        self.assertEqual(self.stamped.getvalue(), both)

    def test_turn(self) -> None:
        """
        The lines of a turn are written together at its end, and before what others
        log.
        """
        turn: list[Callable[[], object]] = []
        written = StringIO()
        publisher = LogPublisher(textFileLogObserver(written))
        stampLines(Transcript, turn.append, publisher)
        transcript = Transcript()
        other = Logger(observer=publisher)
        transcript._logger = Logger(observer=publisher)
        transcript.opened("a")
        transcript.opened("b")
        self.assertEqual(written.getvalue(), "")
        [end] = turn
        end()
        end()
        lines = written.getvalue().splitlines()
        self.assertEqual([each[-1] for each in lines], ["a", "b"])
        for each in "cd":
            transcript.opened(each)
        other.info("e")
        turn[1]()
        transcript.opened("f")
        other.info("")
        lines = written.getvalue().splitlines()
        self.assertEqual([each[-1] for each in lines], list("abcdef"))
        self.assertEqual(len(turn), 3)

    def test_muchInATurn(self) -> None:
        """
        A turn that says much is not kept until its end.
        """
        turn: list[Callable[[], object]] = []
        written = StringIO()
        publisher = LogPublisher(textFileLogObserver(written))
        stampLines(Transcript, turn.append, publisher)
        transcript = Transcript()
        transcript._logger = Logger(observer=publisher)
        for _ in range(100):
            transcript.opened("a" * 1000)
        self.assertEqual(written.getvalue().count("\n"), 62)
        turn[-1]()
        self.assertEqual(written.getvalue().count("\n"), 100)

    def test_fullDisk(self) -> None:
        """
        A turn whose lines cannot be written ends like any other.
        """

        class FullDisk(StringIO):
            def write(self, text: str) -> int:
                raise OSError(ENOSPC, "No space left on device")

        turn: list[Callable[[], object]] = []
        publisher = LogPublisher(textFileLogObserver(FullDisk()))
        stampLines(Transcript, turn.append, publisher)
        transcript = Transcript()
        transcript._logger = Logger(observer=publisher)
        transcript.opened("a")
        [end] = turn
        end()
        transcript.opened("b")
        self.assertEqual(len(turn), 2)

    def test_startedAgain(self) -> None:
        """
        A log that is stamped is not stamped again.
        """
        self.observe(textFileLogObserver)
        formatEvent = self.observer.formatEvent
        stampLines(Transcript, publisher=self.publisher)
        self.assertIs(self.observer.formatEvent, formatEvent)

    def test_others(self) -> None:
        """
        What others log is formatted as ever, those among them that derive from
        the class.
        """

        class Other(Transcript):
            pass

        self.observe(textFileLogObserver)
        for call in [
            lambda: Transcript().opened("192.0.2.1:5000"),
            lambda: Logger().info("two\nlines"),
            lambda: Logger().error("{x!r:>10}", x="x"),
            lambda: Logger().info(""),
            lambda: Transcript()._log.warn("a {b!r}", b="c"),
            lambda: Other().opened("two\nlines"),
        ]:
            self.log(call, 1.0)
        self.assertEqual(len(self.plain.getvalue().split("\n")), 8)
        self.assertEqual(self.stamped.getvalue(), self.plain.getvalue())

    def test_otherFormats(self) -> None:
        """
        A log that is not text, that tells the time more finely or that another
        program formats, as it likes, is left alone.
        """

        def fine(file: Any) -> FileLogObserver:
            return textFileLogObserver(file, "%H:%M:%S.%f")

        def others(file: Any) -> FileLogObserver:
            return FileLogObserver(file, lambda event: "{log_format}\n".format(**event))

        makes: list[Callable[[Any], FileLogObserver]]
        makes = [jsonFileLogObserver, fine, others]
        for make in makes:
            self.observe(make)
            self.assertNotIsInstance(self.observer.formatEvent, Stamp)

    def test_noFile(self) -> None:
        """
        An observer that is no such file is left alone.
        """
        syslog: Any = LegacyLogObserverWrapper(self.fail)  # type: ignore[arg-type]
        publisher = LogPublisher(syslog)
        stampLines(Transcript, publisher=publisher)
        self.assertEqual(publisher._observers, [syslog])
        self.assertFalse(hasattr(syslog, "formatEvent"))
