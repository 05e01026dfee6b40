"""
Tests for L{upperproto.monitoring.output.recordqueue}.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EACCES, ENOSPC
from fcntl import F_GETPIPE_SZ, fcntl
from time import monotonic

from twisted.trial.unittest import SynchronousTestCase

from tests.monitoring.output.outputs import describeLoss, descriptors, threads
from upperproto.monitoring.output import recordqueue
from upperproto.monitoring.output.recordqueue import MAX_WAITING, LogOutput


class OutputTests(SynchronousTestCase):
    """
    What the tests of outputs share: an output to a pipe.
    """

    def setUp(self) -> None:
        """
        Make both.
        """
        # No test waits so long, unless for a fault.
        self.patch(recordqueue, "FINISH_TIMEOUT", 60)
        self.reader, self.writer = os.pipe()
        self.addCleanup(os.close, self.reader)
        self.addCleanup(os.close, self.writer)
        self.size = fcntl(self.writer, F_GETPIPE_SZ)
        self.output = self.open(self.writer)

    def open(self, descriptor: int) -> LogOutput:
        """
        Make an output that is closed when the test ends.
        """
        output = LogOutput(descriptor, describeLoss)

        def close() -> None:
            self.patch(recordqueue, "FINISH_TIMEOUT", 0)
            output.close()

        self.addCleanup(close)
        return output

    def read(self, count: int, reader: int | None = None) -> bytes:
        """
        Read a number of bytes, waiting for them.
        """
        data = b""
        while len(data) < count:
            rest = count - len(data)
            data += os.read(self.reader if reader is None else reader, rest)
        return data

    def readNow(self) -> bytes:
        """
        Read what there is, without waiting.
        """
        os.set_blocking(self.reader, False)
        try:
            return os.read(self.reader, 1 << 20)
        except BlockingIOError:
            return b""
        finally:
            os.set_blocking(self.reader, True)

    def refuseToOpen(self) -> None:
        """
        From now on the system refuses to open anything once more.
        """

        def refuse(path: str, flags: int) -> int:
            raise PermissionError(EACCES, "Permission denied", path)

        self.patch(os, "open", refuse)


class WritingTests(OutputTests):
    """
    Output that nobody has to be waited for.
    """

    def test_atOnce(self) -> None:
        """
        A record is on its way before C{write} returns, and no thread is needed.
        """
        for record in (b"a\n", b"bc\n", b"d\n\te\n"):
            self.output.write(record)
            self.assertEqual(self.readNow(), record)
        self.assertEqual(threads(), [])

    def test_socketAndTerminal(self) -> None:
        """
        A socket and a terminal are not waited for either, and stay as they are for
        those who share them.
        """
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        for reader, writer in [(theirs.fileno(), ours.fileno()), (master, slave)]:
            output = self.open(writer)
            output.write(b"a")
            self.assertEqual(os.read(reader, 10), b"a")
            self.assertTrue(os.get_blocking(writer))
            for _ in range(100):
                output.write(b"b" * 10000)
            self.assertEqual(len(threads()), 1)
            self.assertEqual(self.read(1_000_000, reader), b"b" * 1_000_000)
            output.finish()

    def test_pipeOfAnotherUser(self) -> None:
        """
        A pipe that cannot be opened once more, as that of a supervisor of another user,
        is written to at once, too.
        """
        self.refuseToOpen()
        output = self.open(self.writer)
        for record in (b"a\n", b"b" * 10_000, b"c\n"):
            output.write(record)
            self.assertEqual(self.readNow(), record)
        self.assertEqual(threads(), [])
        record = b"d" * (2 * self.size)
        output.write(record)
        self.assertEqual(len(threads()), 1)
        output.write(b"e\n")
        self.assertEqual(self.read(len(record) + 2), record + b"e\n")
        self.assertTrue(os.get_blocking(self.writer))

    def test_terminalOfAnotherUser(self) -> None:
        """
        To a terminal that cannot be opened once more a thread writes all.
        """
        self.refuseToOpen()
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        output = self.open(slave)
        for record in (b"a", b"b" * 100_000):
            output.write(record)
            self.assertEqual(self.read(len(record), master), record)
        output.finish()
        self.assertEqual(threads(), [])


class WaitingTests(OutputTests):
    """
    Output that nobody reads.
    """

    def test_inOrder(self) -> None:
        """
        What has to wait comes out in order when somebody reads, from a thread, which
        then ends.
        """
        records = [b"%d\n" % each * 1000 for each in range(100)]
        for record in records:
            self.output.write(record)
        [thread] = threads()
        everything = b"".join(records)
        self.assertGreater(len(everything), self.size)
        self.assertEqual(self.read(len(everything)), everything)
        thread.join()
        self.output.write(b"a\n")
        self.assertEqual(self.readNow(), b"a\n")
        self.assertEqual(threads(), [])

    def test_lost(self) -> None:
        """
        When too much waits, whole records are lost. How many lines they had is told
        in their place as soon as there is room, if nothing else is logged, too.
        """
        first = b"a" * (self.size - 1) + b"\n"
        second = b"b" * (MAX_WAITING - 1) + b"\n"
        for record in (first, second, b"c\n", b"c\nc\n"):
            self.output.write(record)
        expected = first + second + b"3 lost\n"
        self.assertEqual(self.read(len(expected)), expected)
        self.output.write(b"d\n")
        self.assertEqual(self.read(2), b"d\n")

    def test_roomAgain(self) -> None:
        """
        After a loss records are accepted again when half of the room is free, and all
        that is lost is lost in one place.
        """
        record = b"a" * 999 + b"\n"
        accepted = (self.size + MAX_WAITING) // 1000 * 2
        for _ in range(accepted):
            self.output.write(record)
        data = self.read(MAX_WAITING // 4)
        [thread] = threads()
        self.output.write(b"lost\n")
        while b" lost\n" not in data:
            data += os.read(self.reader, 1 << 16)
        self.output.write(b"end\n")
        while not data.endswith(b"end\n"):
            data += os.read(self.reader, 1 << 16)
        thread.join()
        lines = data.splitlines(keepends=True)
        self.assertEqual(set(lines[:-2]), {record})
        lost = accepted - len(lines) + 2 + 1
        self.assertEqual(lines[-2:], [b"%d lost\n" % lost, b"end\n"])

    def test_counted(self) -> None:
        """
        What is lost is counted for whoever asks, told or not, at the end, too.
        """
        record = b"a" * 998 + b"\n\n"
        accepted = (self.size + MAX_WAITING) // 1000
        for _ in range(accepted + 10):
            self.output.write(record)
        lost = self.output.lost
        self.assertGreater(lost, 0)
        self.assertEqual(lost % 2, 0)
        self.patch(recordqueue, "FINISH_TIMEOUT", 0)
        self.output.close()
        self.assertEqual(threads(), [])
        taken = self.readNow()
        self.assertEqual(self.output.lost, 2 * (accepted + 10) - taken.count(b"\n"))
        self.output.write(record)
        self.assertEqual(self.readNow(), b"")

    def test_nothingLost(self) -> None:
        """
        Where all was taken in time, nothing is.
        """
        self.output.write(b"a\n")
        self.output.close()
        self.assertEqual(self.output.lost, 0)

    def test_wholeLines(self) -> None:
        """
        Two that write to one pipe do not write into the middle of each other's lines,
        however often the pipe is full.
        """
        other = self.open(self.writer)
        records = [(b"%d " % each).ljust(700, b"x") + b"\n" for each in range(1000)]
        for record in records:
            self.output.write(b"a" + record)
            other.write(b"b" + record)
        data = b""
        while data.count(b"\n") < 2000:
            data += os.read(self.reader, 1 << 16)
        lines = data.splitlines(keepends=True)
        for name in (b"a", b"b"):
            self.assertEqual(
                [each[1:] for each in lines if each.startswith(name)], records
            )

    def test_largeRecord(self) -> None:
        """
        A record that is larger than all that may wait is written, where nothing else
        waits.
        """
        record = b"a" * (2 * MAX_WAITING)
        self.output.write(record)
        self.assertEqual(self.read(len(record)), record)

    def test_readyForNothing(self) -> None:
        """
        A terminal can be ready and yet take nothing. The thread tries again.
        """
        self.output.write(b"a" * self.size)
        write, refusals = os.write, [2]

        def refuse(descriptor: int, data: bytes) -> int:
            if threading.current_thread() in threads() and refusals[0]:
                refusals[0] -= 1
                raise BlockingIOError
            return write(descriptor, data)

        self.patch(os, "write", refuse)
        output = self.open(self.writer)
        output.write(b"b\n")
        self.assertEqual(self.read(self.size + 2), b"a" * self.size + b"b\n")
        self.assertEqual(refusals, [0])

    def test_noThread(self) -> None:
        """
        Where the system has no more threads, the next record is the next chance.
        """

        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        first = b"a" * self.size + b"\n"
        with self.patched(threading.Thread, "start", refuse):
            self.output.write(first)
            self.output.write(b"b\n")
        data = self.read(self.size)
        self.output.write(b"c\n")
        self.assertEqual(data + self.read(5), first + b"b\nc\n")

    @contextmanager
    def patched(self, what: object, name: str, value: object) -> Iterator[None]:
        """
        Patch something for a while.
        """
        patch = self.patch(what, name, value)
        yield
        patch.restore()


class FaultTests(OutputTests):
    """
    Output that cannot be written.
    """

    def test_readerGone(self) -> None:
        """
        When the reader has gone, nothing is raised and no thread is left, whether or
        not something waits for it then.
        """
        reader, writer = os.pipe()
        self.addCleanup(os.close, writer)
        output = self.open(writer)
        output.write(b"a" * (self.size + 1))
        [thread] = threads()
        os.close(reader)
        thread.join()
        for _ in range(3):
            output.write(b"a\n")
        output.finish()
        self.assertEqual(threads(), [])

    def test_terminalGone(self) -> None:
        """
        It is the same with a terminal that cannot be opened once more.
        """
        self.refuseToOpen()
        master, slave = os.openpty()
        self.addCleanup(os.close, slave)
        output = self.open(slave)
        os.close(master)
        for _ in range(3):
            output.write(b"a\n")
        output.finish()
        self.assertEqual(threads(), [])

    def test_fullDisk(self) -> None:
        """
        When the disk is full, it is the same.
        """
        with open("/dev/full", "wb") as file:
            output = self.open(file.fileno())
            for _ in range(3):
                output.write(b"a\n")
        self.assertEqual(threads(), [])

    def test_roomOnTheDisk(self) -> None:
        """
        When the disk has room again, the record that it has a part of goes on, those
        that have waited follow, and then how many lines are lost.
        """
        room = [5]
        written = bytearray()

        def write(descriptor: int, data: bytes) -> int:
            if not room[0]:
                raise OSError(ENOSPC, "No space left on device")
            taken = data[: room[0]]
            room[0] -= len(taken)
            written.extend(taken)
            return len(taken)

        with open(os.devnull, "wb") as null:
            patch = self.patch(os, "write", write)
            output = self.open(null.fileno())
            kept = b"b" * (MAX_WAITING - 4) + b"\n"
            for record in (b"1234567\n", kept, b"c\n", b"d\n"):
                output.write(record)
            self.assertEqual(written, b"12345")
            room[0] = 1 << 30
            output.write(b"e\n")
            self.assertEqual(written, b"1234567\n" + kept)
            output.write(b"f\n")
            self.assertEqual(written, b"1234567\n" + kept + b"3 lost\nf\n")
            patch.restore()


class SharingTests(OutputTests):
    """
    Output that several parts of the process use at a time.
    """

    def during(self, record: bytes, call: Callable[[], None]) -> LogOutput:
        """
        Make an output, and have something called while it writes a record, as a
        signal handler is.
        """
        write = os.write

        def interrupted(descriptor: int, data: bytes) -> int:
            if data == record:
                call()
            return write(descriptor, data)

        self.patch(os, "write", interrupted)
        return self.open(self.writer)

    def test_signalHandler(self) -> None:
        """
        A record of a signal handler that interrupts a write comes behind the record
        that is being written.
        """

        def handle() -> None:
            output.write(b"b\n")
            output.write(b"c\n")

        output = self.during(b"a\n", handle)
        output.write(b"a\n")
        self.assertEqual(self.readNow(), b"a\nb\nc\n")

    def test_anotherThread(self) -> None:
        """
        Neither does another thread wait for who is writing.
        """

        def write() -> None:
            thread = threading.Thread(target=output.write, args=[b"b\n"])
            thread.start()
            thread.join()

        output = self.during(b"a\n", write)
        output.write(b"a\n")
        self.assertEqual(self.readNow(), b"a\nb\n")

    def test_manyThreads(self) -> None:
        """
        Records of many threads come out whole, each thread's in order, while they
        have to wait and while they need not.
        """

        def write(name: bytes) -> None:
            for number in range(1000):
                self.output.write(b"%s %d %s\n" % (name, number, name * 50))

        names = [b"a", b"b", b"c", b"d"]
        writers = [threading.Thread(target=write, args=[name]) for name in names]
        for thread in writers:
            thread.start()
        data = b""
        while data.count(b"\n") < 4000:
            data += os.read(self.reader, 1 << 16)
        for thread in writers:
            thread.join()
        for name in names:
            lines = [each for each in data.splitlines() if each.startswith(name)]
            self.assertEqual(
                lines, [b"%s %d %s" % (name, each, name * 50) for each in range(1000)]
            )


class EndTests(OutputTests):
    """
    The end of the process, or of an output.
    """

    def test_finish(self) -> None:
        """
        Once the process is about to end, what waits is written when C{finish} and
        C{write} return.
        """
        first, second = b"a" * (2 * self.size), b"b" * (2 * self.size)
        data = bytearray()

        def read() -> None:
            while len(data) < len(first + second):
                data.extend(os.read(self.reader, 1 << 16))

        self.output.write(first)
        reader = threading.Thread(target=read)
        reader.start()
        self.output.finish()
        self.assertEqual(threads(), [])
        self.output.write(second)
        self.assertEqual(threads(), [])
        reader.join()
        self.assertEqual(data, first + second)

    def test_finishUnread(self) -> None:
        """
        It does not wait for long when nobody reads.
        """
        self.patch(recordqueue, "FINISH_TIMEOUT", 0.05)
        self.output.write(b"a" * MAX_WAITING)
        begun = monotonic()
        self.output.finish()
        for _ in range(1000):
            self.output.write(b"b\n")
        passed = monotonic() - begun
        self.assertGreaterEqual(passed, 0.05)
        self.assertLess(passed, 10)

    def test_close(self) -> None:
        """
        A hundred outputs of each kind that are opened and closed leave neither a
        thread nor a descriptor, whether or not somebody reads.
        """
        self.patch(recordqueue, "FINISH_TIMEOUT", 0)
        ours, theirs = socket.socketpair()
        master, slave = os.openpty()
        with ours, theirs:
            writers = [self.writer, ours.fileno(), slave]
            before = descriptors()
            for number in range(100):
                if number == 50:
                    self.refuseToOpen()
                for writer in writers:
                    output = LogOutput(writer, describeLoss)
                    output.write(b"a" * 10_000)
                    output.close()
                    self.assertEqual(threads(), [])
            self.assertEqual(descriptors(), before)
        os.close(master)
        os.close(slave)

    def test_closed(self) -> None:
        """
        An output that is closed writes no more, and may be closed again.
        """
        self.output.write(b"a\n")
        self.output.close()
        self.output.write(b"b\n")
        self.output.close()
        self.assertEqual(self.readNow(), b"a\n")

    def test_closeWhileWriting(self) -> None:
        """
        An output may be closed while another thread writes.
        """
        self.patch(recordqueue, "FINISH_TIMEOUT", 0)
        closed = threading.Event()

        def write() -> None:
            while not closed.is_set():
                output.write(b"a" * 1000)

        for _ in range(20):
            closed.clear()
            output = LogOutput(self.writer, describeLoss)
            writer = threading.Thread(target=write)
            writer.start()
            self.read(1)
            output.close()
            closed.set()
            writer.join()
        self.assertEqual(threads(), [])
