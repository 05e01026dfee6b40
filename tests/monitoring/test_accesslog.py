"""
Tests for L{upperproto.monitoring.accesslog}.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.logger import LogEvent, capturedLogs, eventAsText
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.monitoring.connections import CLIENT, served
from tests.monitoring.output.outputs import threads
from upperproto.interfaces import IConnectionLog
from upperproto.monitoring import accesslog
from upperproto.monitoring.accessformats import formatJSON, formatText
from upperproto.monitoring.accesslog import TELL_INTERVAL, AccessLog, networkPeer
from upperproto.monitoring.output import fileoutput
from upperproto.monitoring.output.fileoutput import CHECK_INTERVAL
from upperproto.monitoring.output.recordqueue import MAX_WAITING

PROXY = IPv4Address("TCP", "127.0.0.1", 40000)


def text(event: LogEvent) -> str:
    """
    What the text log says of an event.
    """
    return eventAsText(event, includeTimestamp=False, includeSystem=False)


class AccessLogTestCase(SynchronousTestCase):
    """
    What the tests share: a log in a folder, and its time.
    """

    def setUp(self) -> None:
        """
        Make both.
        """
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        self.path = Path(folder, "access.log")
        self.now = 1000.0
        for module in (accesslog, fileoutput):
            self.patch(module, "monotonic", lambda: self.now)
        self.fromThread: list[Any] = []
        self.reactor = SimpleNamespace(
            callFromThread=lambda *call: self.fromThread.append(call)
        )
        self.log = self.start(str(self.path))

    def start(self, target: str | int, **settings: Any) -> AccessLog:
        """
        Make a log that is stopped when the test ends.
        """
        format_ = settings.pop("formatAccess", formatJSON)
        log = AccessLog(target, format_, self.reactor, **settings)
        log.start()
        self.addCleanup(log.stop)
        return log

    def close(self, number: int = 1, log: AccessLog | None = None) -> None:
        """
        Let connections open and close.
        """
        log = self.log if log is None else log
        for _ in range(number):
            connection = served()
            log.opened(connection)
            log.closed(connection, 0.5, "closed by the client", False)

    def settle(self) -> None:
        """
        Wait until all is written, and call what was to be called.
        """
        while (running := threads()) or self.fromThread:
            if running:
                running[0].join()
            else:
                function, *arguments = self.fromThread.pop(0)
                function(*arguments)

    def lines(self, path: Path | None = None) -> list[dict[str, Any]]:
        """
        What stands in the file.
        """
        self.settle()
        text = (path or self.path).read_text()
        return [json.loads(line) for line in text.splitlines()]


class LineTests(AccessLogTestCase):
    """
    What is written.
    """

    def test_interface(self) -> None:
        """
        It is what the factory asks for.
        """
        verifyObject(IConnectionLog, self.log)

    def test_closed(self) -> None:
        """
        A connection has one line when it closes, with its numbers, and none in
        Twisted's log. What was undelivered was not sent.
        """
        connection = served(
            identity="CN=alice",
            tlsVersion="1.3",
            receivedBytes=10,
            answeredBytes=20,
            undeliveredBytes=3,
            invalidLines=2,
            peer=CLIENT,
        )
        # TLS lies on top of what the system has.
        below = connection.transport
        below.peerAddr = PROXY
        connection.transport = SimpleNamespace(transport=below)
        with capturedLogs() as events:
            self.log.opened(connection)
            self.assertEqual(self.lines(), [])
            self.log.closed(connection, 0.5, "cut off", False)
        self.assertEqual(events, [])
        [line] = self.lines()
        self.assertLess(line.pop("upper.opened"), line.pop("upper.closed"))
        self.assertEqual(
            line,
            {
                "upper.connection_id": connection.connectionID,
                "upper.duration": 0.5,
                "client.address": "192.0.2.1",
                "client.port": 1234,
                "network.transport": "tcp",
                "network.peer.address": "127.0.0.1",
                "network.peer.port": 40000,
                "tls.protocol.version": "1.3",
                "tls.client.subject": "CN=alice",
                "upper.received_bytes": 10,
                "upper.sent_bytes": 17,
                "upper.undelivered_bytes": 3,
                "upper.invalid_lines": 2,
                "upper.refused": False,
                "upper.reason": "cut off",
            },
        )

    def test_records(self) -> None:
        """
        Where more bytes of TLS records are undelivered than there were answers, nothing
        was sent, and not less.
        """
        connection = served(answeredBytes=2, undeliveredBytes=24)
        self.log.closed(connection, 0, "cut off", False)
        self.assertEqual(self.lines()[0]["upper.sent_bytes"], 0)

    def test_text(self) -> None:
        """
        The format is the caller's choice.
        """
        log = self.start(f"{self.path}.text", formatAccess=formatText)
        self.close(1, log)
        self.settle()
        self.assertRegex(
            Path(f"{self.path}.text").read_text(),
            r"^\S+Z 192\.0\.2\.1:1234 id=\w+-1 .* reason=closed by the client\n$",
        )

    def test_refused(self) -> None:
        """
        So has one that was refused, with a name of its own.
        """
        with capturedLogs() as events:
            self.log.refused(CLIENT, "not a proxy", None, 0.0)
            self.log.refused(CLIENT, "no TLS", served().transport, 10.0)
            connection = served()
            self.log.opened(connection)
            self.log.closed(connection, 0, "too many connections", True)
        self.assertEqual(events, [])
        lines = self.lines()
        self.assertEqual(
            [(line["upper.duration"], line["upper.reason"]) for line in lines],
            [(0, "not a proxy"), (10, "no TLS"), (0, "too many connections")],
        )
        self.assertEqual(len({line["upper.connection_id"] for line in lines}), 3)
        for line in lines:
            self.assertIs(line["upper.refused"], True)
            self.assertEqual(line["client.address"], "192.0.2.1")
            self.assertNotIn("network.peer.address", line)

    def test_otherLines(self) -> None:
        """
        What else is logged of a connection carries its name; nothing is, if nobody
        wants that.
        """
        connection = served()
        self.assertIs(self.log.lines, False)
        log = self.start(f"{self.path}.2", lines=True)
        self.assertIs(log.lines, True)
        with capturedLogs() as events:
            log.opened(connection)
            log.received(b"a\n", connection)
            log.truncated(connection)
            self.start(f"{self.path}.3", isQuiet=True).truncated(connection)
        name = connection.connectionID
        self.assertEqual(connection.mark, f"[{name}] ")
        self.assertEqual(
            [text(each)[: len(name) + 8] for each in events],
            [f"[{name}] from ", f"[{name}] Conne"],
        )

    def test_names(self) -> None:
        """
        No two connections have one name, in another process neither.
        """
        other = self.start(str(self.path))
        self.close(2)
        self.close(2, other)
        names = [each["upper.connection_id"] for each in self.lines()]
        self.assertEqual(len({*names}), 4)
        for name in names:
            self.assertRegex(name, r"^[0-9a-f]{8}-[0-9]+$")

    def test_network(self) -> None:
        """
        Where a connection comes from is what the lowest of its transports says.
        """
        transport = served().transport
        self.assertEqual(networkPeer(transport), CLIENT)
        self.assertEqual(networkPeer(SimpleNamespace(transport=transport)), CLIENT)


class FileTests(AccessLogTestCase):
    """
    The file, and what becomes of it.
    """

    def rotate(self) -> Path:
        """
        Move the file away.
        """
        return self.path.rename(f"{self.path}.1")

    def descriptors(self) -> int:
        """
        How many descriptors this process has.
        """
        return len(os.listdir("/proc/self/fd"))

    def test_appended(self) -> None:
        """
        Lines are appended, whoever else writes to it; others cannot read it.
        """
        self.close()
        self.close(1, self.start(str(self.path)))
        self.log.stop()
        self.log.start()
        self.close()
        self.assertEqual(len(self.lines()), 3)
        self.assertEqual(self.path.stat().st_mode & 0o7, 0)

    def test_nothingStays(self) -> None:
        """
        When it has stopped, no descriptor and no handler is left; it may start again.
        """
        self.log.stop()
        before = self.descriptors(), signal.getsignal(signal.SIGUSR1)
        for _ in range(2):
            self.log.start()
            self.log.start()
            self.assertNotEqual(self.descriptors(), before[0])
            self.log.stop()
            self.log.stop()
            after = self.descriptors(), signal.getsignal(signal.SIGUSR1)
            self.assertEqual(after, before)

    def test_cannotBeOpened(self) -> None:
        """
        What cannot be opened is an error, and nothing is left of it.
        """
        before = self.descriptors(), signal.getsignal(signal.SIGUSR1)
        fifo = f"{self.path}.fifo"
        os.mkfifo(fifo)
        for target in ("/none/access.log", str(self.path.parent), fifo, 1 << 20):
            log = AccessLog(target, formatJSON, self.reactor)
            self.assertRaises(OSError, log.start)
            log.stop()
        after = self.descriptors(), signal.getsignal(signal.SIGUSR1)
        self.assertEqual(after, before)

    def test_outputFails(self) -> None:
        """
        Nor is it where the system has no more descriptors than that of the file.
        """

        def fail(*arguments: object) -> None:
            raise OSError("too many")

        before = self.descriptors()
        self.patch(accesslog, "NamedFileOutput", fail)
        log = AccessLog(str(self.path), formatJSON, self.reactor)
        self.assertRaises(OSError, log.start)
        self.assertEqual(self.descriptors(), before)

    def test_signal(self) -> None:
        """
        At SIGUSR1 a file that was moved away is made anew, from the reactor; and one
        that was not stays open.
        """
        self.close()
        self.settle()
        moved = self.rotate()
        signal.raise_signal(signal.SIGUSR1)
        self.assertFalse(self.path.exists())
        with capturedLogs() as events:
            self.settle()
        self.assertEqual(
            [text(each) for each in events],
            [f"The access log {self.path} was opened anew"],
        )
        self.assertEqual(self.lines(), [])
        self.close(2)
        self.assertEqual((len(self.lines(moved)), len(self.lines())), (1, 2))
        before = self.descriptors()
        with capturedLogs() as events:
            self.log.reopen()
            self.settle()
        self.assertEqual((events, self.descriptors()), ([], before))

    def test_byItself(self) -> None:
        """
        Without a signal, a line that is written a second later finds it out, whether
        the file is gone or there is another one. Until then, lines go to the old one.
        """
        before = self.descriptors()
        self.close()
        self.settle()
        for number in (1, 2):
            moved = self.path.rename(f"{self.path}.{number}")
            if number == 2:
                self.path.touch()
            self.close()
            self.settle()
            self.now += CHECK_INTERVAL
            self.close()
            self.assertEqual((len(self.lines(moved)), len(self.lines())), (2, 1))
        self.assertEqual(self.descriptors(), before)

    def test_cannotBeReopened(self) -> None:
        """
        Where it cannot be made anew, the log says so, once for each time and reason,
        and lines go to the old one; until it can.
        """
        moved = self.rotate()
        self.path.mkdir()
        said = []
        with capturedLogs() as events:
            for _ in range(3):
                self.now += CHECK_INTERVAL
                self.close()
                self.settle()
            said.append(len(events))
            self.log.reopen()
            self.settle()
            said.append(len(events))
        self.assertEqual(said, [1, 2])
        self.assertEqual(
            text(events[0]),
            f"The access log {self.path} cannot be opened anew: Is a directory; going"
            " on with the old file",
        )
        self.assertEqual(len(self.lines(moved)), 3)
        self.path.rmdir()
        self.now += CHECK_INTERVAL
        self.close()
        self.assertEqual((len(self.lines(moved)), len(self.lines())), (3, 1))

    def test_cannotBeSeen(self) -> None:
        """
        It is the same where the folder may not be looked into.
        """

        def refuse(path: str) -> None:
            raise PermissionError(13, "Permission denied", path)

        with capturedLogs() as events:
            patch = self.patch(os, "stat", refuse)
            self.close()
            self.settle()
            patch.restore()
        [event] = events
        self.assertIn("Permission denied; going on", text(event))
        self.assertEqual(len(self.lines()), 1)


class LossTests(AccessLogTestCase):
    """
    Lines that cannot be written.
    """

    def setUp(self) -> None:
        """
        Write to a pipe that nobody reads.
        """
        super().setUp()
        self.reader, self.writer = os.pipe()
        self.addCleanup(os.close, self.reader)
        self.addCleanup(os.close, self.writer)
        self.log = self.start(self.writer)

    def test_counted(self) -> None:
        """
        They are counted, and Twisted's log says so: at once, then once a second, and at
        the end with what nobody has taken by then.
        """
        with capturedLogs() as events:
            while not self.log.lost:
                self.close()
            self.assertEqual(len(events), 1)
            self.close(9)
            self.assertEqual((self.log.lost, len(events)), (10, 1))
            self.now += TELL_INTERVAL
            self.close()
            self.log.stop()
        texts = [text(each) for each in events]
        self.assertEqual(
            [re.sub(r"are lost.*\(", "(", each) for each in texts[:2]],
            [
                "1 lines of the access log (1 altogether)",
                "10 lines of the access log (11 altogether)",
            ],
        )
        self.assertEqual(len(texts), 3)
        self.assertGreater(self.log.lost, MAX_WAITING // 1000)
        self.assertIn(f" ({self.log.lost} altogether)", texts[2])
        # The pipe has whole lines, but for the last.
        data = os.read(self.reader, 1 << 20)
        for line in data.splitlines():
            json.loads(line)
        # It may be started once more, and counts on.
        lost = self.log.lost
        self.log.start()
        self.close()
        self.log.stop()
        self.assertEqual(self.log.lost, lost)

    def test_notStarted(self) -> None:
        """
        So are those of a log that nobody has started.
        """
        log = AccessLog(str(self.path), formatJSON, self.reactor)
        with capturedLogs() as events:
            self.close(1, log)
        self.assertEqual((log.lost, len(events)), (1, 1))

    def test_stays(self) -> None:
        """
        A descriptor that was handed in stays open, and is not looked for.
        """
        self.log.reopen()
        self.close()
        self.log.stop()
        os.fstat(self.writer)
        self.assertEqual(os.read(self.reader, 1 << 16).count(b"\n"), 1)
