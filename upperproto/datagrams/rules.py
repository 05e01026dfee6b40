"""
The two rules of datagrams: see C{docs/protocol.rst}.
"""

from __future__ import annotations

from upperproto.uppercase import upper


def answerDatagram(text: bytes) -> tuple[bytes, str]:
    """
    Answer a datagram, by two rules that make that safe: only what upper case changes is
    answered, so that two servers never keep each other busy; and never with more bytes
    than came, so that nobody can use the service to multiply what he sends to others.

    @param text: what came.
    @return: the answer, and C{answered}; or nothing, and why: C{invalid} (no UTF-8),
        C{unchanged} or C{longer}.
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
