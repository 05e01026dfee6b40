"""
The two rules of datagrams: see C{docs/protocol.rst}.
"""

from __future__ import annotations

from upperproto.uppercase import upper


def answerDatagram(text: bytes) -> tuple[bytes, str]:
    """
    Answer a datagram by two rules. A text that is in upper case already gets no answer,
    because two servers could send it to each other without end. An answer that is
    longer than its text is not sent, because a datagram may have a false sender
    address: the service could be used to flood the owner of that address.

    @param text: the text of the datagram.
    @return: the answer and C{answered}; or an empty answer and the reason: C{invalid}
        (not UTF-8), C{unchanged} or C{longer}.
    """
    try:
        answer = upper(text)
    except UnicodeDecodeError:
        return b"", "invalid"
    if answer == text:
        return b"", "unchanged"
    if len(answer) > len(text):
        return b"", "longer"
    return answer, "answered"
