"""
Tests for L{upperproto.monitoring.logobserver}.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from io import BytesIO, StringIO, TextIOWrapper
from tempfile import TemporaryFile
from typing import Any

from hypothesis import given, strategies
from twisted.internet.address import IPv4Address
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import (
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    capturedLogs,
    eventAsText,
    formatTime,
    jsonFileLogObserver,
    textFileLogObserver,
)
from twisted.python import log as legacy
from twisted.python.reflect import namedAny
from twisted.python.usage import Options
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.monitoring.connections import served
from upperproto.monitoring import logobserver
from upperproto.monitoring.connectionlog import ConnectionLog
from upperproto.monitoring.logobserver import (
    EventFormat,
    LogObserver,
    TextFormat,
    chooseLogObserver,
    formatJSON,
    formatMessage,
    observeStandardOutput,
)
from upperproto.monitoring.output.recordqueue import MAX_WAITING

# What the format of an event may be made of.
PARTS = [
    *("{", "}", "{{", "}}", "{a", "{b", "{0", "!r", "!s", "!x", ":>5", ":d", ":{b}"),
    *(".text", ".call", "()", "(", "[0]", "[k]", " ", "\n", "x", "é"),
]


class Value:
    """
    What a field of an event may be.
    """

    text = "a\nb"

    def call(self) -> str:
        """
        What Twisted calls for a field C{value.call()}.
        """
        return "called"

    def __repr__(self) -> str:
        """
        The same in each run.
        """
        return "<value>"


class Unprintable:
    """
    What cannot be formatted.
    """

    def __format__(self, specification: str) -> str:
        """
        Fail.
        """
        raise ValueError("cannot be formatted")

    def __repr__(self) -> str:
        """
        The same in each run.
        """
        return "<unprintable>"


def logAll() -> list[LogEvent]:
    """
    Log one event of each kind.
    """
    log = Logger()
    with capturedLogs() as events:
        connections = ConnectionLog(lines=True)
        connections.opened(served(receivedBytes=1, answeredBytes=2))
        peer = IPv4Address("TCP", "{192.0.2.1}", 5000)
        connections.refused(peer, "no password %s", None, 0)
        connections.received("é\\\n{b}\n".encode())
        connections.closed(served(connectionID="a{b}-1"), 1.5, "cut off", False)
        connections.received(b"x", served(connectionID="a-1"))
        log.warn("two\nlines {value.text!s:>10} {value!r}", value=Value())
        log.info("{value.call()} {number():x}", value=Value(), number=lambda: 255)
        log.info("{0} {}")
        log.info("{missing}")
        log.error("{value}", value=Unprintable())
        log.info("")
        log.info("{value}", value="")
        log.info(None)
        log.info(b"bytes {value}", value=1)  # type: ignore[arg-type] # Some do.
        log.info("said", log_system="somebody")
        log.info("said", log_namespace="other", log_level=None, log_time=None)
        legacy.msg("legacy", system="old")
        legacy.msg("one", 2)
        legacy.err(ValueError("an error"), "why")
        try:
            raise ZeroDivisionError("caught")
        except ZeroDivisionError:
            log.failure("While dividing {what}", what="1")
    return [*events, {}, {"log_format": "bare"}, {"log_level": LogLevel.info}]


class FormatTests(SynchronousTestCase):
    """
    What formats events, beside Twisted's own observers.
    """

    def tearDown(self) -> None:
        """
        The errors are logged on purpose.
        """
        self.flushLoggedErrors(ValueError, ZeroDivisionError)

    def check(self, formatEvent: EventFormat, make: Callable[[Any], Any]) -> None:
        """
        Check that what all events of L{logAll} are formatted as is what an observer
        of Twisted's writes, or else that neither can format it.
        """
        for event in logAll():
            file = StringIO()
            try:
                make(file)(dict(event))
            except Exception as error:
                self.assertRaises(type(error), formatEvent, dict(event))
                continue
            self.assertEqual(formatEvent(dict(event)) or "", file.getvalue())

    def test_text(self) -> None:
        """
        Text is the same as that of Twisted's text log.
        """
        self.check(TextFormat(), textFileLogObserver)

    def test_json(self) -> None:
        """
        JSON is the same as that of Twisted's JSON log.
        """
        self.check(formatJSON, jsonFileLogObserver)

    @given(
        strategies.lists(
            strategies.sampled_from(PARTS),
            max_size=8,
        ),
        strategies.sampled_from(["text", "two\nlines", 5, 1.5, None, ["x"], {"k": "y"}])
        | strategies.builds(Value)
        | strategies.builds(Unprintable),
    )
    def test_anyFormat(self, parts: list[str], value: object) -> None:
        """
        Whatever an event's format and fields are, the text is the same.
        """
        event: LogEvent = {
            "log_format": "".join(parts),
            "log_time": 1.5,
            "log_level": LogLevel.info,
            "log_namespace": "n",
            "a": value,
            "b": "b",
        }
        file = StringIO()
        textFileLogObserver(file)(event)
        self.assertEqual(TextFormat()(event) or "", file.getvalue())

    def test_time(self) -> None:
        """
        The time is right in each second, and is worked out once for each.
        """
        times: list[float | None] = []

        def formatOnce(when: float | None) -> str:
            times.append(when)
            return formatTime(when)

        self.patch(logobserver, "formatTime", formatOnce)
        event = {"log_format": "x", "log_level": LogLevel.info}
        formatEvent = TextFormat()
        for when in (-0.5, 0, 0.5, 1.0, 1.9, 2.0, 86400.5, 1.0):
            file = StringIO()
            textFileLogObserver(file)({**event, "log_time": when})
            self.assertEqual(formatEvent({**event, "log_time": when}), file.getvalue())
        self.assertEqual(times, [-0.5, 0, 1.0, 2.0, 86400.5, 1.0])

    def test_message(self) -> None:
        """
        The text alone is what Twisted gives without the time and who speaks.
        """
        for event in logAll():
            text = eventAsText(event, includeTimestamp=False, includeSystem=False)
            self.assertEqual(formatMessage(event), text and text + "\n")


class ObserverTests(SynchronousTestCase):
    """
    L{LogObserver}, with a pipe.
    """

    def setUp(self) -> None:
        """
        Make a pipe.
        """
        self.reader, self.writer = os.pipe()
        self.addCleanup(os.close, self.reader)
        self.addCleanup(os.close, self.writer)

    def log(self, text: str, encoding: str, formatEvent: EventFormat) -> bytes:
        """
        Log a text, and give what is written.
        """
        observer = LogObserver(self.writer, encoding, formatEvent)
        verifyObject(ILogObserver, observer)
        Logger(observer=observer).info("{text}", text=text)
        observer.close()
        Logger(observer=observer).info("closed")
        return os.read(self.reader, 1 << 16)

    def test_encodings(self) -> None:
        """
        What the encoding lacks is escaped, and so are surrogates.
        """
        for encoding, expected in {
            "utf-8": "ß 漢 \\udcff\n".encode(),
            "latin-1": b"\xdf \\u6f22 \\udcff\n",
            "ascii": b"\\xdf \\u6f22 \\udcff\n",
        }.items():
            logged = self.log("ß 漢 \udcff", encoding, formatMessage)
            self.assertEqual(logged, expected)

    def test_default(self) -> None:
        """
        By default it writes Twisted's text.
        """
        with capturedLogs() as events:
            Logger().info("é")
        file = StringIO()
        textFileLogObserver(file)(events[0])
        observer = LogObserver(self.writer, "utf-8")
        observer(events[0])
        observer({})
        observer.finish()
        observer.close()
        self.assertEqual(os.read(self.reader, 1 << 16), file.getvalue().encode())

    def test_lost(self) -> None:
        """
        How many lines were lost is logged as a warning, in its own format.
        """
        event = {"log_format": "x" * 1000}
        number = MAX_WAITING // 900
        observer = LogObserver(self.writer, "ascii", formatMessage)
        self.addCleanup(observer.close)
        for _ in range(number):
            observer(event)
        data = b""
        while b"lost" not in data:
            data += os.read(self.reader, 1 << 16)
        *kept, last = data.splitlines()
        self.assertEqual(set(kept), {b"x" * 1000})
        self.assertEqual(
            last,
            b"%d lines of the log are lost here: they could not be written"
            % (number - len(kept)),
        )

    def test_lostInText(self) -> None:
        """
        Twisted's text says who has lost them.
        """
        observer = LogObserver(self.writer, "ascii")
        observer({"log_format": "x" * (MAX_WAITING * 2)})
        observer({"log_format": "lost"})
        data = b""
        while not data.endswith(b"written\n"):
            data += os.read(self.reader, 1 << 16)
        observer.close()
        self.assertRegex(
            data.splitlines()[-1].decode(),
            r"^[-0-9]+T[0-9:]+[-+]\d{4}"
            r" \[upperproto.monitoring.logobserver.LogObserver#warn\] 1 lines of the"
            r" log are lost here: they could not be written$",
        )


class StandardOutputTests(SynchronousTestCase):
    """
    L{observeStandardOutput}.
    """

    def observe(self, output: Any, **arguments: Any) -> bytes:
        """
        Log before and after the reactor has stopped.

        @param output: where the observer writes.
        @param arguments: those that make the observer.
        @return: what is in the file then.
        """
        reactor = MemoryReactorClock()
        output.write("before\n")
        observer = observeStandardOutput(**arguments, reactor=reactor)
        observer({"log_format": "ß"})
        [(finish, positional, named)] = reactor.triggers["after"]["shutdown"]
        finish(*positional, **named)
        observer({"log_format": "last"})
        observer.close()
        output.seek(0)
        written: bytes = output.buffer.read()
        return written

    def test_standardOutput(self) -> None:
        """
        By default it writes to standard output, in its encoding, behind what has been
        written there.
        """
        with TemporaryFile("w+", encoding="ascii") as file:
            self.patch(sys, "stdout", file)
            logged = self.observe(file)
        self.assertEqual(logged, b"before\n- [-#-] \\xdf\n- [-#-] last\n")

    def test_file(self) -> None:
        """
        It can be told a file and a format.
        """
        with TemporaryFile("w+", encoding="utf-8") as file:
            logged = self.observe(file, file=file, formatEvent=formatMessage)
        self.assertEqual(logged, "before\nß\nlast\n".encode())


class ChoiceTests(SynchronousTestCase):
    """
    L{chooseLogObserver}.
    """

    def setUp(self) -> None:
        """
        Have a standard output in ASCII.
        """
        self.output = TextIOWrapper(BytesIO(), encoding="ascii")
        self.patch(sys, "stdout", self.output)

    def twistd(self, **options: object) -> object:
        """
        Choose under C{twistd}.

        @param options: what differs from C{twistd --nodaemon}.
        @return: the logger that is chosen.
        """
        given = {"logfile": None, "logger": None, "syslog": 0, "nodaemon": 1, **options}
        parent = Options()
        parent.update(given)
        chooseLogObserver(parent)
        logger: object = parent["logger"]
        self.assertEqual(parent, {**given, "logger": logger})
        return logger

    def test_twistd(self) -> None:
        """
        Where C{twistd} would log to standard output, it gets our observer, by a name.
        """
        name = self.twistd()
        self.assertIs(namedAny(name), observeStandardOutput)
        self.assertEqual(self.output.errors, "strict")

    def test_twistdDaemon(self) -> None:
        """
        A daemon logs as Twisted has it.
        """
        self.assertIsNone(self.twistd(nodaemon=0))

    def test_twistdChoice(self) -> None:
        """
        What the user has chosen stands.
        """
        self.assertIsNone(self.twistd(logfile="log"))
        self.assertIsNone(self.twistd(syslog=1))
        self.assertEqual(self.twistd(logger="a.b"), "a.b")
        self.assertEqual(self.output.errors, "strict")

    def test_twistdEscapes(self) -> None:
        """
        With C{--logfile -} no record is lost to the encoding of standard output.
        """
        self.assertIsNone(self.twistd(logfile="-"))
        textFileLogObserver(self.output)({"log_format": "ß"})
        self.assertEqual(self.output.buffer.getvalue(), b"- [-#-] \\xdf\n")

    def test_noFile(self) -> None:
        """
        Where standard output is closed, or not a file of Python's, all is left alone.
        """
        for output in (None, StringIO()):
            self.patch(sys, "stdout", output)
            self.assertIsNone(self.twistd())
            self.assertIsNone(self.twistd(logfile="-"))
            self.assertIs(self.twist(textFileLogObserver, output), textFileLogObserver)

    def twist(self, make: object, file: object) -> Any:
        """
        Choose under C{twist}.

        @param make: makes the observer of Twisted's that would be used.
        @param file: its file.
        @return: what makes the observer now.
        """
        parent = Options()
        parent.update(logFile=file, fileLogObserverFactory=make)
        chooseLogObserver(parent)
        self.assertIs(parent["logFile"], file)
        return parent["fileLogObserverFactory"]

    def test_twist(self) -> None:
        """
        Where C{twist} would log to standard output, it gets our observer with the
        format that it would have.
        """
        for make in (textFileLogObserver, jsonFileLogObserver):
            with TemporaryFile("w+", encoding="utf-8") as file:
                self.patch(sys, "stdout", file)
                chosen = self.twist(make, file)
                observer = chosen(file, reactor=MemoryReactorClock())
                self.assertIsInstance(observer, LogObserver)
                expected = StringIO()
                for observe in (observer, make(expected)):
                    observe({"log_format": "ß", "log_time": 1.0})
                observer.close()
                file.seek(0)
                self.assertEqual(file.read(), expected.getvalue())

    def test_twistChoice(self) -> None:
        """
        To another file it logs as Twisted has it, and no record is lost to its
        encoding.
        """
        with TemporaryFile("w+", encoding="ascii") as file:
            make = self.twist(textFileLogObserver, file)
            self.assertIs(make, textFileLogObserver)
            make(file)({"log_format": "ß"})
            file.seek(0)
            self.assertEqual(file.read(), "- [-#-] \\xdf\n")
        self.assertIs(self.twist(Logger, self.output), Logger)

    def test_others(self) -> None:
        """
        The options of another program are left alone.
        """
        parent = Options()
        chooseLogObserver(parent)
        self.assertEqual(parent, Options())
