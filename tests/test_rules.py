"""
Tests for L{upperproto.rules}: conversations without a network.
"""

from __future__ import annotations

from unittest import TestCase

from hypothesis import example, given, strategies

from tests.plain import answerTo
from upperproto.answercheck import NOTICE
from upperproto.rules import (
    Conversation,
    State,
    checkName,
    serverNotice,
)

HANDLERS = ("strict", "replace", "surrogateescape")


def converse(conversation: Conversation, chunks: list[bytes], limit: int) -> bytes:
    """
    Have chunks answered as a protocol does, and end.

    @param limit: how many bytes of an unfinished line wait.
    """
    answers, waiting = [], b""
    for chunk in chunks:
        rest: bytes | None = chunk
        if conversation.state is State.DISCARDING:
            rest = conversation.discard(chunk)
        if rest is None:
            continue
        block, end, waiting = (waiting + rest).rpartition(b"\n")
        if end:
            answers.append(conversation.lines(block + end))
        if len(waiting) > limit:
            answer, waiting = conversation.longLine(waiting)
            answers.append(answer)
    return b"".join([*answers, conversation.end(waiting)])


class ServerNoticeTests(TestCase):
    """
    Tests for L{checkName} and L{serverNotice}.
    """

    def test_words(self) -> None:
        """
        It says what is known, in one line.
        """
        for known, said in [
            (("a",), b"server: name=a\n"),
            (("a", "192.0.2.1:1"), b"server: name=a peer=192.0.2.1:1\n"),
            (("a", "unix", "1.2"), b"server: name=a peer=unix tls=1.2\n"),
            (("a", "", "1.3"), b"server: name=a tls=1.3\n"),
            (("a", "[fe80::1%\xfc]:1"), b"server: name=a peer=[fe80::1%\\xfc]:1\n"),
        ]:
            self.assertEqual(serverNotice(*known), said)

    @given(strategies.text(max_size=300))
    @example("a" * 255)
    @example("a" * 256)
    @example("")
    @example("a\n")
    def test_names(self, name: str) -> None:
        """
        A name that is allowed can be read from the notice, which is no answer; all
        visible ASCII is allowed, but for the one that divides keys from values.
        """
        visible = all("!" <= character <= "~" for character in name)
        try:
            checkName(name)
        except ValueError:
            self.assertTrue("=" in name or not visible or not 0 < len(name) < 256)
            return
        notice = serverNotice(name, "[::1]:1", "1.3")
        self.assertIsNotNone(NOTICE.match(notice))
        words = notice.decode().removesuffix("\n").split(" ")
        self.assertEqual(words, ["server:", f"name={name}", "peer=[::1]:1", "tls=1.3"])
        self.assertNotIn("=", name)


