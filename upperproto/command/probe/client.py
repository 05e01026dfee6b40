"""
An L{UpperClient} that notes what a probe wants to know of its connection.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from upperproto.client import UpperClient
from upperproto.command.standardio import escaped

# How much of what comes first is kept.
_BEGINNING = 1024


class ProbeClient(UpperClient):
    """
    A client that is looked at.

    @ivar receivedBytes: how many have come.
    @ivar beginning: the first of them.
    @ivar instance: the name that the server has given itself, or nothing.
    @ivar error: the last error line that nobody had asked for, or nothing.
    @ivar unasked: the lines that nobody had asked for.
    @ivar reason: why the connection has gone; L{None} while it is there.
    @ivar gone: fires when it has gone.
    """

    def __init__(self) -> None:
        """
        Begin with nothing.
        """
        super().__init__()
        self.receivedBytes = 0
        self.beginning = b""
        self.instance = ""
        self.error = ""
        self.unasked: list[bytes] = []
        self.reason: BaseException | None = None
        self.gone: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        """
        Note that something has come.
        """
        self.receivedBytes += len(data)
        self.beginning += data[: _BEGINNING - len(self.beginning)]
        super().dataReceived(data)

    def noticeReceived(self, kind: str, text: str) -> None:
        """
        Note the server's name, and an error that nobody had asked for.
        """
        if kind == "error":
            self.error = text
        if kind == "server":
            words = dict(word.partition("=")[::2] for word in text.split(" "))
            # It is shown on terminals, and the server may be anybody.
            self.instance = escaped(words.get("name", "")[:255])

    def unaskedReceived(self, line: bytes) -> None:
        """
        Note a line that nobody had asked for.
        """
        if len(self.unasked) < 10:
            self.unasked.append(line[:_BEGINNING])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Note why the connection has gone.
        """
        self.reason = reason.value
        super().connectionLost(reason)
        self.gone.callback(None)
