"""
A server in memory, for probes: what a connector connects to, without a network.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from upperproto.command.errors import NotConnected
from upperproto.command.options import Options
from upperproto.command.route.addresses import Address
from upperproto.command.route.connection import Opened
from upperproto.command.route.target import target

ADDRESS = Address(2, "192.0.2.1", 5000)

# How long, in seconds, anything takes.
TAKES = 0.001


def upper(data: bytes) -> bytes:
    """
    Answer rightly.
    """
    return data.decode().upper().encode()


class Server:
    """
    What is at the other end of one connection. It has no fault.

    @ivar transport: its end.
    """

    transport: Transport

    def received(self, data: bytes) -> None:
        """
        Answer.
        """
        self.transport.send(upper(data))

    def ended(self) -> None:
        """
        End, because the client has.
        """
        self.transport.finish()


class Transport(StringTransport):
    """
    The client's transport, with a server behind it.
    """

    # What StringTransport says that a test may look at.
    _going = True

    def __init__(self, clock: Clock, protocol: Any, server: Server) -> None:
        """
        @param clock: what tells the time.
        @param protocol: the client's.
        @param server: the other end.
        """
        super().__init__()
        self._clock = clock
        self._protocol = protocol
        self._server = server
        self._unread: list[bytes | None] = []
        server.transport = self

    def write(self, data: bytes) -> None:
        """
        Let the server have it after a while.
        """
        self._clock.callLater(TAKES, self._server.received, data)

    def loseWriteConnection(self) -> None:
        """
        Let the server know after a while.
        """
        self._clock.callLater(TAKES, self._server.ended)

    def loseConnection(self) -> None:
        """
        Close.
        """
        self._lose(ConnectionDone())

    def abortConnection(self) -> None:
        """
        Close at once.
        """
        self._lose(ConnectionLost())

    def send(self, data: bytes) -> None:
        """
        Let the client have an answer, if it reads.
        """
        self._unread.append(data)
        self._deliver()

    def finish(self) -> None:
        """
        End the server's side.
        """
        self._unread.append(None)
        self._deliver()

    def cut(self) -> None:
        """
        Reset the connection.
        """
        self._unread.clear()
        self._lose(ConnectionLost())

    def resumeProducing(self) -> None:
        """
        Read again.
        """
        super().resumeProducing()
        self._clock.callLater(TAKES, self._deliver)

    def _deliver(self) -> None:
        while self._unread and self._going and self.producerState == "producing":
            data = self._unread.pop(0)
            if data is None:
                self._lose(ConnectionDone())
            else:
                self._protocol.dataReceived(data)

    def _lose(self, reason: Exception) -> None:
        if self._going:
            self._going = False
            self._protocol.connectionLost(Failure(reason))


class Connector:
    """
    Connect to servers in memory.

    @ivar servers: what makes each server, or fails to be connected to.
    @ivar addresses: of the name, or why there are none.
    """

    def __init__(
        self,
        servers: Callable[[], Server] = Server,
        words: Sequence[str] = ("192.0.2.1",),
        timeout: float | None = 10.0,
    ) -> None:
        """
        @param servers: makes a server for each connection.
        @param words: the words of a command line.
        @param timeout: how long each wait may take, in seconds.
        """
        self.clock = Clock()
        self.now = self.clock.seconds
        self.timeout = timeout
        options = Options(words)
        self.target = target(options, options.words)
        self.servers = servers
        self.addresses: list[Address] | NotConnected = [ADDRESS]

    def callLater(self, call: Callable[[], None]) -> Any:
        """
        Call something when the time for one wait is up.
        """
        return (
            None if self.timeout is None else self.clock.callLater(self.timeout, call)
        )

    async def resolve(self) -> list[Address]:
        """
        Find the addresses.
        """
        if isinstance(self.addresses, NotConnected):
            raise self.addresses
        return [] if self.target.host is None else self.addresses

    async def connect(
        self, protocol: Any, addresses: Sequence[Address] = (), **how: Any
    ) -> Opened:
        """
        Connect to a server.
        """
        waited: Deferred[None] = Deferred()
        self.clock.callLater(TAKES, waited.callback, None)
        await waited
        server = self.servers()
        protocol.makeConnection(Transport(self.clock, protocol, server))
        return Opened(str([*addresses, ADDRESS][0]), TAKES, None, None)

    def run(self, command: Coroutine[Any, Any, Any], most: float = 1000.0) -> Any:
        """
        Let time pass until something has come to its end.

        @return: its result, or what it has failed with.
        """
        results: list[Any] = []
        Deferred.fromCoroutine(command).addBoth(results.append)
        deadline = self.clock.seconds() + most
        while not results:
            times = [call.getTime() for call in self.clock.getDelayedCalls()]
            assert times, "it waits for ever"
            assert min(times) < deadline, "it takes too long"
            self.clock.advance(max(0.0, min(times) - self.clock.seconds()))
        [result] = results
        return result.value if isinstance(result, Failure) else result
