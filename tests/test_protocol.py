"""
Tests for L{upperproto.protocol}.
"""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Any

from hypothesis import example, given, strategies
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests import sample
from tests.memory import Client, MemoryNetwork
from tests.plain import answerTo
from upperproto import rules
from upperproto.factory import UpperFactory
from upperproto.interfaces import IServedConnection
from upperproto.protocol import UpperProtocol
from upperproto.reactor import unsentbytes
from upperproto.servedconnection import LINGER_TIMEOUT

# How much a transport of Twisted reads at a time, and holds before it pauses.
READ = 65536

HANDLERS = ("strict", "replace", "surrogateescape")


class ShortLines(UpperProtocol):
    """
    A protocol for which a line of more than eight bytes is long.
    """

    MAX_LENGTH = 8


class Short(UpperFactory):
    """
    A factory of such protocols.
    """

    protocol = ShortLines


def connect(factory: UpperFactory) -> tuple[UpperProtocol, StringTransport]:
    """
    Connect a protocol to a transport that only keeps what is written.
    """
    conversation = factory.buildProtocol(None)
    assert isinstance(conversation, UpperProtocol)
    transport = StringTransport()
    conversation.makeConnection(transport)
    return conversation, transport


def converse(factory: UpperFactory, *chunks: bytes) -> bytes:
    """
    Say something in chunks, end, and give the answer.
    """
    conversation, transport = connect(factory)
    for chunk in chunks:
        conversation.dataReceived(chunk)
    conversation.readConnectionLost()
    assert transport.disconnecting
    answer: bytes = transport.value()
    return answer


def cutAt(data: bytes, places: list[int]) -> list[bytes]:
    """
    Cut bytes at some places.
    """
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


