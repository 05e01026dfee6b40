"""
What the service answers, defined once more, as plainly as can be.
"""

from __future__ import annotations

from upperproto.protocol import UpperProtocol


def answerTo(
    data: bytes, errors: str = "strict", maxLength: int = UpperProtocol.MAX_LENGTH
) -> bytes:
    """
    Answer a whole conversation, if nobody goes quiet in it: rules 1, 2, 3, 5, 6
    and 7 of C{docs/protocol.rst}, without chunk, buffer or time.

    @param data: all that the client says.
    @param errors: what becomes of invalid UTF-8.
    @param maxLength: how many bytes of a line must be known to be valid before
        its answer begins.
    @return: all that it is answered.
    """
    *lines, rest = data.split(b"\n")
    answers = [_answerLine(line, errors, maxLength, b"\n") for line in lines]
    if rest:
        answers.append(_answerLine(rest, errors, maxLength, b""))
    return b"".join(answers)


def _answerLine(line: bytes, errors: str, maxLength: int, end: bytes) -> bytes:
    try:
        return line.decode("utf-8", errors).upper().encode("utf-8", errors) + end
    except UnicodeDecodeError as error:
        answer = b"error: invalid UTF-8 at byte %d\n" % (error.start + 1)
        if error.start > maxLength:
            valid = line[: error.start].decode().upper().encode()
            answer = valid + b"\n" + answer
        return answer
