"""
The log of texts and answers: the lines that clients send and get, escaped.
"""

from __future__ import annotations

from time import time

from twisted.logger import Logger, LogLevel

from upperproto.interfaces import IServedConnection


def escape(line: bytes) -> str:
    """
    Escape the bytes of a peer, so that they are safe in a log and in a terminal.

    Three things become backslash escapes: each character that is not printable
    (L{str.isprintable}; these are control, format and separator characters, also
    bidirectional ones), each backslash, and each byte that is not UTF-8. So no peer
    can begin a new record of the log or control a terminal.

    @param line: any bytes, UTF-8 or not.
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


class TextLog:
    """
    Log the lines that clients send and get, in Twisted's log.

    @ivar lines: whether each line and each answer is logged, too.
    """

    _log = Logger()

    def __init__(self, lines: bool = False) -> None:
        """
        @param lines: whether to log each line and each answer, too.
        """
        self.lines = lines
        # Each use of the attribute of the class makes a new logger.
        self._logger = self._log
        self._fields = {
            "log_logger": self._logger,
            "log_level": LogLevel.info,
            "log_namespace": self._logger.namespace,
            "log_source": self,
        }

    def received(
        self, data: bytes, connection: IServedConnection | None = None
    ) -> None:
        """
        Log the lines that a client has sent.
        """
        for line in data.removesuffix(b"\n").split(b"\n"):
            self._info(
                "from connected user: {line}", {"line": escape(line)}, connection
            )

    def answered(
        self, data: bytes, connection: IServedConnection | None = None
    ) -> None:
        """
        Log the answers that a client gets.
        """
        for line in data.removesuffix(b"\n").split(b"\n"):
            self._info("sending: {line}", {"line": escape(line)}, connection)

    def _info(
        self,
        text: str,
        fields: dict[str, object],
        connection: IServedConnection | None = None,
    ) -> None:
        """
        Log an event with the same fields as C{Logger.info}. It takes 0.5 us in place of
        2.4 us, because C{Logger.info} first compares its level with all levels.

        @param text: the message, with the names of fields in braces.
        @param fields: the values of the fields.
        @param connection: begin with the name that it has in the access log, if any.
        """
        if connection is not None and connection.connectionID:
            text = "[{connection}] " + text
            fields["connection"] = connection.connectionID
        self._logger.observer(
            {**fields, **self._fields, "log_format": text, "log_time": time()}
        )
