"""
Servers of other protocols, which are known by what they send first.
"""

from __future__ import annotations

# How to ask a server that speaks TLS.
ASK_WITH_TLS = "ask with --tls, or with --tls-ca FILE for a CA of your own"

# How an alert of TLS begins. It comes in plain bytes before there is a TLS session
# (RFC 8446, section 6).
TLS_ALERT = b"\x15\x03"

# The first bytes that servers of other kinds send.
_OTHER_SERVERS = [
    (b"HTTP/", "a web server"),
    (b"<!DOCTYPE", "a web server"),
    (b"<html", "a web server"),
    (b"SSH-", "an SSH server"),
    (b"220 ", "a mail or an FTP server"),
    (b"* OK", "an IMAP server"),
]


def otherServer(received: bytes) -> str:
    """
    Recognise a server of another kind.

    @param received: the first bytes that it sent.
    @return: what it seems to be; empty if it is no other kind.
    """
    if received.startswith(TLS_ALERT):
        return f"the server seems to speak TLS: {ASK_WITH_TLS}"
    for beginning, kind in _OTHER_SERVERS:
        if received.startswith(beginning):
            return f"the server there is {kind}, not an upper-case service"
    return ""