class ConversationTests(TestCase):
    """
    Tests for L{Conversation}.
    """

    def test_lines(self) -> None:
        """
        Whole lines are answered by their upper case, one by one where one of them is
        not UTF-8.
        """
        conversation = Conversation()
        self.assertEqual(conversation.lines("straße\n\n".encode()), b"STRASSE\n\n")
        self.assertEqual(
            conversation.lines(b"a\nb\xff\nc\n"),
            b"A\nerror: invalid UTF-8 at byte 2\nC\n",
        )
        self.assertEqual(conversation.invalidLines, 1)
        self.assertIs(conversation.state, State.ANSWERING)

    @given(
        strategies.lists(
            strategies.sampled_from(
                [
                    *(
                        b"",
                        b"a",
                        b"ab" * 4,
                        b"c" * 7,
                        b"stra\xc3\x9fe",
                        b"\xce\x90" * 9,
                    ),
                    *(b"\xff", b"\xc3", b"\xe2\x82", b"\xed\xa0\x80", b"\xed\xb2\x80"),
                    b"\n",
                ]
            )
        )
    )
    @example([b"c" * 7, b"\xff\n", b"c" * 8, b"\xff\n"])
    def test_linesWithErrors(self, pieces: list[bytes]) -> None:
        """
        Many lines are answered as they are one by one, with errors among them, and so
        is what was valid before an error.
        """
        block = b"".join([b"\n", *pieces, b"\n"])
        conversation = Conversation(partLength=12)
        answer = conversation.lines(block)
        self.assertEqual(answer, answerTo(block, maxLength=12))
        errors = sum(line.startswith(b"error: ") for line in answer.splitlines())
        self.assertEqual(conversation.invalidLines, errors)

    def test_quiet(self) -> None:
        """
        Quiet has complete characters answered, and the line goes on.
        """
        conversation = Conversation()
        self.assertEqual(conversation.quiet(b"a\xc3"), (b"A", b"\xc3"))
        self.assertEqual(conversation.quiet(b"\xc3"), (b"", b"\xc3"))
        self.assertEqual(conversation.lines(b"\xc3\x9f\n"), b"SS\n")

    def test_errorAfterQuiet(self) -> None:
        """
        The position of an error counts what quiet has had answered, and the error
        begins on a line of its own; the next line begins anew.
        """
        conversation = Conversation()
        conversation.quiet(b"ab")
        self.assertEqual(
            conversation.lines(b"c\xff\n\xff\n"),
            b"C\nerror: invalid UTF-8 at byte 4\nerror: invalid UTF-8 at byte 1\n",
        )

    def test_errorInQuiet(self) -> None:
        """
        An error that quiet brings ends its line.
        """
        conversation = Conversation()
        answer = b"error: invalid UTF-8 at byte 2\n"
        self.assertEqual(conversation.quiet(b"a\xffb"), (answer, b""))
        self.assertEqual(conversation.quiet(b"c"), (b"C", b""))

    def test_longLine(self) -> None:
        """
        A part of a long line is answered when more than enough complete characters are
        there; an incomplete one waits.
        """
        conversation = Conversation(partLength=4)
        self.assertEqual(conversation.longLine(b"abc\xe2\x82"), (b"", b"abc\xe2\x82"))
        self.assertEqual(conversation.longLine(b"abcde\xe2"), (b"ABCDE", b"\xe2"))
        self.assertEqual(
            conversation.lines(b"\xe2\x82\xac\xff\n"),
            "€\nerror: invalid UTF-8 at byte 9\n".encode(),
        )

    def test_discard(self) -> None:
        """
        When an error has answered a long line, its rest is thrown away: up to its line
        end, or until quiet.
        """
        conversation = Conversation(partLength=4)
        answer = b"error: invalid UTF-8 at byte 1\n"
        for _ in range(2):
            self.assertEqual(conversation.longLine(b"\xffabcd"), (answer, b""))
            self.assertIs(conversation.state, State.DISCARDING)
            self.assertIsNone(conversation.discard(b"efg"))
            self.assertEqual(conversation.discard(b"h\ni"), b"i")
            self.assertIs(conversation.state, State.ANSWERING)
        conversation.longLine(b"\xffabcd")
        self.assertEqual(conversation.quiet(b""), (b"", b""))
        self.assertEqual(conversation.lines(b"a\n"), b"A\n")

    def test_end(self) -> None:
        """
        The end has what is left answered, incomplete characters included; then nothing
        is answered any more.
        """
        conversation = Conversation()
        self.assertEqual(
            conversation.end(b"a\xe2\x82"), b"error: invalid UTF-8 at byte 2\n"
        )
        self.assertIs(conversation.state, State.ENDED)
        self.assertIsNone(conversation.discard(b"a\n"))
        self.assertEqual(Conversation().end(b""), b"")
        self.assertEqual(Conversation().end(b"ab"), b"AB")

    def test_lastError(self) -> None:
        """
        An error at the end is on a line of its own, after what was left.
        """
        for quiet, text, discard, answer in [
            (b"", b"", False, b"error: no\n"),
            (b"", b"a", False, b"A\nerror: no\n"),
            (b"", b"a", True, b"error: no\n"),
            (b"a", b"", False, b"\nerror: no\n"),
            (b"a", b"b", False, b"B\nerror: no\n"),
            (b"a", b"b", True, b"\nerror: no\n"),
            (b"", b"\xff", False, b"error: invalid UTF-8 at byte 1\nerror: no\n"),
        ]:
            conversation = Conversation()
            conversation.quiet(quiet)
            self.assertEqual(conversation.end(text, "no", discard), answer)

    @given(
        errors=strategies.sampled_from(HANDLERS),
        data=strategies.lists(
            strategies.sampled_from([b"a", b"\xff", b"\n", "ß".encode(), b"\xe2\x82"])
        ).map(b"".join),
        length=strategies.integers(1, 20),
    )
    @example(errors="strict", data=b"abcdefgh\xff\n", length=9)
    def test_anyChunks(self, errors: str, data: bytes, length: int) -> None:
        """
        The answer does not depend on how the text was cut.
        """
        chunks = [data[i : i + length] for i in range(0, len(data), length)]
        answer = converse(Conversation(errors, partLength=8), chunks, limit=8)
        self.assertEqual(answer, answerTo(data, errors, 8))