class LineTests(SynchronousTestCase):
    """
    Lines, their ends and their answers: rules 1, 2, 3 and 5.
    """

    def test_line(self) -> None:
        """
        A line is answered by its upper case as soon as its line end comes.
        """
        conversation, transport = connect(UpperFactory())
        conversation.dataReceived("straße".encode())
        self.assertEqual(transport.value(), b"")
        conversation.dataReceived(b"\nnext")
        self.assertEqual(transport.value(), b"STRASSE\n")
        self.assertFalse(transport.disconnecting)

    def test_inOrder(self) -> None:
        """
        Many lines in a chunk are answered in their order, empty ones too.
        """
        self.assertEqual(converse(UpperFactory(), b"a\nb\n\nc\n"), b"A\nB\n\nC\n")

    def test_carriageReturn(self) -> None:
        """
        A CR belongs to the line, and comes back wherever it is.
        """
        self.assertEqual(
            converse(UpperFactory(), b"a\r\n\rb\r", b"\n"), b"A\r\n\rB\r\n"
        )

    def test_nothingElseEndsALine(self) -> None:
        """
        What other programs take for line ends waits as any character does.
        """
        for character in "\0\r\v\f\x1c\x1d\x1e\x85\u2028\u2029":
            conversation, transport = connect(UpperFactory())
            conversation.dataReceived(f"a{character}b".encode())
            self.assertEqual(transport.value(), b"")
            conversation.dataReceived(b"\n")
            self.assertEqual(transport.value(), f"A{character}B\n".encode())

    def test_everyCharacter(self) -> None:
        """
        Each character comes back as L{str.upper} has it, cut anywhere.
        """
        points = sample(range(0x110000))
        text = "".join(chr(point) for point in points if not 0xD800 <= point < 0xE000)
        data, expected = text.encode(), text.upper().encode()
        sizes = [5, 7, 4096, len(data)]
        for size in sizes:
            chunks = [data[at : at + size] for at in range(0, len(data), size)]
            # Texts of megabytes: if they differ, nobody wants to read how.
            self.assertTrue(converse(UpperFactory(), *chunks) == expected)
        random = Random(5000)
        places = [random.randrange(len(data)) for _ in range(len(data) // 14)]
        chunks = cutAt(data, places)
        self.assertTrue(converse(UpperFactory(), *chunks) == expected)

    def test_everyCut(self) -> None:
        """
        Each character whose upper case differs comes back in pieces of each
        size, as line and as rest.
        """
        text = "".join(
            chr(point)
            for point in range(0x110000)
            if chr(point).upper() != chr(point) or point % 4096 == 0x800
            if not 0xD800 <= point < 0xE000
        )
        for data in (text.encode(), "\n".join(text).encode()):
            for size in range(1, 8):
                chunks = [data[at : at + size] for at in range(0, len(data), size)]
                answer = converse(UpperFactory(), *chunks)
                self.assertTrue(answer == data.decode().upper().encode())

    def test_longLine(self) -> None:
        """
        Up to 16 KiB wait for their line end; beyond that, what waits is
        answered at once.
        """
        conversation, transport = connect(UpperFactory())
        conversation.dataReceived(b"a" * 16384)
        self.assertEqual(transport.value(), b"")
        conversation.dataReceived(b"a")
        self.assertEqual(transport.value(), b"A" * 16385)
        conversation.dataReceived(b"b" * 16384)
        self.assertEqual(len(transport.value()), 16385)
        conversation.dataReceived(b"\nc\n")
        self.assertEqual(transport.value(), b"A" * 16385 + b"B" * 16384 + b"\nC\n")

    def test_longLineInCharacters(self) -> None:
        """
        Parts are cut between characters.
        """
        conversation, transport = connect(UpperFactory())
        data = ("a" + "€" * 10_000).encode()
        conversation.dataReceived(data[:20_000])
        self.assertEqual(transport.value(), ("A" + "€" * 6666).encode())
        conversation.dataReceived(data[20_000:])
        conversation.dataReceived(b"\n")
        self.assertEqual(transport.value(), data.upper() + b"\n")

    def test_memory(self) -> None:
        """
        However long a line and whatever its cuts, not much of it waits.
        """
        chunks = [b"a", "€".encode()[:2], b"\xf0", b"a" * 16384] * 5
        for errors in HANDLERS:
            for count in range(len(chunks)):
                conversation, _ = connect(UpperFactory(errors))
                for chunk in chunks[:count]:
                    conversation.dataReceived(chunk)
                self.assertLessEqual(len(conversation.clearLineBuffer()), 16384 + 3)

    def test_endOfStream(self) -> None:
        """
        What is left at the client's end is answered without a line end.
        """
        self.assertEqual(converse(UpperFactory(), b"abc"), b"ABC")
        self.assertEqual(converse(UpperFactory(), b"a\nbc"), b"A\nBC")
        self.assertEqual(converse(UpperFactory()), b"")


class ErrorTests(SynchronousTestCase):
    """
    Invalid UTF-8: rules 6 and 7.
    """

    def test_strict(self) -> None:
        """
        By default, a line that is not UTF-8 is answered by one error line, in
        its place; the lines around it are answered as ever.
        """
        self.assertEqual(
            converse(UpperFactory(), b"a\nbc\xffd\xff\ne\n"),
            b"A\nerror: invalid UTF-8 at byte 3\nE\n",
        )

    def test_severalErrors(self) -> None:
        """
        Each broken line has an error of its own.
        """
        self.assertEqual(
            converse(UpperFactory(), b"\xff\n\xc3\n\xed\xa0\x80\n\xc0\xaf\n"),
            b"error: invalid UTF-8 at byte 1\n" * 4,
        )

    def test_incompleteAtTheEnd(self) -> None:
        """
        A character that the end of the line or of the stream cuts is invalid.
        """
        for end in (b"\n", b""):
            self.assertEqual(
                converse(UpperFactory(), b"ab\xe2\x82" + end),
                b"error: invalid UTF-8 at byte 3\n",
            )

    def test_replace(self) -> None:
        """
        Under C{replace}, U+FFFD stands for what is invalid.
        """
        self.assertEqual(
            converse(UpperFactory("replace"), b"a\xffb\n\xe2\x82"),
            "A\ufffdB\n\ufffd".encode(),
        )

    def test_surrogateescape(self) -> None:
        """
        Under C{surrogateescape}, what is invalid comes back as it is.
        """
        data = bytes(range(0x80, 0x100)) + b"\xe2\x82"
        self.assertEqual(
            converse(UpperFactory("surrogateescape"), b"a" + data + b"\nb" + data),
            b"A" + data + b"\nB" + data,
        )

    def test_errorInALongLine(self) -> None:
        """
        An error is the only answer to a line, if it comes within the first 16
        KiB. If it comes later, it stands on a line of its own, below what is
        before it.
        """
        for length in (16383, 16384):
            self.assertEqual(
                converse(
                    UpperFactory(), b"a" * length + b"\xff" + b"b" * 40000 + b"\nc\n"
                ),
                b"error: invalid UTF-8 at byte %d\nC\n" % (length + 1),
            )
        for length in (16385, 40000):
            self.assertEqual(
                converse(
                    UpperFactory(), b"a" * length + b"\xff" + b"b" * 40000 + b"\nc\n"
                ),
                b"A" * length
                + b"\nerror: invalid UTF-8 at byte %d\nC\n" % (length + 1),
            )

    def test_errorAtTheEdge(self) -> None:
        """
        Which of the two it is does not depend on how the line came.
        """
        for length in range(16380, 16390):
            said = b"a" * length + b"\xe2\x82x\nb\n"
            whole = converse(UpperFactory(), said)
            for cut in range(length - 2, length + 5):
                pieces = said[:cut], said[cut:]
                self.assertTrue(converse(UpperFactory(), *pieces) == whole, cut)

    def test_errorAfterAnErrorInALongLine(self) -> None:
        """
        The next line begins at its own byte 1.
        """
        self.assertEqual(
            converse(
                UpperFactory(), b"a" * 20000, b"\xff" + b"b" * 20000, b"b\n\xff\n"
            ),
            b"A" * 20000
            + b"\nerror: invalid UTF-8 at byte 20001\n"
            + b"error: invalid UTF-8 at byte 1\n",
        )

    @given(
        errors=strategies.sampled_from(HANDLERS),
        data=strategies.lists(
            strategies.sampled_from(
                [*"ab\nß€😀", b"\xff", b"\xe2", b"\x82", b"\xf0\x9f"]
            )
        ).map(
            lambda parts: b"".join(
                part.encode() if isinstance(part, str) else part for part in parts
            )
        ),
        places=strategies.lists(strategies.integers(0, 1000)),
    )
    @example("strict", b"aaaaaaaa\xffa\na", [9, 10])
    def test_anyChunks(self, errors: str, data: bytes, places: list[int]) -> None:
        """
        The same bytes in any pieces get the same answer as by the plain
        definition, under each error handler, in lines that are long and short.
        """
        answer = converse(Short(errors), *cutAt(data, places))
        self.assertEqual(answer, answerTo(data, errors, ShortLines.MAX_LENGTH))

    @given(
        errors=strategies.sampled_from(HANDLERS),
        data=strategies.binary(max_size=100),
        places=strategies.lists(strategies.integers(0, 1000)),
    )
    def test_anyBytes(self, errors: str, data: bytes, places: list[int]) -> None:
        """
        So do random bytes in random pieces.
        """
        answer = converse(UpperFactory(errors), *cutAt(data, places))
        self.assertEqual(answer, answerTo(data, errors))


class NetworkTestCase(SynchronousTestCase):
    """
    What tests on a network in memory share.
    """

    def setUp(self) -> None:
        """
        Set up a network.
        """
        self.network = MemoryNetwork()
        self.patch(unsentbytes, "fcntl", self.network)

    def tearDown(self) -> None:
        """
        Nothing was logged that is not expected, and a connection that is closed
        has left nothing behind.
        """
        self.assertEqual(self.flushLoggedErrors(), [])
        if all(client.socket.closed for client in self.network.clients):
            self.assertEqual(self.network.getDelayedCalls(), [])
            self.assertEqual(self.network.readers | self.network.writers, set())

    def say(self, client: Client, data: bytes) -> bytes:
        """
        Let a client say something, and give what it is answered at once.
        """
        client.send(data)
        self.network.iterateUntilIdle()
        return client.receive()


class FlushTests(NetworkTestCase):
    """
    Whoever goes quiet is answered: rule 4.
    """

    def setUp(self) -> None:
        """
        Connect a client that is answered after a second.
        """
        super().setUp()
        self.client = self.connect()

    def connect(self, **settings: Any) -> Client:
        """
        Connect a client that is answered after a second.
        """
        settings = {"flushAfter": 1.0, "clock": self.network, **settings}
        return self.network.connect(UpperFactory(**settings))

    def quiet(self) -> bytes:
        """
        Let a second pass, and give what comes at its end, and not before.
        """
        self.network.wait(0.75)
        self.assertEqual(self.client.receive(), b"")
        self.network.wait(0.25)
        return self.client.receive()

    def test_quiet(self) -> None:
        """
        What waits is answered when nothing has come for so long; once.
        """
        self.assertEqual(self.say(self.client, b"abc"), b"")
        self.assertEqual(self.quiet(), b"ABC")
        self.assertEqual(self.quiet(), b"")
        self.assertEqual(self.say(self.client, b"\n"), b"\n")

    def test_nothingWaits(self) -> None:
        """
        There is no timer when nothing waits.
        """
        self.assertEqual(self.say(self.client, b"abc\n"), b"ABC\n")
        self.assertEqual(self.network.getDelayedCalls(), [])
        self.say(self.client, b"abc")
        self.assertEqual(len(self.network.getDelayedCalls()), 1)
        self.quiet()
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_lineEndFirst(self) -> None:
        """
        If the line end comes first, the line is answered once.
        """
        self.say(self.client, b"abc")
        self.network.wait(0.5)
        self.assertEqual(self.say(self.client, b"d\n"), b"ABCD\n")
        self.network.wait(2)
        self.assertEqual(self.client.receive(), b"")
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_stream(self) -> None:
        """
        The time runs from the last data. One that goes on sending is answered
        by rule 3 alone, until it goes quiet.
        """
        for _ in range(5):
            self.assertEqual(self.say(self.client, b"abc"), b"")
            self.network.wait(0.75)
            self.assertEqual(self.client.receive(), b"")
            self.assertEqual(len(self.network.getDelayedCalls()), 1)
        self.network.wait(0.25)
        self.assertEqual(self.client.receive(), b"ABC" * 5)

    def test_newTextAfterALine(self) -> None:
        """
        The time of a new text does not run from that of the line before it.
        """
        self.say(self.client, b"abc")
        self.network.wait(0.5)
        self.assertEqual(self.say(self.client, b"\ndef"), b"ABC\n")
        self.assertEqual(self.quiet(), b"DEF")

    def test_incompleteCharacter(self) -> None:
        """
        A character that is incomplete waits on, and what is before it does not.
        """
        for character in ("ä", "€", "😀"):
            for cut in range(1, len(character.encode())):
                data = ("a" + character).encode()
                self.say(self.client, data[: 1 + cut])
                self.assertEqual(self.quiet(), b"A")
                self.network.wait(10)
                self.assertEqual(self.say(self.client, data[1 + cut :]), b"")
                self.assertEqual(self.quiet(), character.upper().encode())

    def test_incompleteCharacterAlone(self) -> None:
        """
        If there is nothing else, nothing is answered, until its line end shows
        that it is invalid.
        """
        self.say(self.client, b"\xe2\x82")
        self.assertEqual(self.quiet(), b"")
        self.assertEqual(
            self.say(self.client, b"\n"), b"error: invalid UTF-8 at byte 1\n"
        )

    def test_errorInABegunLine(self) -> None:
        """
        Where a part of the line has been answered, the error begins on a line
        of its own, below what is valid before it.
        """
        self.say(self.client, b"ab")
        self.assertEqual(self.quiet(), b"AB")
        self.assertEqual(
            self.say(self.client, b"cd\xff\ne\n"),
            b"CD\nerror: invalid UTF-8 at byte 5\nE\n",
        )
        # The next line has not begun.
        self.assertEqual(
            self.say(self.client, b"\xff\n"), b"error: invalid UTF-8 at byte 1\n"
        )

    def test_begunLines(self) -> None:
        """
        Bytes are counted from the beginning of the line, over all its parts.
        """
        for part in (b"ab", b"c", b"d\xe2\x82"):
            self.say(self.client, part)
            self.quiet()
        self.client.finish()
        self.network.iterateUntilIdle()
        self.assertEqual(self.client.receive(), b"\nerror: invalid UTF-8 at byte 5\n")

    def test_errorWhenQuiet(self) -> None:
        """
        What is invalid is answered by its error when the client goes quiet, and
        quiet ends its line as a line end would.
        """
        self.say(self.client, b"a\xffb")
        self.assertEqual(self.quiet(), b"error: invalid UTF-8 at byte 2\n")
        self.assertEqual(
            self.say(self.client, b"c\xff\n"), b"error: invalid UTF-8 at byte 2\n"
        )

    def test_restOfABrokenLine(self) -> None:
        """
        The rest of a line that an error has answered is thrown away, up to its
        line end, or until the client goes quiet.
        """
        error = b"error: invalid UTF-8 at byte 1\n"
        self.assertEqual(self.say(self.client, b"\xff" + b"a" * 20000), error)
        self.network.wait(0.75)
        self.assertEqual(self.say(self.client, b"a" * 20000), b"")
        self.assertEqual(self.say(self.client, b"a\nb\nc"), b"B\n")
        self.assertEqual(self.quiet(), b"C")
        self.assertEqual(self.say(self.client, b"\n\xff" + b"a" * 20000), b"\n" + error)
        self.assertEqual(self.quiet(), b"")
        self.assertEqual(self.say(self.client, b"b\n"), b"B\n")

    def test_busyServer(self) -> None:
        """
        Nobody is taken for quiet because the server had no time to listen: what
        has come meanwhile counts.
        """
        self.say(self.client, b"ab")
        self.client.send(b"c\xff\n")
        self.network.rightNow += 2
        self.network.iterateUntilIdle()
        self.assertEqual(self.client.receive(), b"error: invalid UTF-8 at byte 4\n")

    def test_pausedWhileSkipping(self) -> None:
        """
        Nor is anybody to whom the server does not listen: the rest of a broken
        line is thrown away up to its end, however long the pause.
        """
        error = b"error: invalid UTF-8 at byte 1\n"
        self.assertEqual(self.say(self.client, b"\xff" + b"a" * 20000), error)
        self.client.protocol.pauseProducing()
        self.client.send(b"a\nb\n")
        self.network.wait(5)
        self.client.protocol.resumeProducing()
        self.network.iterateUntilIdle()
        self.assertEqual(self.client.receive(), b"B\n")

    def test_never(self) -> None:
        """
        Without a time, nothing is answered before its line end; there is no
        timer.
        """
        client = self.connect(flushAfter=None)
        self.assertEqual(self.say(client, b"abc"), b"")
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_paused(self) -> None:
        """
        While the client does not take its answers, what waits is not answered;
        it is after that.
        """
        # TLS hands on what it has decrypted although the protocol is paused.
        self.client.protocol.pauseProducing()
        self.client.protocol.dataReceived(b"abc")
        self.network.wait(5)
        self.assertEqual(self.client.receive(), b"")
        self.client.protocol.resumeProducing()
        self.assertEqual(self.quiet(), b"ABC")

    def test_slowReader(self) -> None:
        """
        What moves towards the client does not put off the answer.
        """
        client = self.connect(idleTimeout=1.0)
        self.assertEqual(len(self.say(client, b"a" * 99 + b"\nb")), 100)
        client.protocol.transport.write(b"c" * 100)
        self.network.wait(0.5)
        client.receive(10)
        self.network.wait(0.5)
        self.assertEqual(client.receive(), b"c" * 90 + b"B")

    def test_closed(self) -> None:
        """
        When the connection is lost, so is the timer.
        """
        self.say(self.client, b"abc")
        self.client.socket.reset()
        self.network.iterateUntilIdle()
        self.assertEqual(self.network.getDelayedCalls(), [])


class PressureTests(NetworkTestCase):
    """
    A client that does not take its answers is not read.
    """

    def test_notReading(self) -> None:
        """
        A client that sends and never reads costs what its transport may hold
        and no more.
        """
        client = self.network.connect(UpperFactory(), window=1000)
        client.send(b"a" * 999 + b"\n" + b"b\n" * 1_000_000)
        self.network.iterateUntilIdle()
        unread = len(client.socket.inbound)
        self.assertGreater(unread, len(client.sent) - 3 * READ)
        self.assertLess(client.protocol.unsentBytes(), 3 * READ)
        self.network.iterateUntilIdle()
        self.assertEqual(len(client.socket.inbound), unread)

    def test_readsAgain(self) -> None:
        """
        When it reads again, it gets everything.
        """
        client = self.network.connect(UpperFactory(), window=1000)
        client.send("ΐ\n".encode() * 100_000)
        self.network.iterateUntilIdle()
        while client.receive(10_000):
            self.network.iterateUntilIdle()
        self.assertTrue(client.received == client.sent.decode().upper().encode())

    def test_paused(self) -> None:
        """
        What is handed on during a pause is answered after it, in order.
        """
        client = self.network.connect(UpperFactory())
        client.protocol.pauseProducing()
        for data in (b"a\nb", b"c\n", b"d"):
            client.protocol.dataReceived(data)
        self.assertEqual(client.receive(), b"")
        client.protocol.resumeProducing()
        self.network.iterateUntilIdle()
        self.assertEqual(client.receive(), b"A\nBC\n")
        self.assertEqual(self.say(client, b"e\n"), b"DE\n")

    def test_pauseWhileSkipping(self) -> None:
        """
        So is what follows a broken line.
        """
        client = self.network.connect(UpperFactory())
        self.say(client, b"\xff" + b"a" * 20000)
        client.protocol.pauseProducing()
        client.protocol.dataReceived(b"a" * 20000 + b"\nb\n")
        client.protocol.resumeProducing()
        self.network.iterateUntilIdle()
        self.assertEqual(client.receive(), b"B\n")

    def test_duplex(self) -> None:
        """
        Sending and reading at once in any proportion loses nothing.
        """
        random = Random(5000)
        client = self.network.connect(UpperFactory(), window=3000)
        for _ in range(300):
            client.send(b"ab\n" * random.randrange(3000))
            self.network.iterateUntilIdle()
            client.receive(random.randrange(9000))
            self.network.iterateUntilIdle()
        while client.receive():
            self.network.iterateUntilIdle()
        self.assertTrue(client.received == client.sent.upper())


class HalfCloseTests(NetworkTestCase):
    """
    Whatever the state in which the client's side ends, all is answered and
    delivered, and the connection closes.
    """

    def finish(self, client: Client) -> bytes:
        """
        End a client's side, and read to the end.
        """
        client.finish()
        self.network.iterateUntilIdle()
        data = b""
        while chunk := client.receive(1000):
            data += chunk
            self.network.iterateUntilIdle()
        self.assertTrue(client.ended)
        self.assertTrue(client.socket.closed)
        self.assertFalse(client.socket.cut)
        self.assertEqual(client.protocol.factory.connections, {})
        self.assertEqual(client.protocol.undeliveredBytes, 0)
        return data

    def test_atOnce(self) -> None:
        """
        Text and end in one go.
        """
        for data in (b"", b"abc", b"abc\n", b"a\nb\nc", b"\n", b"a" * 100_000):
            client = self.network.connect(UpperFactory())
            client.send(data)
            self.assertEqual(self.finish(client), data.upper())

    def test_betweenLines(self) -> None:
        """
        After a whole line.
        """
        client = self.network.connect(UpperFactory())
        self.assertEqual(self.say(client, b"abc\n"), b"ABC\n")
        self.assertEqual(self.finish(client), b"")

    def test_midLine(self) -> None:
        """
        Within a line.
        """
        client = self.network.connect(UpperFactory())
        self.assertEqual(self.say(client, b"abc"), b"")
        self.assertEqual(self.finish(client), b"ABC")

    def test_midCharacter(self) -> None:
        """
        Within a character.
        """
        for errors, answer in {
            "strict": b"error: invalid UTF-8 at byte 2\n",
            "replace": "A\ufffd".encode(),
            "surrogateescape": b"A\xe2\x82",
        }.items():
            client = self.network.connect(UpperFactory(errors))
            self.assertEqual(self.say(client, b"a\xe2\x82"), b"")
            self.assertEqual(self.finish(client), answer)

    def test_midLongLine(self) -> None:
        """
        Within a line of which a part has been answered.
        """
        client = self.network.connect(UpperFactory())
        self.assertEqual(self.say(client, b"a" * 20000), b"A" * 20000)
        self.say(client, b"b\xc3")
        self.assertEqual(
            self.finish(client), b"B\nerror: invalid UTF-8 at byte 20002\n"
        )

    def test_skipping(self) -> None:
        """
        Within the rest of a broken line.
        """
        client = self.network.connect(UpperFactory())
        self.say(client, b"\xff" + b"a" * 20000)
        self.assertEqual(self.finish(client), b"")

    def test_paused(self) -> None:
        """
        While the client does not read, with all kinds of data waiting.
        """
        client = self.network.connect(UpperFactory(), window=1000)
        data = b"a\n" * 500_000 + b"bc"
        client.send(data)
        self.assertTrue(self.finish(client) == data.upper())

    def test_pausedByTheProtocol(self) -> None:
        """
        With data that was handed on during a pause.
        """
        client = self.network.connect(UpperFactory())
        client.protocol.pauseProducing()
        client.protocol.dataReceived(b"a\nb\xff\nc")
        client.transport.startReading()
        self.assertEqual(self.finish(client), b"A\nerror: invalid UTF-8 at byte 2\nC")

    def test_pausedWhileSkipping(self) -> None:
        """
        With the rest of a broken line and more handed on during a pause.
        """
        client = self.network.connect(UpperFactory())
        self.say(client, b"\xff" + b"a" * 20000)
        client.protocol.pauseProducing()
        client.protocol.dataReceived(b"a\nb")
        client.transport.startReading()
        self.assertEqual(self.finish(client), b"B")

    def test_timer(self) -> None:
        """
        While a timer waits for the client to go quiet.
        """
        client = self.network.connect(UpperFactory(flushAfter=1, clock=self.network))
        self.say(client, b"abc")
        self.assertEqual(self.finish(client), b"ABC")
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_unsent(self) -> None:
        """
        While answers are unsent, and the client reads them much later.
        """
        client = self.network.connect(UpperFactory(clock=self.network), window=10)
        client.send(b"abcdefgh\n" * 100)
        client.finish()
        self.network.wait(1000)
        self.assertEqual(self.finish(client), b"ABCDEFGH\n" * 100)

    def test_reset(self) -> None:
        """
        If the client is gone after all, what it missed is counted.
        """
        client = self.network.connect(UpperFactory(), window=10)
        client.send(b"abcdefgh\n" * 100)
        client.finish()
        self.network.iterateUntilIdle()
        client.socket.reset()
        self.network.iterateUntilIdle()
        self.assertTrue(client.socket.closed)
        self.assertEqual(client.protocol.undeliveredBytes, 890)

    def test_writeConnectionLost(self) -> None:
        """
        That our side has ended is no news to us.
        """
        conversation, transport = connect(UpperFactory())
        conversation.writeConnectionLost()
        self.assertFalse(transport.disconnecting)


class FinishTests(NetworkTestCase):
    """
    Tests for L{UpperProtocol.finish}, and for what follows.
    """

    def connect(self, window: int = 65536) -> Client:
        """
        Connect a client.
        """
        return self.network.connect(UpperFactory(clock=self.network), window)

    def finish(self, client: Client, *arguments: Any, **keywords: Any) -> bytes:
        """
        Finish, and give what the client receives.
        """
        client.protocol.finish("the reason", *arguments, **keywords)
        self.network.iterateUntilIdle()
        return client.receive()

    def test_ends(self) -> None:
        """
        Our side ends, with nothing said; the connection closes when the client
        ends its own.
        """
        client = self.connect()
        self.assertEqual(self.finish(client), b"")
        self.assertTrue(client.ended)
        self.assertFalse(client.socket.closed)
        client.finish()
        self.network.iterateUntilIdle()
        self.assertTrue(client.socket.closed)
        self.assertFalse(client.socket.cut)
        self.assertEqual(client.protocol.closingReason, "the reason")

    def test_error(self) -> None:
        """
        The client is told what is wrong.
        """
        self.assertEqual(self.finish(self.connect(), "bad day"), b"error: bad day\n")

    def test_waitingLine(self) -> None:
        """
        What waits is answered; an error begins on a line of its own below.
        """
        for error, answer in {"": b"AB", "bad day": b"AB\nerror: bad day\n"}.items():
            client = self.connect()
            self.say(client, b"ab")
            self.assertEqual(self.finish(client, error), answer)

    def test_waitingBrokenLine(self) -> None:
        """
        If that is an error, there is no empty line between the two.
        """
        client = self.connect()
        self.say(client, b"ab\xe2")
        self.assertEqual(
            self.finish(client, "bad day"),
            b"error: invalid UTF-8 at byte 3\nerror: bad day\n",
        )

    def test_midway(self) -> None:
        """
        Midway, an unfinished line is not answered.
        """
        for error, answer in {"": b"", "bad day": b"error: bad day\n"}.items():
            client = self.connect()
            self.assertEqual(self.say(client, b"ab\ncd"), b"AB\n")
            self.assertEqual(self.finish(client, error, discardPartial=True), answer)

    def test_begunLine(self) -> None:
        """
        Where a part of it has been, an error begins on a line of its own.
        """
        for discardPartial, answer in {True: b"", False: b"B"}.items():
            client = self.connect()
            self.say(client, b"a" * 20000)
            self.say(client, b"b")
            self.assertEqual(
                self.finish(client, "bad day", discardPartial=discardPartial),
                answer + b"\nerror: bad day\n",
            )

    def test_begunLineAlone(self) -> None:
        """
        So does it where nothing more of that line waits.
        """
        client = self.connect()
        self.say(client, b"a" * 20000)
        self.assertEqual(self.finish(client, "bad day"), b"\nerror: bad day\n")

    def test_paused(self) -> None:
        """
        What came during a pause is answered first.
        """
        client = self.connect()
        client.protocol.pauseProducing()
        client.protocol.dataReceived(b"a\nb")
        self.assertEqual(self.finish(client), b"A\nB")

    def test_notReading(self) -> None:
        """
        A client that takes its answers late gets them all, and the end.
        """
        client = self.connect(window=10)
        client.send(b"abcdefgh\n" * 10)
        self.network.iterateUntilIdle()
        answer = self.finish(client, "bad day")
        for _ in range(20):
            self.network.wait(LINGER_TIMEOUT / 40)
            answer += client.receive()
        self.assertEqual(answer, b"ABCDEFGH\n" * 10 + b"error: bad day\n")
        self.assertTrue(client.ended)

    def test_inputIsThrownAway(self) -> None:
        """
        What the client sends after the end is read and thrown away: left
        unread, it would destroy what is on its way to the client.
        """
        client = self.connect()
        client.protocol.finish("the reason", "bad day")
        for data in (b"a\n", b"\xff\n", b"b" * 100_000):
            client.send(data)
            self.network.iterateUntilIdle()
        self.assertEqual(client.receive(), b"error: bad day\n")
        self.assertEqual(client.socket.inbound, b"")
        client.finish()
        self.network.iterateUntilIdle()
        self.assertTrue(client.ended)
        self.assertTrue(client.socket.closed)
        self.assertEqual(client.protocol.receivedBytes, 100_004)
        self.assertEqual(client.protocol.answeredBytes, len(client.received))
        self.assertEqual(client.protocol.clearLineBuffer(), b"")

    def test_inputOfAPauseIsThrownAway(self) -> None:
        """
        So it is if nothing was read before the end, because the client did not
        take its answers.
        """
        client = self.connect()
        client.protocol.pauseProducing()
        self.finish(client)
        client.send(b"a\n")
        self.network.iterateUntilIdle()
        self.assertEqual(client.socket.inbound, b"")

    def test_timer(self) -> None:
        """
        Nothing else is waited for than the client's end.
        """
        factory = UpperFactory(flushAfter=1.0, clock=self.network)
        client = self.network.connect(factory)
        self.say(client, b"a")
        self.assertEqual(self.finish(client), b"A")
        self.assertEqual(len(self.network.getDelayedCalls()), 1)

    def test_lingers(self) -> None:
        """
        A client that does not end its side is closed after L{LINGER_TIMEOUT} seconds.
        """
        client = self.connect()
        self.finish(client, "bad day")
        self.network.wait(LINGER_TIMEOUT - 0.125)
        self.assertFalse(client.socket.closed)
        self.network.wait(0.125)
        self.assertTrue(client.socket.closed)
        self.assertFalse(client.socket.cut)
        self.assertEqual(client.protocol.undeliveredBytes, 0)

    def test_lingersInVain(self) -> None:
        """
        One that does not even read is cut off then.
        """
        client = self.connect(window=10)
        client.protocol.finish("the reason", "bad day")
        self.network.wait(LINGER_TIMEOUT - 0.125)
        self.assertFalse(client.socket.closed)
        self.network.wait(0.125)
        self.assertTrue(client.socket.cut)
        self.assertTrue(client.socket.closed)
        self.assertEqual(client.protocol.undeliveredBytes, len(b"error: bad day\n"))

    def test_reset(self) -> None:
        """
        One that is gone takes the timer with it.
        """
        client = self.connect()
        self.finish(client)
        client.socket.reset()
        self.network.iterateUntilIdle()
        self.assertTrue(client.socket.closed)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_whileSkipping(self) -> None:
        """
        The rest of a broken line is no reason to say more.
        """
        client = self.connect()
        self.say(client, b"\xff" + b"a" * 20000)
        self.assertEqual(self.finish(client, "bad day"), b"error: bad day\n")
        self.assertEqual(self.say(client, b"a\nb\n"), b"")

    def test_noHalfClose(self) -> None:
        """
        A transport that cannot end one side alone is closed.
        """
        conversation, transport = connect(UpperFactory())
        conversation.dataReceived(b"a\nb")
        conversation.finish("the reason", "bad day")
        self.assertEqual(transport.value(), b"A\nB\nerror: bad day\n")
        self.assertTrue(transport.disconnecting)


class AccountTests(NetworkTestCase):
    """
    What a protocol knows of its connection.
    """

    def test_bytes(self) -> None:
        """
        Each byte is counted once, both ways.
        """
        client = self.network.connect(UpperFactory())
        client.send("straße\n".encode() * 3 + b"\xff" + b"a" * 20000)
        client.finish()
        self.network.iterateUntilIdle()
        client.receive()
        self.assertEqual(client.protocol.receivedBytes, len(client.sent))
        self.assertEqual(client.protocol.answeredBytes, len(client.received))

    def test_bytesAfterABrokenLine(self) -> None:
        """
        What follows a broken line in its last chunk is counted once, too.
        """
        client = self.network.connect(UpperFactory())
        self.say(client, b"\xff" + b"a" * 20000)
        self.say(client, b"a" * 20000 + b"\nbcd\n")
        self.assertEqual(client.protocol.receivedBytes, len(client.sent))
        self.assertEqual(client.protocol.answeredBytes, len(client.received))

    def test_bytesOfAPause(self) -> None:
        """
        So is what came during a pause.
        """
        client = self.network.connect(UpperFactory())
        client.protocol.pauseProducing()
        client.protocol.dataReceived(b"abc\n")
        client.protocol.resumeProducing()
        self.assertEqual(client.protocol.receivedBytes, 4)

    def test_aborted(self) -> None:
        """
        Answers that wait for the end of the turn are undelivered when the
        connection is aborted, as are those in the kernel.
        """
        client = self.network.connect(UpperFactory(clock=self.network))
        client.protocol.dataReceived(b"abc\n")
        client.protocol.abort("the reason")
        self.network.iterateUntilIdle()
        self.assertEqual(client.protocol.undeliveredBytes, 4)

    def test_lostBeforeTheEndOfTheTurn(self) -> None:
        """
        They are when the client cuts it, too.
        """
        client = self.network.connect(UpperFactory(clock=self.network))
        client.protocol.dataReceived(b"abc\n")
        client.transport.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(client.protocol.undeliveredBytes, 4)
        self.network.iterateUntilIdle()

    def test_abortedAfterTheEnd(self) -> None:
        """
        What ended the conversation first is what ended it.
        """
        client = self.network.connect(UpperFactory(clock=self.network))
        client.protocol.finish("the reason")
        client.protocol.abort("another")
        self.network.iterateUntilIdle()
        self.assertEqual(client.protocol.closingReason, "the reason")

    def test_why(self) -> None:
        """
        What ended the connection is known, as is what could not be delivered.
        """
        reasons: list[tuple[str, int]] = []

        class Factory(UpperFactory):
            def connectionClosed(
                self, connection: IServedConnection, reason: str
            ) -> None:
                reasons.append((reason, connection.undeliveredBytes))
                super().connectionClosed(connection, reason)

        client = self.network.connect(Factory(), window=2)
        self.say(client, b"abc\n")
        client.finish()
        self.network.iterateUntilIdle()
        client.receive()
        self.network.iterateUntilIdle()
        client = self.network.connect(Factory(), window=2)
        self.say(client, b"abc\n")
        client.socket.reset()
        self.network.iterateUntilIdle()
        client = self.network.connect(Factory(), window=2)
        client.send(b"abc\n")
        self.network.iterateUntilIdle()
        client.protocol.abort("the reason")
        self.network.iterateUntilIdle()
        self.assertTrue(client.socket.cut)
        conversation, _ = connect(Factory())
        conversation.connectionLost()
        conversation, _ = connect(Factory())
        conversation.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(
            reasons,
            [
                ("closed by the client", 0),
                ("cut off", 2),
                ("the reason", 4),
                ("closed by the client", 0),
                ("cut off", 0),
            ],
        )


class FaultTests(NetworkTestCase):
    """
    A fault of ours ends the connection that meets it, and no other, and is
    logged once.
    """

    def setUp(self) -> None:
        """
        Connect two clients to a service that cannot say C{boom}.
        """
        super().setUp()
        self.patch(rules, "upper", self.upper)
        self.factory = UpperFactory(flushAfter=1, clock=self.network)
        self.client = self.network.connect(self.factory)
        self.other = self.network.connect(self.factory)

    def upper(self, data: bytes, errors: str = "strict") -> bytes:
        """
        Fail, for some text.
        """
        if b"boom" in data:
            raise RuntimeError("a fault")
        return data.upper()

    def check(self) -> None:
        """
        One connection has ended, with one record; the other one is served.
        """
        self.network.iterateUntilIdle()
        [failure] = self.flushLoggedErrors(RuntimeError)
        self.assertEqual(failure.getErrorMessage(), "a fault")
        self.assertTrue(self.client.socket.closed)
        self.assertEqual(list(self.factory.connections), [self.other.protocol])
        self.assertEqual(self.say(self.other, b"abc\n"), b"ABC\n")
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_dataReceived(self) -> None:
        """
        When a line comes.
        """
        self.client.send(b"boom\n")
        self.check()

    def test_whenQuiet(self) -> None:
        """
        When the client goes quiet.
        """
        self.client.send(b"boom")
        self.network.wait(1)
        self.check()

    def test_readConnectionLost(self) -> None:
        """
        When the client ends.
        """
        self.client.send(b"boom")
        self.client.finish()
        self.check()

    def test_resumeProducing(self) -> None:
        """
        When the client takes its answers again.
        """
        self.client.socket.window = 0
        self.client.send(b"a" * 2 * READ + b"\n")
        self.network.iterateUntilIdle()
        self.assertTrue(self.client.protocol.paused)
        self.client.protocol.dataReceived(b"boom\n")
        self.client.socket.window = 1_000_000
        self.check()

    def test_finish(self) -> None:
        """
        When the service ends the conversation.
        """
        self.client.send(b"boom")
        self.network.iterateUntilIdle()
        self.client.protocol.finish("the reason")
        self.check()
