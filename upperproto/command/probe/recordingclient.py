"""
An L{UpperClient} that remembers what happens on its connection.
"""

from __future__ import annotations

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from upperproto.client import UpperClient
from upperproto.command.standardio import escaped

# How many of the first bytes are kept.
_BEGINNING = 1024


class ProbeClient(UpperClient):
    """
    The protocol of a probe.

    @ivar receivedBytes: how many bytes came.
    @ivar beginning: the first bytes that came.
    @ivar instance: the name that the server gives itself, or empty.
    @ivar error: the last error line that no request failed with, or empty.
    @ivar unasked: the first lines that no request had asked for.
    @ivar reason: why the connection ended; L{None} while it is open.
    """

    def __init__(self) -> None:
        """
        Begin with nothing received.
        """
        super().__init__()
        self.receivedBytes = 0
        self.beginning = b""
        self.instance = ""
        self.error = ""
        self.unasked: list[bytes] = []
        self.reason: BaseException | None = None

    def dataReceived(self, data: bytes) -> None:
        """
        Count the bytes, and keep the first ones.
        """
        self.receivedBytes += len(data)
        self.beginning += data[: _BEGINNING - len(self.beginning)]
        super().dataReceived(data)

    def noticeReceived(self, kind: str, text: str) -> None:
        """
        Note the server's name, and an error that no request failed with.
        """
        if kind == "error":
            self.error = text
        if kind == "server":
            words = dict(word.partition("=")[::2] for word in text.split(" "))
            # The name is shown on terminals, so control characters are escaped.
            self.instance = escaped(words.get("name", "")[:255])

    def unaskedReceived(self, line: bytes) -> None:
        """
        Note a line that no request had asked for.
        """
        if len(self.unasked) < 10:
            self.unasked.append(line[:_BEGINNING])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Note why the connection ended.
        """
        self.reason = reason.value
        super().connectionLost(reason)
