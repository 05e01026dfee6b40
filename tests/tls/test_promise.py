"""
The promise of the service over TLS, under pressure and in whatever order things come:
every answer arrives or the connection fails, and nothing stays open for ever.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from tempfile import NamedTemporaryFile
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
from hypothesis.strategies import (
    DataObject,
    booleans,
    data,
    integers,
    lists,
    sampled_from,
)
from OpenSSL.SSL import Context
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.ssl import CertificateOptions, PrivateCertificate
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.memory import MemoryNetwork
from tests.plain import answerTo
from tests.tls.clients import TLSClient
from tests.tls.service import RecordingFactory
from upperproto.limits.drain import CLOSING_TIME
from upperproto.limits.pendingconnections import PendingConnections
from upperproto.protocol import UpperProtocol
from upperproto.reactor import unsentbytes
from upperproto.servedconnection import LINGER_TIMEOUT
from upperproto.tls import floodguard
from upperproto.tls.engine import ServerContext
from upperproto.ways.handshake import HANDSHAKE_TIMEOUT
from upperproto.ways.tls import TLSListenerFactory

# A certificate whose signatures all have the same length, as not all have: by the same
# events, each example comes to the same state. (Made by openssl req.)
CERTIFICATE = b"""\
-----BEGIN CERTIFICATE-----
MIIBLDCB36ADAgECAgID6DAFBgMrZXAwFDESMBAGA1UEAwwJbG9jYWxob3N0MCAX
DTI2MTEyODIxMDUwNVoYDzIxMjYxMTA0MjEwNTA1WjAUMRIwEAYDVQQDDAlsb2Nh
bGhvc3QwKjAFBgMrZXADIQCRgA8NC1kMaPd8s33KNiRhldAG6jlU9KmKijV0xV10
UKNTMFEwHQYDVR0OBBYEFKrMCns6rltp75/sqdJaj6FBaCNAMB8GA1UdIwQYMBaA
FKrMCns6rltp75/sqdJaj6FBaCNAMA8GA1UdEwEB/wQFMAMBAf8wBQYDK2VwA0EA
gxKmzl2KaKG0LDGjSSzigkAcozrBE0TtZPCmP9M89bsqQJocGYRLXqYrA0HWocE/
XFJ3MWT1tHMI4aErCpFMDA==
-----END CERTIFICATE-----
-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJQOZtG4lSSeQKUurC0QBBn0M1wWLVx5eykVbgbA0gHj
-----END PRIVATE KEY-----
"""

IDLE = 30.0

# How many bytes are read at a time, and wait before a producer is paused.
READ = 600

# No line is as long as what is answered in parts: what is right depends on no chunk.
MAX_LENGTH = 1 << 20

# What clients say: characters whose upper case is longer, and cut or broken ones.
LINE = "ΐ".encode() * 100 + b"\n"
PIECES = [
    *(LINE, b"\n", b"a\n", b"\n\nabc", "straße ".encode()),
    *(b"\xe2", b"\x82\xac", b"\xff\n", b"bcd\nef" * 30, b"g" * 400),
]


@cache
def pyOpenSSLContext() -> Context:
    """
    Make a server's context of pyOpenSSL: one for all examples.
    """
    pair = PrivateCertificate.loadPEM(CERTIFICATE)
    options = CertificateOptions(pair.privateKey.original, pair.original)
    context: Context = options.getContext()
    return context


@cache
def pythonContext() -> ssl.SSLContext:
    """
    Make a server's context of Python's C{ssl}.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with NamedTemporaryFile() as file:
        file.write(CERTIFICATE)
        file.flush()
        context.load_cert_chain(file.name)
    return context


@cache
def clientContext(version: ssl.TLSVersion) -> ssl.SSLContext:
    """
    Make a client's context.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    return context


def clientHello() -> bytes:
    """
    Make what begins a handshake.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = clientContext(ssl.TLSVersion.TLSv1_2)
    try:
        context.wrap_bio(incoming, outgoing, server_hostname="x").do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake of one side")


