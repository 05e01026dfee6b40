"""
Diagnoses of a path to a server: which fault was seen, what it means, and its usual
causes.
"""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ISSLTransport

from upperproto.client import TooLong, UpperError, WrongAnswer
from upperproto.command.errors import whyLost
from upperproto.command.otherprotocols import ASK_WITH_TLS, TLS_ALERT, otherServer

# The upper case of our texts begins with a number.
_OURS = re.compile(r"\d{1,4}:.+\Z")

# If so many characters of an answer are right, it is not by chance.
_SURE = 8

# What each fault means, and its usual causes.
_WORDS = {
    "no-host": (
        "From here, the name has no address.",
        "A typing error; a name that only the name servers of another network know; a"
        " name server that does not answer.",
    ),
    "refused": (
        "The machine can be reached, but nothing listens on this port.",
        "The server is not running; it listens only on another port or on another"
        " address, such as 127.0.0.1; a firewall that rejects.",
    ),
    "swallowed": (
        "Nothing came back, not even a refusal.",
        "A firewall that throws the packets away; a machine that is off or has another"
        " address; a server so busy that its queue of new connections is full.",
    ),
    "not-connected": (
        "The connection could not be made.",
        "See the reason of the system in the line above.",
    ),
    "some-addresses": (
        "Clients that try this address first have to wait, or fail.",
        "The server listens on one address family only; the name has an address that is"
        " no longer used. With -4 or -6, only one family is examined.",
    ),
    "gone": (
        "An earlier connection worked, and now nothing listens there: the server ends"
        " with its first connection, or it has crashed.",
        "A server from a first tutorial, which calls accept() only once; a server that"
        " crashes on what it was sent.",
    ),
    "tls": (
        "There is no TLS session, so nothing was sent.",
        "See the message above. A server without TLS; a certificate that is not"
        " trusted; a client certificate that the server does not accept.",
    ),
    "untrusted": (
        "The other side cannot show that it is the server, so nothing was sent.",
        "A CA of your own (--tls-ca FILE); a certificate that was not renewed, or comes"
        " without its intermediate certificates; somebody between you and the server.",
    ),
    "wrong-name": (
        "The certificate is trusted, but it is for another server.",
        "A name or an address that is not in the certificate (--tls-name NAME); a proxy"
        " that chose another server.",
    ),
    "speaks-tls": (
        f"The server expects TLS and does not understand plain text: {ASK_WITH_TLS}.",
        "A server or a proxy with a certificate on this port.",
    ),
    "other-server": (
        "Something else listens on this port.",
        "A wrong port; a proxy that is configured for another protocol.",
    ),
    "silent": (
        "The connection is open, and nothing came back.",
        "A server that hangs; one that waits for TLS"
        f" ({ASK_WITH_TLS}) or for a PROXY header (--proxy-header); a firewall that"
        " lets connections in, but not their text; a proxy whose server is down.",
    ),
    "unanswered": (
        "Nothing came back.",
        "A server without --udp; a firewall, an address translation or a balancer that"
        " lets no datagrams through, or none of this length; a path that loses some.",
    ),
    "unsteady-datagrams": (
        "Some datagrams do not arrive, arrive twice, or overtake others.",
        "A path with too much traffic; a radio link; several paths that are used in"
        " turn.",
    ),
    "too-long": (
        "The path does not carry a packet of this length in one piece.",
        "A tunnel or a link with a smaller MTU; the headers take 28 bytes of a packet,"
        " 48 with IPv6.",
    ),
    "half": (
        "The rest of the answer does not come.",
        "A server that hangs; a proxy that waits for more before it passes text on; a"
        " path that loses large packets.",
    ),
    "echo": (
        "The text came back as it was sent: no server has read it.",
        "A loop in the network, or an echo service on this port.",
    ),
    "foreign": (
        "This is the right answer to something else: connections are mixed up, or"
        " answers are repeated.",
        "A proxy that shares one connection between clients; a cache; a server that"
        " answers twice.",
    ),
    "order": (
        "The answers come in another order than the lines.",
        "A proxy that spreads the lines of one connection over several servers.",
    ),
    "torn": (
        "The beginning of an answer is right, and something else follows: bytes between"
        " them are missing.",
        "A proxy or a server that drops what it has no room for.",
    ),
    "ascii": (
        "Only the letters of ASCII have become upper case.",
        "A server that does not know Unicode, such as tr, or uses the locale C.",
    ),
    "wrong": (
        "What came back is not the upper case of what was sent.",
        "Another service on this port; something on the path that changes the text, for"
        " example its encoding.",
    ),
    "much": (
        "More came than was asked for.",
        "A server that answers twice, or sends a greeting; something on the path that"
        " adds to the text.",
    ),
    "error": (
        "The server itself sent this error.",
        "Its limits (--max-connections, --max-per-peer, --idle-timeout), or a text that"
        " something on the path has changed.",
    ),
    "closed": (
        "The other side ended the connection in order, without the answer.",
        "A proxy whose server is down; a server that lets in only some addresses, wants"
        f" a PROXY header (--proxy-header) or speaks TLS ({ASK_WITH_TLS}); one that is"
        " shutting down.",
    ),
    "cut": (
        "Something has reset the connection. Text that was on its way is lost.",
        "A firewall or a balancer; a server that crashed, wants a PROXY header"
        f" (--proxy-header) or speaks TLS ({ASK_WITH_TLS}).",
    ),
    "slow": (
        "The step did not end in time.",
        "A slow path or a busy server; an answer that comes in small pieces.",
    ),
    "halfclose-cut": (
        "A program on the path closes the whole connection when our side ends, and"
        " throws away the answers that are still on their way.",
        "A proxy that does not know half-closed connections (nginx without"
        " proxy_half_close on; many meshes and tunnels), or a server that drops what it"
        " has not sent.",
    ),
    "halfclose-open": (
        "Everything was answered, but the other side does not end after our side.",
        "A proxy that does not pass the end on; a server that does not notice it.",
    ),
    "slowreader-lost": (
        "Answers that had to wait for a slow reader were thrown away.",
        "A proxy or a server without back-pressure, which drops answers or closes the"
        " connection when its buffer is full, or takes a slow client for a dead one.",
    ),
    "idle-cut": (
        "Silence ends the connection.",
        "An idle limit: of the server (--idle-timeout), of a proxy (nginx's"
        " proxy_timeout, HAProxy's timeout client and server), or of a firewall.",
    ),
    "idle-dead": (
        "After the silence, nothing comes through, and no error is seen.",
        "A firewall or an address translation that has forgotten the connection.",
    ),
    "unsteady": (
        "Some connections work and others do not.",
        "A pool with a broken instance; a limit of connections; a proxy that has not"
        " noticed yet that a server is down.",
    ),
}


