"""
Tests for L{upperproto.monitoring.output.fileoutput}.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from errno import ENOSPC
from pathlib import Path
from time import monotonic
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.monitoring.output.outputs import describeLoss, descriptors, threads
from upperproto.interfaces import IIterationEnd
from upperproto.monitoring.output import fileoutput, recordqueue
from upperproto.monitoring.output.fileoutput import (
    FileOutput,
    NamedFileOutput,
    openFile,
    outputTo,
)
from upperproto.monitoring.output.recordqueue import MAX_WAITING, LogOutput


@implementer(IIterationEnd)
class Iteration:
    """
    A reactor that has iterations, or waits.
    """

    def __init__(self) -> None:
        """
        Begin with one.
        """
        self.waits = False
        self.calls: list[Callable[[], object]] = []

    def callAtEnd(self, call: Callable[[], object]) -> bool:
        """
        Note what to call.
        """
        if not self.waits:
            self.calls.append(call)
        return not self.waits

    def end(self) -> None:
        """
        Call it.
        """
        while self.calls:
            self.calls.pop()()


class Disk:
    """
    What stands for C{os.write}: a disk that may hang, or be full.

    @ivar answers: whether it does; what is written waits for that.
    @ivar began: that something is written, or waits to be.
    @ivar room: how many bytes it still takes.
    """

    def __init__(self, patched: int) -> None:
        """
        @param patched: the descriptor of its file; others are as they are.
        """
        self._descriptor = patched
        self._write = os.write
        self.answers = threading.Event()
        self.answers.set()
        self.began = threading.Event()
        self.room = 1 << 40

    def __call__(self, descriptor: int, data: bytes) -> int:
        """
        Write.
        """
        if descriptor == self._descriptor:
            self.began.set()
            self.answers.wait()
            if not self.room:
                raise OSError(ENOSPC, "No space left on device")
            data = data[: self.room]
            self.room -= len(data)
        return self._write(descriptor, data)


class FileOutputTestCase(SynchronousTestCase):
    """
    What the tests share: an output to a file.
    """

    def setUp(self) -> None:
        """
        Make both.
        """
        # No test waits so long, unless for a fault.
        for module, name in [
            (recordqueue, "FINISH_TIMEOUT"),
            (recordqueue, "CLOSE_TIMEOUT"),
            (fileoutput, "URGENT_TIMEOUT"),
        ]:
            self.patch(module, name, 60)
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        self.path = Path(folder, "log")
        descriptor = openFile(str(self.path))
        self.addCleanup(os.close, descriptor)
        self.disk = Disk(descriptor)
        self.addCleanup(self.disk.answers.set)
        self.patch(os, "write", self.disk)
        self.output = outputTo(descriptor, describeLoss)
        self.addCleanup(self.output.close)

    def settle(self) -> None:
        """
        Wait until nothing waits to be written.
        """
        while running := threads():
            running[0].join()

    def hang(self) -> None:
        """
        Let the disk hang, and the thread with it.
        """
        self.disk.answers.clear()
        self.disk.began.clear()
        self.output.write(b"first\n", False)
        self.assertTrue(self.disk.began.wait(60))


class WritingTests(FileOutputTestCase):
    """
    A disk that answers.
    """

    def test_kinds(self) -> None:
        """
        A thread is for files only.
        """
        self.assertIsInstance(self.output, FileOutput)
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        output = outputTo(writer, describeLoss)
        self.addCleanup(output.close)
        self.assertIs(type(output), LogOutput)

    def test_thread(self) -> None:
        """
        There is one while something is to be written, and for a short time after that.
        Records come out in their order.
        """
        self.path.write_bytes(b"before\n")
        self.assertEqual(threads(), [])
        for number in range(1000):
            self.output.write(b"%d\n" % number, False)
        self.settle()
        self.assertEqual(threads(), [])
        self.output.write(b"after\n", False)
        self.settle()
        expected = ["before", *map(str, range(1000)), "after"]
        self.assertEqual(self.path.read_text().split("\n"), [*expected, ""])

    def test_urgent(self) -> None:
        """
        An urgent record is in the file when C{write} returns, with all before it.
        """
        for number in range(10):
            self.output.write(b"a", False)
            self.output.write(b"b\n")
            self.assertEqual(self.path.read_bytes(), b"ab\n" * (number + 1))

    def test_afterUrgent(self) -> None:
        """
        After an urgent record the thread collects for a while, as before.
        """
        self.patch(fileoutput, "PAUSE", 60)
        self.output.write(b"a\n")
        self.output.write(b"b\n", False)
        self.disk.began.clear()
        [thread] = threads()
        self.output.write(b"c\n", False)
        # It is woken by this one alone.
        self.output.write(b"d\n")
        thread.join()
        self.assertEqual(self.path.read_bytes(), b"a\nb\nc\nd\n")
        self.assertEqual(threads(), [])

    def test_collected(self) -> None:
        """
        The records of an iteration are written together at its end, or with an urgent
        one; they do not wait while the reactor waits, nor when there are many.
        """
        iteration = Iteration()
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        os.set_blocking(reader, False)
        output = outputTo(writer, describeLoss, iteration)
        self.addCleanup(output.close)
        output.write(b"a\n", False)
        output.write(b"b\n", False)
        self.assertRaises(BlockingIOError, os.read, reader, 100)
        iteration.end()
        self.assertEqual(os.read(reader, 100), b"a\nb\n")
        output.write(b"c\n", False)
        output.write(b"d\n")
        self.assertEqual(os.read(reader, 100), b"c\nd\n")
        iteration.waits = True
        output.write(b"e\n", False)
        self.assertEqual(os.read(reader, 100), b"e\n")
        iteration.waits = False
        for _ in range(recordqueue.MAX_COLLECTED + 1):
            output.write(b"f\n", False)
        expected = b"f\n" * (recordqueue.MAX_COLLECTED + 1)
        self.assertEqual(os.read(reader, 4096), expected)
        output.write(b"g\n", False)
        output.finish()
        self.assertEqual(os.read(reader, 100), b"g\n")
        output.write(b"h\n", False)
        self.assertEqual(os.read(reader, 100), b"h\n")

    def test_burst(self) -> None:
        """
        When many records come at once, they wait for a disk that answers, and none is
        lost; those of an iteration neither, whether they are short or long.
        """
        hurry = FileOutput._hurry

        def answerMeanwhile(output: FileOutput) -> None:
            self.disk.answers.set()
            hurry(output)
            self.disk.answers.clear()

        self.patch(FileOutput, "_hurry", answerMeanwhile)
        iteration = Iteration()
        output = outputTo(self.output._descriptor, describeLoss, iteration)
        self.addCleanup(output.close)
        self.disk.answers.clear()
        records = [
            (b"%d " % number).ljust(size, b"x") + b"\n"
            for size in (80, 8000)
            for number in range(3 * MAX_WAITING // size)
        ]
        for record in records:
            output.write(record, False)
        iteration.end()
        self.disk.answers.set()
        self.settle()
        self.assertEqual(output.lost, 0)
        self.assertEqual(self.path.read_bytes(), b"".join(records))

    def test_wholeLines(self) -> None:
        """
        Two that append to one file do not write into the middle of each other's lines.
        """
        second = openFile(str(self.path))
        self.addCleanup(os.close, second)
        other = outputTo(second, describeLoss)
        records = [(b"%d " % each).ljust(700, b"x") + b"\n" for each in range(1000)]
        for record in records:
            self.output.write(b"a" + record, False)
            other.write(b"b" + record, False)
        self.output.close()
        other.close()
        lines = self.path.read_bytes().splitlines(keepends=True)
        for name in (b"a", b"b"):
            self.assertEqual(
                [each[1:] for each in lines if each.startswith(name)], records
            )


class HangingTests(FileOutputTestCase):
    """
    A disk that does not answer.
    """

    def test_neverWaits(self) -> None:
        """
        Nobody waits for it. Whole records are lost when too much waits, they are
        counted, and all else comes out in order when the disk answers again.
        """
        self.hang()
        # For how long somebody waits once is tried below.
        self.patch(fileoutput, "URGENT_TIMEOUT", 0)
        record = b"a" * 999 + b"\n"
        for _ in range(2 * MAX_WAITING // 1000):
            self.output.write(record, False)
        lost = self.output.lost
        self.assertGreater(lost, MAX_WAITING // 1000)
        self.disk.answers.set()
        self.output.finish()
        *lines, last = self.path.read_bytes().splitlines(keepends=True)[1:]
        self.assertEqual(set(lines), {record})
        self.assertEqual(last, b"%d lost\n" % lost)
        self.assertEqual(len(lines) + lost, 2 * MAX_WAITING // 1000)

    def test_urgentOnce(self) -> None:
        """
        An urgent record waits for a short time, once; and again when the disk has
        answered.
        """
        self.hang()
        self.patch(fileoutput, "URGENT_TIMEOUT", 0.05)
        began = monotonic()
        self.output.write(b"second\n")
        passed = monotonic() - began
        self.assertGreaterEqual(passed, 0.05)
        self.patch(fileoutput, "URGENT_TIMEOUT", 60)
        for _ in range(10):
            self.output.write(b"more\n")
        self.assertLess(monotonic() - began, 50)
        self.disk.answers.set()
        self.settle()
        self.output.write(b"last\n")
        self.assertEqual(
            self.path.read_bytes(), b"first\nsecond\n" + b"more\n" * 10 + b"last\n"
        )

    def test_close(self) -> None:
        """
        At the end it is waited for for a bounded time, and what waits then is lost. The
        thread ends, without another word, when the disk answers.
        """
        before = descriptors()
        self.patch(recordqueue, "FINISH_TIMEOUT", 0)
        self.patch(recordqueue, "CLOSE_TIMEOUT", 0)
        self.hang()
        self.output.write(b"a\nb\n", False)
        self.output.close()
        # What is being written may be written or not.
        self.assertEqual(self.output.lost, 3)
        self.output.write(b"c\n")
        self.disk.answers.set()
        self.settle()
        self.assertEqual(self.path.read_bytes(), b"first\n")
        # Those of its own are closed.
        self.assertEqual(descriptors(), before - 2)

    def test_full(self) -> None:
        """
        When the disk is full within a line, this goes on when there is room again, and
        all that has waited follows it.
        """
        self.disk.room = 5
        kept = b"b" * (MAX_WAITING - 4) + b"\n"
        for record in (b"1234567\n", kept, b"c\n", b"d\n"):
            self.output.write(record)
        self.settle()
        self.assertEqual(self.path.read_bytes(), b"12345")
        self.disk.room = 1 << 40
        self.output.write(b"e\n")
        self.output.write(b"f\n")
        self.assertEqual(self.path.read_bytes(), b"1234567\n" + kept + b"3 lost\nf\n")

    def test_lastChance(self) -> None:
        """
        What could not be written is tried at the end.
        """
        self.disk.room = 0
        self.output.write(b"a\n")
        self.disk.room = 10
        self.output.close()
        self.assertEqual((self.path.read_bytes(), self.output.lost), (b"a\n", 0))

    def test_nothingStays(self) -> None:
        """
        A hundred outputs that are opened and closed leave neither a thread nor a
        descriptor.
        """
        before = descriptors()
        for _ in range(100):
            descriptor = openFile(str(self.path))
            output = NamedFileOutput(
                str(self.path), descriptor, describeLoss, None, self.fail
            )
            output.write(b"a\n", False)
            output.close()
            output.close()
            self.assertEqual((threads(), descriptors()), ([], before))
        self.assertEqual(self.path.read_bytes(), b"a\n" * 100)

    def test_noThread(self) -> None:
        """
        Where the system has no more threads, the next record is the next chance, and
        the end closes all by itself.
        """
        before = descriptors()

        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        patch = self.patch(threading.Thread, "start", refuse)
        self.output.write(b"a\n")
        patch.restore()
        self.output.write(b"b\n")
        self.assertEqual(self.path.read_bytes(), b"a\nb\n")
        self.settle()
        self.patch(threading.Thread, "start", refuse)
        self.output.close()
        self.assertEqual(descriptors(), before - 2)


class NamedTests(FileOutputTestCase):
    """
    L{NamedFileOutput}, beside the tests of the access log.
    """

    def named(self) -> tuple[NamedFileOutput, list[Any]]:
        """
        Make one, with what it tells.
        """
        told: list[Any] = []
        descriptor = openFile(str(self.path))
        output = NamedFileOutput(
            str(self.path), descriptor, describeLoss, None, told.append
        )
        self.addCleanup(output.close)
        self.disk._descriptor = descriptor
        return output, told

    def test_thread(self) -> None:
        """
        All that asks for the file is asked by the thread, the end of it, too.
        """
        output, told = self.named()
        callers: set[str] = set()
        for name in ("stat", "open", "close", "fstat"):
            function = getattr(os, name)

            def call(*arguments: Any, function: Any = function) -> Any:
                callers.add(threading.current_thread().name)
                return function(*arguments)

            self.patch(os, name, call)
        moved = self.path.rename(f"{self.path}.1")
        output.write(b"a\n", False)
        self.settle()
        self.path.rename(f"{self.path}.2")
        output.reopen()
        self.settle()
        output.close()
        self.assertEqual(callers, {"log output"})
        self.assertEqual(told, ["", ""])
        self.assertEqual(moved.read_bytes(), b"")
        self.assertEqual(Path(f"{self.path}.2").read_bytes(), b"a\n")
        self.assertEqual(self.path.read_bytes(), b"")

    def test_withinALine(self) -> None:
        """
        A line that is begun in a file ends there, although it was moved away.
        """
        output, told = self.named()
        self.disk.room = 2
        output.write(b"abcd\n")
        self.settle()
        moved = self.path.rename(f"{self.path}.1")
        output.reopen()
        self.settle()
        self.assertEqual((told, self.path.exists()), ([], False))
        self.disk.room = 1 << 40
        output.write(b"e\n")
        output.reopen()
        output.write(b"f\n")
        self.settle()
        self.assertEqual(told, [""])
        self.assertEqual(
            (moved.read_bytes(), self.path.read_bytes()), (b"abcd\ne\n", b"f\n")
        )
