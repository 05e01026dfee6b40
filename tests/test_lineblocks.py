"""
Tests for L{upperproto.lineblocks}.
"""

from __future__ import annotations

from importlib.util import find_spec, module_from_spec
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from hypothesis import given, strategies
from twisted.internet.testing import StringTransport
from twisted.protocols import basic
from twisted.protocols.basic import LineReceiver
from twisted.trial.unittest import SynchronousTestCase

from tests import EXHAUSTIVE
from upperproto import lineblocks
from upperproto.lineblocks import BlockReceiver

# Some overlap themselves: of three line ends, the first two are the delimiter.
DELIMITERS = (b"\n", b"\r\n", b"\n\n", b"aba", b"a\na\n")

# What a receiver may do while it is handed a line or raw data: one of these, take
# another delimiter, which may be empty, or take another MAX_LENGTH.
ACTIONS = ("nothing", "pause", "raw", "line", "clear", "lose", "reenter", "return")
actions = strategies.sampled_from([*ACTIONS, *DELIMITERS, b"", 0, 3])
Action = str | bytes | int

# Chunks that mean something to those delimiters.
chunks = strategies.text("ab\r\n", max_size=12).map(str.encode)


class Scripted(LineReceiver):
    """
    A receiver that follows a script, and writes down what it is handed.

    @ivar events: what it was handed, in order.
    """

    MAX_LENGTH = 6
    transport: StringTransport

    def __init__(self, delimiter: bytes, script: list[Action]) -> None:
        """
        @param delimiter: what ends a line.
        @param script: what to do at each call, for as long as it lasts.
        """
        self.delimiter = delimiter
        self._script = iter(script)
        self.events: list[tuple[str, object]] = []

    def lineReceived(self, line: bytes) -> object:
        """
        Note a line, and act.
        """
        self.events.append(("line", line))
        return self._act(b"")

    def rawDataReceived(self, data: bytes) -> object:
        """
        Note raw data, and act; what returns to lines gives some back.
        """
        self.events.append(("raw", data))
        return self._act(data[len(data) // 2 :])

    def lineLengthExceeded(self, line: bytes) -> object:
        """
        Note a line that is too long, and act; what remains is given back.
        """
        self.events.append(("exceeded", line))
        return self._act(line[self.MAX_LENGTH :])

    def _act(self, rest: bytes) -> object:
        action = next(self._script, "line")
        if isinstance(action, bytes):
            self.delimiter = action
        elif isinstance(action, int):
            self.MAX_LENGTH = action
        elif action == "pause":
            if not self.transport.disconnecting:
                self.pauseProducing()
        elif action == "raw":
            self.setRawMode()
        elif action == "line":
            self.setLineMode(rest)
        elif action == "clear":
            self.events.append(("cleared", self.clearLineBuffer()))
        elif action == "lose":
            self.transport.loseConnection()
        elif action == "reenter":
            self.dataReceived(b"a" + self.delimiter + b"b")
        elif action == "return":
            return "reason"
        return None


class ScriptedBlocks(Scripted, BlockReceiver):
    """
    The same on a L{BlockReceiver}.
    """


class Blocks(BlockReceiver):
    """
    A receiver that writes down the blocks that it is handed.
    """

    def __init__(self, delimiter: bytes = b"\n") -> None:
        """
        @param delimiter: what ends a line.
        """
        self.delimiter = delimiter
        self.blocks: list[bytes] = []

    def blockReceived(self, block: bytes) -> None:
        """
        Note a block.
        """
        self.blocks.append(block)


def play(receiver: Scripted, parts: list[tuple[bytes, bool]]) -> object:
    """
    Play a script.

    @param receiver: who plays it.
    @param parts: what is received, in chunks, each with whether the receiver
        resumes after it if it has paused.
    @return: all that can be seen of it.
    """
    transport = StringTransport()
    receiver.makeConnection(transport)
    for chunk, resume in parts:
        receiver.events.append(("returned", receiver.dataReceived(chunk)))
        if resume and receiver.paused and not transport.disconnecting:
            receiver.resumeProducing()
    return (
        receiver.events,
        bool(receiver.line_mode),
        receiver.paused,
        transport.disconnecting,
        receiver.clearLineBuffer(),
    )


class LineReceiverTests(SynchronousTestCase):
    """
    A L{BlockReceiver} whose C{lineReceived} is overridden is a L{LineReceiver}.
    """

    @given(
        delimiter=strategies.sampled_from(DELIMITERS),
        parts=strategies.lists(strategies.tuples(chunks, strategies.booleans())),
        script=strategies.lists(actions),
    )
    def test_sameAsLineReceiver(
        self, delimiter: bytes, parts: list[tuple[bytes, bool]], script: list[Action]
    ) -> None:
        """
        The same bytes in the same chunks lead to the same calls and results,
        whatever is done in each: pause, change of mode, of C{delimiter} or of
        C{MAX_LENGTH}, C{clearLineBuffer}, C{loseConnection}, more data, a result.
        """
        expected = play(Scripted(delimiter, script), parts)
        self.assertEqual(play(ScriptedBlocks(delimiter, script), parts), expected)

    def test_manyLines(self) -> None:
        """
        Lines that come in one chunk are handed on one by one, the rest waits.
        """
        receiver = ScriptedBlocks(b"\n", [])
        play(receiver, [(b"a\nb\r\n\nc", False)])
        lines = [event for event in receiver.events if event[0] == "line"]
        self.assertEqual(lines, [("line", b"a"), ("line", b"b\r"), ("line", b"")])

    def test_blockInParts(self) -> None:
        """
        An override of C{blockReceived} may hand on a block in several parts.
        """

        class Halved(ScriptedBlocks):
            def blockReceived(self, block: bytes) -> None:
                super().blockReceived(block[:2])
                super().blockReceived(block[2:])

        receiver = Halved(b"\n", [])
        play(receiver, [(b"a\nb\nc", False)])
        lines = [event for event in receiver.events if event[0] == "line"]
        self.assertEqual(lines, [("line", b"a"), ("line", b"b")])

    def test_lineLengthExceededByDefault(self) -> None:
        """
        A line that is too long ends the connection, unless somebody wants it.
        """
        receiver = BlockReceiver()
        transport = StringTransport()
        receiver.makeConnection(transport)
        receiver.dataReceived(b"a" * (BlockReceiver.MAX_LENGTH + 1))
        self.assertFalse(transport.disconnecting)
        receiver.dataReceived(b"a")
        self.assertTrue(transport.disconnecting)


def _twistedsTests() -> Any:
    """
    Twisted's own tests for L{LineReceiver}, with a L{BlockReceiver} in its place.

    @return: a module that was imported for them alone.
    """
    spec = find_spec("twisted.protocols.test.test_basic")
    assert spec is not None and spec.loader is not None
    module: Any = module_from_spec(spec)
    with patch.object(basic, "LineReceiver", BlockReceiver):
        # Its test protocols are subclasses.
        spec.loader.exec_module(module)
        module.basic = SimpleNamespace(**vars(basic))
    return module


_twisteds = _twistedsTests()


# They have no types.
class TwistedLineReceiverTests(
    _twisteds.LineReceiverTests  # type: ignore[misc, name-defined]
):
    """
    Lines and raw data, pauses and changes of mode.
    """


class TwistedLineLengthExceededTests(
    _twisteds.LineReceiverLineLengthExceededTests  # type: ignore[misc, name-defined]
):
    """
    Lines that are too long.
    """


class TwistedProducerTests(
    _twisteds.ProducerTests  # type: ignore[misc, name-defined]
):
    """
    A receiver that pauses after each line.
    """


class BlockReceiverTests(SynchronousTestCase):
    """
    Tests for a L{BlockReceiver} whose C{blockReceived} is overridden.
    """

    def test_oneBlock(self) -> None:
        """
        All lines that a chunk ends come as one block, with their delimiters.
        """
        receiver = Blocks()
        receiver.dataReceived(b"a\nb\nc")
        self.assertEqual(receiver.blocks, [b"a\nb\n"])
        receiver.dataReceived(b"d")
        self.assertEqual(receiver.blocks, [b"a\nb\n"])
        receiver.dataReceived(b"\n\ne")
        self.assertEqual(receiver.blocks, [b"a\nb\n", b"cd\n\n"])
        self.assertEqual(receiver.clearLineBuffer(), b"e")

    @given(
        delimiter=strategies.sampled_from(DELIMITERS),
        chunks=strategies.lists(chunks),
    )
    def test_sameLines(self, delimiter: bytes, chunks: list[bytes]) -> None:
        """
        Each chunk makes one block at most, of the lines that it ends.
        """
        receiver = Blocks(delimiter)
        sent = b""
        for number, chunk in enumerate(chunks, 1):
            receiver.dataReceived(chunk)
            sent += chunk
            self.assertLessEqual(len(receiver.blocks), number)
            lines = sent.split(delimiter)[:-1]
            self.assertEqual(
                b"".join(receiver.blocks), b"".join(line + delimiter for line in lines)
            )
        self.assertEqual(b"".join(receiver.blocks) + receiver.clearLineBuffer(), sent)

    def test_longLine(self) -> None:
        """
        A line that comes whole may be of any length; one that waits may not.
        """
        receiver = Blocks()
        receiver.makeConnection(StringTransport())
        whole = b"a" * BlockReceiver.MAX_LENGTH * 2 + b"\n"
        receiver.dataReceived(whole)
        self.assertEqual(receiver.blocks, [whole])

    def test_paused(self) -> None:
        """
        What comes during a pause waits, and is one block after it.
        """
        receiver = Blocks()
        receiver.makeConnection(StringTransport())
        receiver.pauseProducing()
        receiver.dataReceived(b"a\n")
        receiver.dataReceived(b"b\nc")
        self.assertEqual(receiver.blocks, [])
        receiver.resumeProducing()
        self.assertEqual(receiver.blocks, [b"a\nb\n"])
        self.assertEqual(receiver.clearLineBuffer(), b"c")

    def test_lineEndInAPause(self) -> None:
        """
        A line end that comes in a pause, before all else or after a block, is
        found.
        """
        receiver = Blocks()
        receiver.makeConnection(StringTransport())
        for _ in range(2):
            receiver.pauseProducing()
            receiver.dataReceived(b"\n")
            receiver.resumeProducing()
        self.assertEqual(receiver.blocks, [b"\n", b"\n"])

    def test_pausing(self) -> None:
        """
        So is one that comes when a block has led to the pause.
        """

        class Pausing(Blocks):
            def blockReceived(self, block: bytes) -> None:
                super().blockReceived(block)
                self.pauseProducing()

        receiver = Pausing()
        receiver.makeConnection(StringTransport())
        receiver.dataReceived(b"0123456789")
        receiver.dataReceived(b"\nabc")
        receiver.dataReceived(b"d\nef")
        receiver.resumeProducing()
        self.assertEqual(receiver.blocks, [b"0123456789\n", b"abcd\n"])

    def test_closing(self) -> None:
        """
        A connection that is closing takes no more memory: what comes in raw
        mode is handed on, to be thrown away.
        """

        class Raw(BlockReceiver):
            size = 0

            def rawDataReceived(self, data: bytes) -> None:
                self.size += len(data)

        receiver = Raw()
        transport = StringTransport()
        receiver.makeConnection(transport)
        transport.loseConnection()
        receiver.setRawMode()
        receiver.dataReceived(b"a")
        receiver.dataReceived(b"b")
        self.assertEqual(receiver.size, 2)
        self.assertEqual(receiver.clearLineBuffer(), b"")

    def test_emptyDelimiter(self) -> None:
        """
        An empty delimiter ends no line.
        """
        receiver = Blocks(b"")
        receiver.dataReceived(b"a\n")
        self.assertEqual(receiver.blocks, [])
        self.assertEqual(receiver.unfinished, b"a\n")

    def test_otherDelimiter(self) -> None:
        """
        What has been searched for one delimiter is searched again for another.
        """
        receiver = Blocks(b"\n")
        receiver.dataReceived(b"a;b")
        receiver.delimiter = b";"
        receiver.dataReceived(b"c")
        self.assertEqual(receiver.blocks, [b"a;"])
        self.assertEqual(receiver.unfinished, b"bc")

    def test_keepUnfinished(self) -> None:
        """
        What was handed on can be taken back: it comes before all that waits, and
        is handed on with what follows.
        """
        receiver = Blocks(b"\n")
        receiver.dataReceived(b"c")
        receiver.keepUnfinished(b"a\nb")
        self.assertEqual(receiver.blocks, [])
        self.assertEqual(receiver.unfinished, b"a\nbc")
        receiver.dataReceived(b"d\n")
        self.assertEqual(receiver.blocks, [b"a\nbcd\n"])

    def test_fault(self) -> None:
        """
        After an exception in C{blockReceived}, the next chunk is received.
        """
        receiver = Blocks()
        with patch.object(receiver, "blockReceived", side_effect=RuntimeError):
            self.assertRaises(RuntimeError, receiver.dataReceived, b"a\nb")
        receiver.dataReceived(b"\n")
        self.assertEqual(receiver.blocks, [b"b\n"])


class Counting(bytearray):
    """
    What a receiver keeps its bytes in, made to count what is done with them.

    @cvar searched: how many bytes were searched.
    @cvar copied: how many bytes were moved to a place of their own.
    """

    searched = 0
    copied = 0

    def __init__(self, data: bytes) -> None:
        """
        @param data: what to keep.
        """
        super().__init__(data)
        Counting.copied += len(data)

    def rfind(self, *arguments: Any) -> int:
        """
        Search from the right.
        """
        Counting.searched += len(self) - arguments[1]
        return super().rfind(*arguments)

    def find(self, *arguments: Any) -> int:
        """
        Search from the left.
        """
        found = super().find(*arguments)
        Counting.searched += (len(self) if found < 0 else found) - arguments[1]
        return found

    def __getitem__(self, where: Any) -> Any:
        """
        Copy a part.
        """
        return Counting(super().__getitem__(where))


class CostTests(SynchronousTestCase):
    """
    The cost of a L{BlockReceiver} grows as its input does.
    """

    def setUp(self) -> None:
        """
        Count what is done with the bytes that wait.
        """
        counting = patch.object(lineblocks, "bytearray", Counting, create=True)
        counting.start()
        self.addCleanup(counting.stop)
        Counting.searched = Counting.copied = 0

    def receive(self, delimiter: bytes, data: bytes, size: int) -> None:
        """
        Receive data in chunks, and check that it came, and at what cost.
        """
        receiver = Blocks(delimiter)
        receiver.MAX_LENGTH = len(data)
        for start in range(0, len(data), size):
            receiver.dataReceived(data[start : start + size])
        self.assertEqual(b"".join(receiver.blocks) + receiver.clearLineBuffer(), data)
        # A chunk that comes while nothing waits is searched before it is kept,
        # which is not counted. What may be the beginning of a longer delimiter is
        # looked at again.
        again = (len(delimiter) - 1) * (len(data) // size + 1) * 2
        self.assertLessEqual(Counting.searched, len(data) + again)
        self.assertLessEqual(Counting.copied, 3 * len(data))

    def test_byteAtATime(self) -> None:
        """
        A line that comes byte by byte is searched and copied once.
        """
        for delimiter in (b"\n", b"\r\n", b"\n\n"):
            Counting.searched = Counting.copied = 0
            self.receive(delimiter, b"a" * 100_000 + delimiter, 1)
            self.assertGreaterEqual(Counting.searched, 100_000)

    def test_longLine(self) -> None:
        """
        So is one that comes in many chunks.
        """
        for size in (2, 1000, 65536):
            Counting.searched = Counting.copied = 0
            self.receive(b"\n", b"a" * 300_000 + b"\n", size)

    def test_shortLines(self) -> None:
        """
        So are lines that are shorter than their chunks, or as long.
        """
        for size in (1, 2, 3, 4, 5, 1000):
            Counting.searched = Counting.copied = 0
            self.receive(b"\n", b"abc\n" * 10_000 + b"a", size)

    def test_emptyLines(self) -> None:
        """
        Many empty lines with a pause after each cost one search, and one copy
        into the buffer.
        """

        class Pausing(BlockReceiver):
            delimiter = b"\n"
            count = 0

            def lineReceived(self, line: bytes) -> None:
                self.count += 1
                self.pauseProducing()

        size = 0x100000 if EXHAUSTIVE else 0x10000
        receiver = Pausing()
        receiver.makeConnection(StringTransport())
        receiver.dataReceived(b"a")
        receiver.dataReceived(b"\n" * size)
        for count in range(1, size + 1):
            self.assertEqual(receiver.count, count)
            receiver.resumeProducing()
        self.assertEqual(receiver.count, size)
        self.assertEqual(Counting.searched, size)
        self.assertLessEqual(Counting.copied, size + 2)
