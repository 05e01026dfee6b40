"""
Check each byte of the answers.
"""

from __future__ import annotations

from codecs import getincrementaldecoder

from upperproto.answercheck import mayDiffer
from upperproto.uppercase import splitComplete

# The length of a character by the upper half of its first byte. All other bytes count
# as characters of one byte.
_LENGTHS = {0xC: 2, 0xD: 2, 0xE: 3, 0xF: 4}


class Verifier:
    """
    Compare the answers with the upper case of the text. It keeps the text that has no
    answer yet.

    @ivar offset: how many bytes of the answers are right.
    """

    def __init__(self) -> None:
        """
        Begin with nothing sent.
        """
        self.offset = 0
        self._decoder = getincrementaldecoder("utf-8")("surrogateescape")
        self._incomplete = False
        self._expected = bytearray()
        # The last bytes that came, if they are an incomplete character.
        self._answered = b""

    def ask(self, text: bytes, final: bool = False) -> None:
        """
        Keep the upper case of a chunk before it is sent.

        @param text: the chunk, cut anywhere.
        @param final: whether it is the last one.
        """
        if text.isascii() and not self._incomplete:
            self._expected += text.upper()
            return
        upper = self._decoder.decode(text, final).upper()
        self._expected += upper.encode("utf-8", "surrogateescape")
        self._incomplete = bool(self._decoder.getstate()[0])

    def answer(self, data: bytes) -> str:
        """
        Compare a chunk of answers.

        @param data: the chunk, cut anywhere.
        @return: what is wrong; empty if nothing is.
        """
        data, self._answered = splitComplete(self._answered + data)
        while data and not self._expected.startswith(data):
            same = self._common(data)
            # Go back to where the character begins.
            while same and data[same : same + 1] and data[same] & 0xC0 == 0x80:
                same -= 1
            ours, theirs = _character(self._expected, same), _character(data, same)
            if not ours or not _sameLetter(ours, theirs):
                return self._wrong(data)
            self.offset += same + len(theirs)
            del self._expected[: same + len(ours)]
            data = data[same + len(theirs) :]
        self.offset += len(data)
        del self._expected[: len(data)]
        return ""

    def end(self) -> str:
        """
        Compare what is left at the end.

        @return: what is wrong; empty if nothing is.
        """
        if not self._expected.startswith(self._answered):
            return self._wrong(self._answered)
        self.offset += len(self._answered)
        if len(self._expected) > len(self._answered):
            return f"the answers end after byte {self.offset}: more was asked"
        return ""

    def _common(self, data: bytes) -> int:
        """
        Count the bytes at the beginning that are the same.
        """
        pairs = zip(data, self._expected, strict=False)
        different = (n for n, (a, b) in enumerate(pairs) if a != b)
        return next(different, min(len(data), len(self._expected)))

    def _wrong(self, data: bytes) -> str:
        same = self._common(data)
        self.offset += same
        if same == len(self._expected):
            return f"the answers have more than was asked, from byte {self.offset + 1}"
        expected = bytes(self._expected[same : same + 16])
        came = bytes(data[same : same + 16])
        return (
            f"wrong answer at byte {self.offset + 1}:"
            f" {str(came)[1:]} came, not {str(expected)[1:]}"
        )


def _character(data: bytes | bytearray, start: int) -> bytes:
    """
    Get the character at an index; empty if it is not complete.
    """
    if start >= len(data):
        return b""
    size = _LENGTHS.get(data[start] >> 4, 1)
    character = bytes(data[start : start + size])
    return character if len(character) == size else b""


def _sameLetter(ours: bytes, theirs: bytes) -> bool:
    try:
        return mayDiffer(ours.decode(), theirs.decode())
    except UnicodeDecodeError:
        return False
