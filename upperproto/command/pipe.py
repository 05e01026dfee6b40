"""
C{upper-client} as a filter: standard input goes to the server as it is, and its
answers to standard output as they come.
"""

from __future__ import annotations

from twisted.internet.interfaces import ISSLTransport
from twisted.python.failure import Failure

from upperproto.command.completeness import Account
from upperproto.command.session import Conversation


class Filter(Conversation):
    """
    A conversation without a person.
    """

    _inputHasEnded = False

    def begin(self) -> None:
        """
        Read input as fast as the server takes it.
        """
        self._account = Account()
        self.transport.registerProducer(self._input, True)
        super().begin()

    def inputReceived(self, data: bytes) -> None:
        """
        Send a chunk.
        """
        self._account.ask(data)
        self.transport.write(data)

    def inputEnded(self, reason: Failure) -> None:
        """
        Send what is left, and end our side: now the server answers the rest.
        """
        super().inputEnded(reason)
        self._inputHasEnded = True
        self.transport.unregisterProducer()
        if ISSLTransport.providedBy(self.transport):
            # TLS knows no half-close by that name. This sends a close_notify,
            # and what comes is received until the server's own.
            self.transport.loseConnection()
        else:
            self.transport.loseWriteConnection()

    def dataReceived(self, data: bytes) -> None:
        """
        Write answers. Until they are out, nothing more is received.
        """
        self._account.answer(data)
        self.write(data)

    def closed(self) -> None:
        """
        End: well, if everything has been answered.
        """
        if not self._inputHasEnded:
            self.end("the server closed the connection before the end of input")
        elif not self._account.settled():
            self.end("the server closed the connection before its last answer")
        else:
            self.end()
