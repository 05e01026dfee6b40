"""
What the log says of connections and of what is said on them.
"""

from __future__ import annotations

from time import time

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.logger import Logger, LogLevel


def peerName(address: IAddress) -> str:
    """
    Name a peer as people write it.

    @param address: where a connection comes from.
    @return: C{127.0.0.1:5000}, C{[::1]:5000}, or what kind of socket it is.
    """
    if isinstance(address, IPv4Address):
        return f"{address.host}:{address.port}"
    if isinstance(address, IPv6Address):
        return f"[{address.host}]:{address.port}"
    if isinstance(address, UNIXAddress):
        return "a UNIX socket"
    return str(address)


def escape(line: bytes) -> str:
    """
    Make a peer's words safe for a log and for the terminal that shows it.

    Each character that is not printable (L{str.isprintable}: control, format
    and separator characters, the bidirectional ones among them), each backslash
    and each byte that is not UTF-8 becomes a backslash escape, so that no peer
    can begin a record or drive a terminal.

    @param line: UTF-8, or not.
    @return: printable characters.
    """
    text = line.decode("utf-8", "surrogateescape")
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(
        character
        if character.isprintable() and character != "\\"
        else _escapeCharacter(character)
        for character in text
    )


def _escapeCharacter(character: str) -> str:
    # A byte that is not UTF-8 was decoded to a surrogate (PEP 383).
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


class ConnectionLog:
    """
    The log of one service's connections.

    @ivar lines: whether what is said is logged, too.
    """

    _log = Logger()

    def __init__(self, lines: bool = False) -> None:
        """
        @param lines: log each line and each answer, too.
        """
        self.lines = lines
        # Each look at the class's makes another one.
        self._logger = self._log
        self._fields = {
            "log_logger": self._logger,
            "log_level": LogLevel.info,
            "log_namespace": self._logger.namespace,
            "log_source": self,
        }

    def _info(self, text: str, **fields: object) -> None:
        """
        Log an event with the fields that C{Logger.info} gives it. That looks through
        all levels first, to see whether this is one: 2.4 us in place of 0.7.

        @param text: what happened, with the names of fields in braces.
        @param fields: what is known of it.
        """
        fields.update(self._fields, log_format=text, log_time=time())
        self._logger.observer(fields)

    def refused(self, peer: str, why: str) -> None:
        """
        Log that a connection was closed before a conversation began.

        @param peer: who.
        @param why: what was missing.
        """
        self._info("Connection from {peer} refused: {why}", peer=peer, why=why)

    def opened(self, peer: str) -> None:
        """
        Log that a connection has opened.

        @param peer: who.
        """
        self._info("Connection from {peer}", peer=peer)

    def truncated(self, peer: str) -> None:
        """
        Log that a client has ended its TCP stream, but not its TLS one.

        @param peer: who.
        """
        self._info(
            "Connection from {peer} ended without a TLS close_notify: somebody on"
            " the way may have cut it short",
            peer=peer,
        )

    def received(self, data: bytes) -> None:
        """
        Log what a client has said.

        @param data: lines, or a part of one.
        """
        for line in data.removesuffix(b"\n").split(b"\n"):
            self._info("from connected user: {line}", line=escape(line))

    def answered(self, data: bytes) -> None:
        """
        Log what it was answered.

        @param data: lines, or a part of one.
        """
        for line in data.removesuffix(b"\n").split(b"\n"):
            self._info("sending: {line}", line=escape(line))

    def closed(
        self,
        peer: str,
        seconds: float,
        bytesIn: int,
        bytesOut: int,
        undelivered: int,
        why: str,
    ) -> None:
        """
        Log that a connection has closed.

        @param peer: who.
        @param seconds: how long it was open.
        @param bytesIn: how many bytes the client has sent.
        @param bytesOut: how many bytes it was answered.
        @param undelivered: how many of these the kernel never took.
        @param why: what ended it.
        """
        # Each field that Twisted's text log has to look up costs more than all of
        # these in one.
        summary = (
            f"{seconds:.3f} s: {why}; {bytesIn} bytes in, {bytesOut} bytes out,"
            f" {undelivered} undelivered"
        )
        self._info(
            "Connection from {peer} closed after {summary}",
            peer=peer,
            summary=summary,
            seconds=seconds,
            why=why,
            bytesIn=bytesIn,
            bytesOut=bytesOut,
            undelivered=undelivered,
        )
