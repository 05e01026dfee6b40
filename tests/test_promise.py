"""
The promise of the service, under whatever clients, time and operators do: every
answer arrives or the connection fails, in bounded memory, and nothing stays open
for ever.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, cast
from unittest.mock import patch

from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from hypothesis.strategies import DataObject, booleans, data, sampled_from
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.memory import Client, MemoryNetwork
from tests.plain import answerTo
from upperproto.factory import UpperFactory
from upperproto.limits.drain import CLOSING_TIME
from upperproto.protocol import UpperProtocol
from upperproto.reactor import unsentbytes
from upperproto.rules import serverNotice
from upperproto.servedconnection import LINGER_TIMEOUT

IDLE = 30.0

# All sizes are small here, so that little is needed to come from one state to
# the next.
MAX_LENGTH = 20
READ = 200

# What clients say: lines and parts of them, in characters whose upper case is
# longer, cut within characters, broken, and long.
PIECES = [
    *(b"\n", b"a\n", b"\n\nabc", b"\r\n", "straße ".encode(), "ΐ".encode() * 9),
    *(b"\xe2", b"\x82", b"\xac", b"\xf0\x9f", b"\x98\x80\n", b"\xff", b"\xc0\n"),
    *(b"bcd\nef" * 30, b"g" * 200, "ß\n".encode() * 90, b"\xff\nh" * 60),
]


class Recording(UpperProtocol):
    """
    A protocol that notes when its conversation ends.

    @ivar heard: how many bytes the client had said by then.
    """

    MAX_LENGTH = MAX_LENGTH

    heard: int | None = None
    discardPartial = False

    def connectionMade(self) -> None:
        """
        Have little read at a time.
        """
        self.transport.bufferSize = READ
        super().connectionMade()

    def lastAnswer(self, text: bytes, error: str, discardPartial: bool) -> bytes:
        """
        Note what has been heard.
        """
        self.heard = self.receivedBytes
        self.discardPartial = discardPartial
        return super().lastAnswer(text, error, discardPartial)


class RecordingFactory(UpperFactory):
    """
    A factory of such protocols.
    """

    protocol = Recording


class Promise(RuleBasedStateMachine):
    """
    A service, its clients, and all that may happen between them.
    """

    def __init__(self) -> None:
        """
        Begin with a network, and keep an eye on the log.
        """
        super().__init__()
        self.network = MemoryNetwork()
        self.patches = ExitStack()
        self.patches.enter_context(patch.object(unsentbytes, "fcntl", self.network))
        self.faults: list[LogEvent] = []
        # An observer is anything that can be called, mypy wants it declared.
        self.observer = cast(ILogObserver, self.watch)
        globalLogPublisher.addObserver(self.observer)
        self.drained: Deferred[None] | None = None
        self.end = 0.0
        self.pushed: set[Client] = set()

    def watch(self, event: LogEvent) -> None:
        """
        Keep what should not be in the log.
        """
        if "log_failure" in event:
            self.faults.append(event)

    @initialize(
        errors=sampled_from(["strict", "replace", "surrogateescape"]),
        flush=booleans(),
        idle=booleans(),
        maxConnections=sampled_from([None, 2]),
        maxPerPeer=sampled_from([None, 1]),
        log=sampled_from(["none", "lines"]),
        name=sampled_from([None, "pod-7"]),
    )
    def serve(
        self,
        errors: str,
        flush: bool,
        idle: bool,
        maxConnections: int | None,
        maxPerPeer: int | None,
        log: Any,
        name: str | None,
    ) -> None:
        """
        Start a service.
        """
        self.idle = idle
        self.factory = RecordingFactory(
            errors=errors,
            # Where quiet ends a broken line, its answer depends on time, and the
            # plain definition knows none.
            flushAfter=1.0 if flush and errors != "strict" else None,
            idleTimeout=IDLE if idle else None,
            maxConnections=maxConnections,
            maxPerPeer=maxPerPeer,
            maxRefused=2,
            log=log,
            clock=self.network,
            name=name,
        )

    def able(self) -> list[Client]:
        """
        The clients that can still say something.
        """
        return [
            client
            for client in self.network.clients
            if not client.socket.clientEnded and not client.socket.cut
        ]

    # The service refuses new connections before it drains.
    @precondition(lambda self: len(self.network.clients) < 3 and not self.drained)
    @rule(window=sampled_from([0, 10, 100, 1 << 30]), host=sampled_from("ab"))
    def connect(self, window: int, host: str) -> None:
        """
        A client connects.
        """
        self.network.connect(self.factory, window, host)

    @precondition(lambda self: self.able())
    @rule(chooser=data(), piece=sampled_from(PIECES), turn=booleans())
    def send(self, chooser: DataObject, piece: bytes, turn: bool) -> None:
        """
        A client says something.
        """
        client = chooser.draw(sampled_from(self.able()))
        client.send(piece)
        if turn:
            self.network.iterateUntilIdle()

    @precondition(lambda self: self.able())
    @rule(chooser=data(), piece=sampled_from(PIECES))
    def push(self, chooser: DataObject, piece: bytes) -> None:
        """
        What a client says is handed on although the protocol may have paused,
        as TLS does.
        """
        client = chooser.draw(sampled_from(self.able()))
        transport = client.transport
        if transport.connected and not (client.socket.inbound or transport._aborting):
            client.sent += piece
            client.protocol.dataReceived(piece)
            self.pushed.add(client)

    @precondition(lambda self: self.able())
    @rule(chooser=data(), push=booleans())
    def finish(self, chooser: DataObject, push: bool) -> None:
        """
        A client ends its side; TLS hands that on during a pause, too.
        """
        client = chooser.draw(sampled_from(self.able()))
        client.finish()
        if push and client.transport.connected and not client.socket.inbound:
            client.transport.startReading()
            self.network.iterateUntilIdle()

    @precondition(lambda self: self.network.clients)
    @rule(chooser=data(), size=sampled_from([1, 50, 1 << 30]), turn=booleans())
    def receive(self, chooser: DataObject, size: int, turn: bool) -> None:
        """
        A client reads.
        """
        chooser.draw(sampled_from(self.network.clients)).receive(size)
        if turn:
            self.network.iterateUntilIdle()

    @precondition(lambda self: self.able())
    @rule(chooser=data())
    def reset(self, chooser: DataObject) -> None:
        """
        A client is gone.
        """
        client = chooser.draw(sampled_from(self.able()))
        if not client.socket.closed:
            client.socket.reset()

    @rule(seconds=sampled_from([0, 0.05, 0.1, 1, LINGER_TIMEOUT, IDLE / 2, IDLE * 2]))
    def wait(self, seconds: float) -> None:
        """
        Time passes.
        """
        self.network.wait(seconds)
        self.check()

    @precondition(lambda self: self.drained is None)
    @rule(seconds=sampled_from([0, 1, 10]))
    def drain(self, seconds: float) -> None:
        """
        The service is told to end.
        """
        self.drained = self.factory.drain(seconds)
        self.end = self.network.seconds() + seconds

    def check(self) -> None:
        """
        Check all that the clients have received, and what waits for them.
        """
        assert self.faults == []
        for client in self.network.clients:
            if not client.socket.cut:
                self.checkAnswer(client)
            if client not in self.pushed:
                # An error is 16 times as long as the shortest broken line.
                assert client.protocol.unsentBytes() <= 17 * READ
            if client.socket.closed and not client.socket.cut:
                assert client.protocol.undeliveredBytes == 0

    def checkAnswer(self, client: Client) -> None:
        """
        Check that what was answered is the beginning of what is right, and all
        of it where the stream has ended.
        """
        conversation = client.protocol
        answer = client.received + bytes(client.socket.outbound)
        said = client.sent[: conversation.heard]
        reason = b""
        if conversation.closingReason.startswith(("idle", "too many")):
            reason = b"error: %s\n" % conversation.closingReason.encode()
        right = answerTo(said, self.factory.errors, MAX_LENGTH)
        told = b""
        if self.factory.name is not None:
            host, port = client.transport.client[:2]
            told = serverNotice(self.factory.name, f"{host}:{port}")
        if not client.ended or conversation.discardPartial:
            # Of the reason, a part may have come.
            assert any(
                (told + right + separator + reason).startswith(answer)
                for separator in (b"", b"\n")
            )
        else:
            separator = b"\n" if reason and right and right[-1:] != b"\n" else b""
            assert answer == told + right + separator + reason
        if (
            client.ended
            and conversation.discardPartial
            and len(said.rpartition(b"\n")[2]) < MAX_LENGTH
        ):
            # Whole answers only, where that can be promised.
            assert answer in (b"", answer.rpartition(b"\n")[0] + b"\n")

    def teardown(self) -> None:
        """
        Whatever has happened, in the end everything is closed.
        """
        try:
            if hasattr(self, "factory"):
                self.network.iterateUntilIdle()
                self.check()
                self.conclude()
        finally:
            globalLogPublisher.removeObserver(self.observer)
            self.patches.close()

    def conclude(self) -> None:
        """
        Let all come to its end: clients that do nothing any more, if the service
        has a limit of time; otherwise such as read all, and end.
        """
        if self.idle:
            self.network.wait(2.5 * IDLE + LINGER_TIMEOUT)
        elif self.drained is not None:
            self.network.wait(
                max(0, self.end - self.network.seconds()) + CLOSING_TIME + 0.3
            )
        else:
            for client in self.network.clients:
                client.socket.window = 1 << 30
                client.finish()
            self.network.wait(LINGER_TIMEOUT)
            for client in self.network.clients:
                client.receive()
        self.check()
        assert all(client.socket.closed for client in self.network.clients)
        assert self.factory.connections == {}
        assert self.network.getDelayedCalls() == []
        assert self.network.readers | self.network.writers == set()
        if self.drained is not None:
            assert self.drained.called


class PromiseTests(SynchronousTestCase):
    """
    What trial and pytest run.
    """

    def test_promise(self) -> None:
        """
        No combination of these events breaks the promise.
        """
        run_state_machine_as_test(Promise, settings=settings(stateful_step_count=40))
