"""
Tests for L{upperproto.datagrams.rules}.
"""

from __future__ import annotations

from unittest import TestCase

from hypothesis import example, given, strategies

from upperproto.datagrams.rules import answerDatagram


class AnswerDatagramTests(TestCase):
    """
    Tests for L{answerDatagram}.
    """

    @given(strategies.one_of(strategies.binary(), strategies.text().map(str.encode)))
    @example("ßß".encode())
    @example("ΐ".encode())
    def test_rules(self, text: bytes) -> None:
        """
        Only what changes is answered, never with more bytes; and no answer is answered.
        """
        answer, outcome = answerDatagram(text)
        try:
            upper = text.decode().upper().encode()
        except UnicodeDecodeError:
            self.assertEqual((answer, outcome), (b"", "invalid"))
            return
        if upper == text:
            self.assertEqual((answer, outcome), (b"", "unchanged"))
        elif len(upper) > len(text):
            self.assertEqual((answer, outcome), (b"", "longer"))
        else:
            self.assertEqual((answer, outcome), (upper, "answered"))
            self.assertEqual(answerDatagram(answer), (b"", "unchanged"))