class Fault(Exception):
    """
    A fault of a path. The message says what was seen.

    @ivar code: its name, which never changes.
    @ivar meaning: what it means.
    @ivar cause: its usual causes.
    @ivar answer: the answer that is wrong; empty where no whole answer came.
    """

    def __init__(self, code: str, seen: str, answer: str = "") -> None:
        """
        @param code: a key of the table.
        @param seen: what was seen, in one line.
        @param answer: the answer that is wrong.
        """
        super().__init__(seen)
        self.code = code
        self.meaning, self.cause = _WORDS[code]
        self.answer = answer


def notAnswered(error: BaseException | None, client: Any) -> Fault:
    """
    Find the fault that made a request fail.

    @param error: the error of the request; L{None} if there was no answer in time.
    @param client: the L{upperproto.command.probe.recordingclient.ProbeClient} of the
        request.
    """
    if not client.beginning.startswith(TLS_ALERT):
        other = otherServer(client.beginning)
        if other:
            return Fault("other-server", f"{_shown(client.beginning)} came: {other}")
    elif not ISSLTransport.providedBy(client.transport):
        return Fault("speaks-tls", "a TLS alert came in place of the answer")
    if error is None:
        waiting = len(client.clearLineBuffer())
        if waiting:
            return Fault("half", f"only {waiting} bytes of the answer came in time")
        return Fault("silent", "no answer in time")
    if isinstance(error, WrongAnswer):
        return _wrong(error)
    if isinstance(error, UnicodeDecodeError):
        return Fault("wrong", f"{_shown(error.object)} came, which is not UTF-8")
    if isinstance(error, TooLong):
        return Fault("much", str(error))
    if isinstance(error, UpperError):
        return Fault("error", f"error: {error}")
    said = "an answer" if client.receivedBytes else "saying anything"
    if isinstance(error, ConnectionDone):
        return Fault("closed", f"the connection was closed without {said}")
    return Fault("cut", whyLost(error, client.transport).words)


def _wrong(error: WrongAnswer) -> Fault:
    """
    Find the kind of a wrong answer.
    """
    answer, expected = error.answer, error.text.upper()
    if answer == error.text:
        return Fault("echo", "the text itself came back")
    if error.index == len(answer):
        return Fault("half", str(error))
    if answer.startswith(expected):
        return Fault("much", str(error))
    if answer.encode() == error.text.encode().upper():
        return Fault("ascii", f"{_shown(answer)} came")
    if error.index >= _SURE:
        return Fault("torn", f"after {error.index} right characters, {error}")
    if _OURS.match(answer) and answer == answer.upper():
        seen = f"the answer to another text came: {_shown(answer)}"
        return Fault("foreign", seen, answer)
    return Fault("wrong", f"{_shown(answer)} came")


def _shown(what: str | bytes) -> str:
    """
    Show the beginning of a text, safe for a terminal.
    """
    shown = repr(what[:40]).removeprefix("b")
    return shown + ("…" if len(what) > 40 else "")