# What breaks a connection that speaks TLS: a broken record, one that is too long,
# alerts in the clear (a fatal one, close_notify), plain HTTP, a second handshake.
BREAKS = [
    *(b"\x17\x03\x03\x00\x20" + b"x" * 32, b"\x17\x03\x03\xff\xff" + b"x" * 40),
    *(b"\x15\x03\x03\x00\x02\x02\x28", b"\x15\x03\x03\x00\x02\x01\x00"),
    *(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", clientHello()),
]

# A client says that this was all.
CLOSE = b"close_notify"

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


class Recording(UpperProtocol):
    """
    A protocol that notes when its conversation ends.

    @ivar heard: how many bytes the client had said by then.
    """

    MAX_LENGTH = MAX_LENGTH

    heard: int | None = None
    discardPartial = aborted = False

    def lastAnswer(self, text: bytes, error: str, discardPartial: bool) -> bytes:
        """
        Note what has been heard.
        """
        self.heard = self.receivedBytes
        self.discardPartial = discardPartial
        return super().lastAnswer(text, error, discardPartial)

    def abort(self, reason: str) -> None:
        """
        Note that what was sent may not arrive.
        """
        self.aborted = True
        super().abort(reason)


class Factory(RecordingFactory):
    """
    A factory that remembers all protocols that it has built.
    """

    protocol = Recording  # type: ignore[assignment] # As UpperFactory has it.

    def __init__(self, **settings: Any) -> None:
        """
        Begin with none.
        """
        super().__init__(**settings)
        self.built: list[Recording] = []

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """
        Build one.
        """
        protocol = super().buildProtocol(addr)
        assert isinstance(protocol, Recording)
        self.built.append(protocol)
        return protocol


class Talker(TLSClient):
    """
    A client that knows what it has said.

    @ivar said: all text that it has encrypted.
    @ivar shaken: whether its handshake is done.
    @ivar hasEnded: whether it has encrypted a close_notify.
    @ivar isBroken: whether it has sent what is no TLS before that.
    @ivar isNoisy: whether it has sent something behind that. If it is not read when the
        connection is closed, a reset destroys what is on its way to it.
    @ivar isLost: whether its own TLS has failed.
    @ivar kept: what it has encrypted and not sent.
    """

    protocol: Recording

    def __init__(self, *arguments: Any) -> None:
        """
        Begin with nothing.
        """
        super().__init__(*arguments)
        self.said = self.kept = b""
        self.shaken = self.hasEnded = self.isLost = False
        self.isBroken = self.isNoisy = False
        self.client.transport.bufferSize = READ

    def canSend(self) -> bool:
        """
        Whether its side of the stream is open.
        """
        socket = self.client.socket
        return not (socket.clientEnded or socket.cut)

    def canSpeak(self) -> bool:
        """
        Whether its side of TLS is open.
        """
        return self.shaken and not (self.hasEnded or self.isLost)

    def speak(self, text: bytes) -> None:
        """
        Encrypt text, or a close_notify.
        """
        if text == CLOSE:
            self.hasEnded = True
            self.end()
        else:
            self.say(text)
            if not self.isBroken:
                self.said += text

    def shatter(self, nonsense: bytes) -> None:
        """
        Keep what is not TLS.
        """
        self.kept += self.take() + nonsense
        self.isBroken = self.isBroken or not self.hasEnded
        self.isNoisy = self.hasEnded

    def send(self, size: int) -> None:
        """
        Send a part of what was kept.
        """
        self.kept += self.take()
        if self.client.socket.closed:
            # What comes back destroys what has not been received.
            self.receive()
        if self.kept:
            self.client.send(self.kept[:size])
            self.kept = self.kept[size:]

    def step(self) -> None:
        """
        Go on with the handshake, and receive.
        """
        try:
            if not self.shaken:
                self.tls.do_handshake()
                self.shaken = True
            while self.read():
                pass
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self.isLost = True

    def read(self) -> bytes:
        """
        Keep what is decrypted.
        """
        data = super().read()
        self.received += data
        return data

    def receive(self, size: int = 1 << 30) -> None:
        """
        Receive what is there.
        """
        received = self.client.receive(size)
        if not self.isLost:
            self.incoming.write(received)
            self.step()


class Promise(RuleBasedStateMachine):
    """
    A service over TLS, its clients, and all that may happen between them.
    """

    def __init__(self) -> None:
        """
        Begin with a network, and keep an eye on the log.
        """
        super().__init__()
        self.network = MemoryNetwork()
        self.patches = ExitStack()
        for patched in (
            patch.object(unsentbytes, "fcntl", self.network),
            patch.object(floodguard, "MAX_RECORDS", 2),
        ):
            self.patches.enter_context(patched)
        self.faults: list[LogEvent] = []
        # An observer is anything that can be called, mypy wants it declared.
        self.observer = cast(ILogObserver, self.watch)
        globalLogPublisher.addObserver(self.observer)
        self.clients: list[Talker] = []
        self.drained: Deferred[None] | None = None
        self.end = 0.0

    def watch(self, event: LogEvent) -> None:
        """
        Keep what should not be in the log.
        """
        if "log_failure" in event:
            self.faults.append(event)

    @initialize(
        idle=booleans(),
        maxConnections=sampled_from([None, 1]),
        window=sampled_from([0, 100, 1000, 5000]),
        version=sampled_from(VERSIONS),
        readsMuch=booleans(),
        getContext=sampled_from([pythonContext, pyOpenSSLContext]),
    )
    def serve(
        self,
        idle: bool,
        maxConnections: int | None,
        window: int,
        version: ssl.TLSVersion,
        readsMuch: bool,
        getContext: Callable[[], ServerContext],
    ) -> None:
        """
        Start a service, with a client that has shaken hands.
        """
        self.idle = idle
        self.factory = Factory(
            idleTimeout=IDLE if idle else None,
            maxConnections=maxConnections,
            maxRefused=1,
            clock=self.network,
        )
        self.pending = PendingConnections(self.network, 2, self.factory.refused)
        self.listener = TLSListenerFactory(
            self.pending,
            self.factory,
            getContext,
            self.factory.truncated,
        )
        self.connect(window, version, True)
        if readsMuch:
            self.clients[0].client.transport.bufferSize = 65536

    # The service refuses new connections before it drains.
    @precondition(lambda self: len(self.clients) < 3 and not self.drained)
    @rule(
        window=sampled_from([0, 1000, 1 << 30]),
        version=sampled_from(VERSIONS),
        shake=booleans(),
    )
    def connect(self, window: int, version: ssl.TLSVersion, shake: bool) -> None:
        """
        A client connects, and may shake hands.

        @param window: how many bytes the kernels take from then on.
        """
        client = Talker(self.network, self.listener, clientContext(version))
        client.protocol = self.factory.built[-1]
        self.clients.append(client)
        while shake and not (client.shaken or client.client.socket.closed):
            client.step()
            client.send(1 << 30)
            self.network.iterateUntilIdle()
            client.receive()
        client.client.socket.window = window

    def able(self) -> list[Talker]:
        """
        The clients that can still send something.
        """
        return [client for client in self.clients if client.canSend()]

    @precondition(lambda self: self.able())
    @rule(
        chooser=data(),
        parts=lists(sampled_from([*PIECES, *BREAKS, CLOSE]), max_size=4),
        size=sampled_from([1, 30, 700, 1 << 30, 1 << 30]),
        turn=booleans(),
    )
    def send(
        self, chooser: DataObject, parts: list[bytes], size: int, turn: bool
    ) -> None:
        """
        A client sends some things in one segment, or a part of them.
        """
        client = chooser.draw(sampled_from(self.able()))
        for part in parts:
            if part in BREAKS:
                client.shatter(part)
            elif client.canSpeak():
                client.speak(part)
        client.send(size)
        if turn:
            self.network.iterateUntilIdle()

    @precondition(lambda self: self.able())
    @rule(
        chooser=data(),
        lines=integers(1, 40),
        last=sampled_from([b"", b"", *BREAKS, CLOSE]),
        turn=booleans(),
    )
    def burst(self, chooser: DataObject, lines: int, last: bytes, turn: bool) -> None:
        """
        A client sends more than is read at a time, and something behind it.
        """
        self.send(chooser, [LINE] * lines + [last] * bool(last), 1 << 30, turn)

    @precondition(lambda self: self.able())
    @rule(chooser=data(), turn=booleans())
    def finish(self, chooser: DataObject, turn: bool) -> None:
        """
        A client ends its TCP stream.
        """
        chooser.draw(sampled_from(self.able())).client.finish()
        if turn:
            self.network.iterateUntilIdle()

    @precondition(lambda self: self.clients)
    @rule(chooser=data(), size=sampled_from([1, 50, 700, 1 << 30]), turn=booleans())
    def receive(self, chooser: DataObject, size: int, turn: bool) -> None:
        """
        A client receives.
        """
        chooser.draw(sampled_from(self.clients)).receive(size)
        if turn:
            self.network.iterateUntilIdle()

    @precondition(lambda self: self.able())
    @rule(chooser=data())
    def reset(self, chooser: DataObject) -> None:
        """
        A client is gone.
        """
        client = chooser.draw(sampled_from(self.able()))
        client.receive()
        if not client.client.socket.closed:
            client.client.socket.reset()

    @rule(
        seconds=sampled_from(
            [0, 0.1, LINGER_TIMEOUT, HANDSHAKE_TIMEOUT, IDLE / 2, IDLE * 2]
        )
    )
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
        self.pending.refuseAll("the service is shutting down")
        self.drained = self.factory.drain(seconds)
        self.end = self.network.seconds() + seconds

    def check(self) -> None:
        """
        Check all that the clients have received, and what waits for them.
        """
        assert self.faults == []
        for client in self.clients:
            if client.protocol.transport is None:
                # It has not come in.
                assert client.received == b""
                continue
            self.checkAnswer(client)
            if client.client.socket.closed:
                assert not self.isOpen(client)
                self.checkUndelivered(client)

    def isOpen(self, client: Talker) -> bool:
        """
        Whether a client has a place.
        """
        return client.protocol in self.factory.connections

    def checkAnswer(self, client: Talker) -> None:
        """
        Check that what was answered is the beginning of what is right, and all of it
        where TLS has ended as it should.
        """
        conversation, answer = client.protocol, client.received
        said = client.said[: conversation.heard]
        reason = b""
        if conversation.closingReason.startswith(("idle", "too many")):
            reason = b"error: %s\n" % conversation.closingReason.encode()
        right = answerTo(said, "strict", MAX_LENGTH)
        if not client.notified or conversation.discardPartial:
            assert any(
                (right + separator + reason).startswith(answer)
                for separator in (b"", b"\n")
            )
        else:
            separator = b"\n" if reason and right and right[-1:] != b"\n" else b""
            if conversation.heard is None and (client.kept or not client.hasEnded):
                # TCP has ended in the middle of what it had said.
                assert right.startswith(answer)
            else:
                assert answer == right + separator + reason

    def checkUndelivered(self, client: Talker) -> None:
        """
        Check that of each answer it is known whether it was delivered.
        """
        conversation = client.protocol
        if not client.client.socket.cut:
            client.receive()
        delivered = conversation.answeredBytes - conversation.undeliveredBytes
        if conversation.aborted or client.isNoisy:
            assert delivered >= len(client.received)
        else:
            assert delivered == len(client.received)

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
        Let all come to its end: clients that do nothing any more, if the service has
        a limit of time; otherwise such as receive all, and end.
        """
        if self.idle:
            self.network.wait(2.5 * IDLE + LINGER_TIMEOUT + HANDSHAKE_TIMEOUT)
        elif self.drained is not None:
            self.network.wait(
                max(0, self.end - self.network.seconds()) + CLOSING_TIME + 0.3
            )
        else:
            for client in self.clients:
                client.client.socket.window = 1 << 30
                client.client.finish()
            self.network.wait(LINGER_TIMEOUT)
            for client in self.clients:
                client.receive()
        self.check()
        assert all(client.client.socket.closed for client in self.clients)
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
