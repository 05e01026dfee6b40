"""
Tests for L{upperproto.tls.transport}.
"""

from __future__ import annotations

import ssl
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IPullProducer,
    IPushProducer,
)
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.internet.ssl import optionsForClientTLS, trustRootFromCertificates
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.tls.clients import TLSClient
from tests.tls.service import TLSTestCase
from upperproto.tls.certificates.clientcredentials import _certificates
from upperproto.tls.factory import TLSFactory, clientSide
from upperproto.tls.transport import LINGER_TIMEOUT, TLSTransport

# A record that no key has made.
BROKEN = b"\x17\x03\x03\x00\x20" + b"x" * 32

LINE = "ΐ".encode() * 2000 + b"\n"
ANSWERS = (LINE * 14).decode().upper().encode()


class PressureTests(TLSTestCase):
    """
    A service over TLS whose client does not receive.
    """

    def stuff(self, behind: bytes = b"", size: int = 65536) -> TLSClient:
        """
        Make a client that has been answered more than the kernels take.

        @param behind: what it sends behind its last record.
        @param size: how many bytes are read at a time.
        """
        client = self.converse()
        client.client.socket.window = 0
        client.client.transport.bufferSize = size
        for _ in range(14):
            client.say(LINE)
        client.client.send(client.take())
        self.network.iterateUntilIdle()
        client.client.send(behind)
        self.network.iterateUntilIdle()
        return client

    def receiveAll(self, client: TLSClient) -> None:
        """
        Let a client receive all that comes, with its end.
        """
        client.client.socket.window = 1 << 30
        self.network.iterateUntilIdle()
        with self.assertRaises(ssl.SSLError):
            client.receive()

    def test_broken(self) -> None:
        """
        When TLS breaks while answers wait, those that were given arrive, an alert
        follows them, and TCP ends. When the client has ended, too, nothing remains.
        """
        client = self.stuff(BROKEN)
        self.receiveAll(client)
        self.assertTrue(client.client.ended)
        answered = self.protocol().answeredBytes
        self.assertEqual(len(client.received), answered)
        self.assertTrue(ANSWERS.startswith(client.received))
        self.assertGreater(answered, len(LINE))
        client.client.finish()
        self.network.iterateUntilIdle()
        self.assertTrue(client.client.socket.closed)
        self.assertEqual(self.service.ends, [("cut off", 0)])
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_brokenInOneRead(self) -> None:
        """
        What is read together with the broken record cannot be answered any more: then
        its answers are counted as undelivered.
        """
        client = self.converse()
        client.say(LINE)
        client.client.send(client.take() + BROKEN)
        self.receiveAll(client)
        self.assertEqual(client.received, b"")
        client.client.finish()
        self.network.iterateUntilIdle()
        undelivered = len(LINE.decode().upper().encode())
        self.assertEqual(self.service.ends, [("cut off", undelivered)])

    def test_brokenAndMore(self) -> None:
        """
        What comes behind that is not read while answers wait; then it is read and
        thrown away, so that no reset destroys them.
        """
        client = self.stuff(BROKEN + b"y" * 200_000, size=10_000)
        self.assertGreater(len(client.client.socket.inbound), 100_000)
        self.receiveAll(client)
        self.assertGreater(len(client.received), 0)
        client.client.send(b"z" * 100_000)
        client.client.finish()
        self.network.iterateUntilIdle()
        self.assertTrue(client.client.socket.closed)
        self.assertFalse(client.client.socket.cut)

    def test_brokenAndStays(self) -> None:
        """
        A client that does not end its side then is not waited for without limit.
        """
        client = self.stuff(BROKEN)
        self.receiveAll(client)
        self.network.wait(LINGER_TIMEOUT)
        self.assertTrue(client.client.socket.closed)
        self.assertEqual(self.service.connections, {})

    def test_brokenAndReset(self) -> None:
        """
        One that is gone leaves nothing behind, and what it has not received is known.
        """
        client = self.stuff(BROKEN)
        answered = self.protocol().answeredBytes
        client.client.socket.reset()
        self.network.iterateUntilIdle()
        self.assertTrue(client.client.socket.closed)
        self.assertEqual(self.service.ends, [("cut off", answered)])
        self.assertEqual(self.network.readers | self.network.writers, set())

    def test_reset(self) -> None:
        """
        So it is with a client that is gone while TLS is whole.
        """
        client = self.converse()
        client.client.socket.window = 0
        client.say(b"\n")
        client.flush()
        client.client.socket.reset()
        self.network.iterateUntilIdle()
        self.assertEqual(self.service.ends, [("cut off", 1)])

    def test_brokenWhileLingering(self) -> None:
        """
        When TLS breaks behind our own end, the connection goes on to its own.
        """
        client = self.converse()
        self.protocol().finish("enough")
        self.network.iterateUntilIdle()
        client.client.send(BROKEN * 2)
        self.network.iterateUntilIdle()
        client.client.send(BROKEN)
        client.client.finish()
        self.network.iterateUntilIdle()
        self.assertTrue(client.client.socket.closed)
        self.assertFalse(client.client.socket.cut)
        self.assertEqual(self.service.ends, [("enough", 0)])

    def test_brokenWhileOurEndWaits(self) -> None:
        """
        So it does when our own end waits behind answers.
        """
        client = self.stuff()
        self.protocol().finish("enough")
        self.network.iterateUntilIdle()
        client.client.send(BROKEN)
        self.network.iterateUntilIdle()
        client.client.socket.window = 1 << 30
        self.network.iterateUntilIdle()
        client.receive()
        self.assertTrue(client.notified)
        client.client.finish()
        self.network.iterateUntilIdle()
        self.assertTrue(client.client.socket.closed)
        self.assertEqual(self.service.ends, [("enough", 0)])

    def test_finishedWhenBroken(self) -> None:
        """
        A service that ends a broken connection says what was not delivered.
        """
        client = self.stuff(BROKEN)
        conversation = self.protocol()
        conversation.finish("enough", error="enough")
        self.network.wait(2 * LINGER_TIMEOUT)
        self.assertTrue(client.client.socket.closed)
        self.assertEqual(self.service.ends, [("enough", conversation.answeredBytes)])

    def test_closeNotify(self) -> None:
        """
        A client that ends its side while answers wait gets all of them.
        """
        client = self.stuff()
        client.end()
        client.client.send(client.take())
        while not client.notified:
            client.client.socket.window = 10_000
            self.network.iterateUntilIdle()
            client.receive()
        self.assertTrue(client.received == ANSWERS)
        self.assertTrue(client.client.socket.closed)

    def test_nothingBehindTheEnd(self) -> None:
        """
        What comes behind a close_notify is not kept: a protocol that goes on speaking
        would pay for it with memory.
        """

        @implementer(IHalfCloseableProtocol)
        class Silent(Protocol):
            def readConnectionLost(self) -> None:
                pass

            def writeConnectionLost(self) -> None:
                pass

        self.serveBy(Silent)
        client = self.converse()
        client.end()
        client.flush()
        given: list[bytes] = []
        connection = client.client.protocol.getHandle()
        self.patch(connection, "receive", given.append)
        client.client.send(b"y" * 100_000)
        self.network.iterateUntilIdle()
        self.assertEqual(given, [])
        self.assertEqual(client.client.socket.inbound, b"")


class TLS12PressureTests(PressureTests):
    """
    The same with TLS 1.2.
    """

    version = ssl.TLSVersion.TLSv1_2


class PyOpenSSLPressureTests(PressureTests):
    """
    The same with pyOpenSSL on the server.
    """

    usesPython = False


@implementer(IHalfCloseableProtocol, IHandshakeListener)
class Talker(Protocol):
    """
    A client's protocol that can end its side alone.

    @ivar received: what it has received.
    @ivar events: what else has happened.
    """

    def __init__(self) -> None:
        """
        Begin with nothing.
        """
        self.received = b""
        self.events: list[str] = []

    def handshakeCompleted(self) -> None:
        """
        Note it.
        """
        self.events.append("handshake")

    def dataReceived(self, data: bytes) -> None:
        """
        Receive.
        """
        self.received += data

    def readConnectionLost(self) -> None:
        """
        Note it.
        """
        self.events.append("read end")

    def writeConnectionLost(self) -> None:
        """
        Note it.
        """
        self.events.append("write end")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Note it.
        """
        assert reason.type is not None
        self.events.append(reason.type.__name__)


class WholeTalker(Protocol):
    """
    One that cannot.

    @ivar lost: why its connection was lost.
    """

    lost: Any = None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Note it.
        """
        self.lost = reason.type


@implementer(IPushProducer)
class Input:
    """
    Where text comes from.

    @ivar calls: what it has been told.
    """

    def __init__(self) -> None:
        """
        Begin with nothing.
        """
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        """
        Note it.
        """
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        """
        Note it.
        """
        self.calls.append("resume")

    def stopProducing(self) -> None:
        """
        Note it.
        """
        self.calls.append("stop")


class ClientTests(TLSTestCase):
    """
    The client's side. The network's server is the client of TLS here.
    """

    def connectTo(self, protocol: type[Protocol] = Talker) -> TLSClient:
        """
        Have a client connect.

        @return: its server, that has not shaken hands.
        """
        self.truncations: list[IAddress] = []
        trusted = trustRootFromCertificates(_certificates(self.authority.certificate))
        creator = optionsForClientTLS("localhost", trusted)
        factory = TLSFactory(
            clientSide(creator),
            ServerFactory.forProtocol(protocol),
            self.network,
            self.truncations.append,
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.authority.issue("server"))
        server = TLSClient(self.network, factory, context, isServer=True)
        self.tls: TLSTransport = server.client.protocol
        self.talker: Any = self.tls.wrappedProtocol
        return server

    def shaken(self, protocol: type[Protocol] = Talker) -> TLSClient:
        """
        Have a client connect and shake hands.

        @return: its server.
        """
        server = self.connectTo(protocol)
        server.shakeHands()
        return server

    def test_halfClose(self) -> None:
        """
        A client that ends its side has a close_notify sent behind what it has said,
        and goes on receiving until the server's.
        """
        server = self.shaken()
        self.tls.write(b"hello\n")
        self.tls.loseWriteConnection()
        self.network.iterateUntilIdle()
        server.receive()
        self.assertEqual(server.received, b"hello\n")
        self.assertTrue(server.notified)
        self.assertTrue(server.client.socket.ended)
        server.say(b"HELLO\n")
        server.flush()
        self.assertEqual(self.talker.received, b"HELLO\n")
        self.assertEqual(self.talker.events, ["handshake", "write end"])
        server.end()
        server.flush()
        self.assertEqual(self.talker.events[2:], ["read end"])
        self.tls.loseConnection()
        self.network.iterateUntilIdle()
        self.assertTrue(server.client.socket.closed)
        self.assertFalse(server.client.socket.cut)
        self.assertEqual(self.talker.events[3:], ["ConnectionDone"])
        self.assertEqual(self.truncations, [])

    def test_halfCloseBeforeTheHandshake(self) -> None:
        """
        What was written before the handshake is sent after it, and then our end.
        """
        server = self.connectTo()
        self.tls.write(b"hello\n")
        self.tls.loseWriteConnection()
        self.assertEqual(self.tls.unsentBytes(), 6)
        server.shakeHands()
        server.receive()
        self.assertEqual(server.received, b"hello\n")
        self.assertTrue(server.notified)

    def test_closeBeforeTheHandshake(self) -> None:
        """
        So it is with the end of the whole connection.
        """
        server = self.connectTo()
        self.tls.write(b"hello\n")
        self.tls.loseConnection()
        server.shakeHands()
        server.receive()
        self.assertEqual(server.received, b"hello\n")
        self.assertTrue(server.notified)
        self.assertTrue(server.client.socket.closed)

    def test_truncated(self) -> None:
        """
        A server whose stream ends without a close_notify is told of, and the
        connection does not end as one that is complete.
        """
        server = self.shaken()
        server.say(b"HEL")
        server.flush()
        server.client.finish()
        self.network.iterateUntilIdle()
        self.assertEqual(self.talker.received, b"HEL")
        self.assertEqual(len(self.truncations), 1)
        self.assertEqual(self.talker.events, ["handshake", "read end"])
        self.tls.loseConnection()
        self.network.iterateUntilIdle()
        self.assertEqual(self.talker.events[2:], ["ConnectionLost"])

    def test_wholeEnd(self) -> None:
        """
        A protocol that cannot end one side alone is closed with the server, and knows
        whether its stream was complete.
        """
        for complete, reason in [(True, ConnectionDone), (False, ConnectionLost)]:
            server = self.shaken(WholeTalker)
            if complete:
                server.end()
                server.flush()
            else:
                server.client.finish()
                self.network.iterateUntilIdle()
            self.assertTrue(server.client.socket.closed)
            self.assertIs(self.talker.lost, reason)

    def test_inputWaits(self) -> None:
        """
        When the server ends while text waits to be sent, where it comes from is
        stopped, and the connection closes.
        """
        server = self.shaken(WholeTalker)
        server.client.socket.window = 0
        source = Input()
        self.tls.registerProducer(source, True)
        self.tls.write(b"x" * 200_000)
        self.assertEqual(source.calls, ["pause"])
        server.end()
        server.flush()
        server.client.socket.window = 1 << 30
        self.network.iterateUntilIdle()
        self.assertTrue(server.client.socket.closed)
        self.assertEqual(source.calls, ["pause", "pause", "stop"])
        self.assertIs(self.talker.lost, ConnectionDone)

    def test_inputWaitsForNobody(self) -> None:
        """
        So it is when the server's TLS breaks: nothing more is read, and what was
        written is unsent.
        """
        server = self.shaken(WholeTalker)
        server.client.socket.window = 0
        source = Input()
        self.tls.registerProducer(source, True)
        self.tls.write(b"x" * 200_000)
        server.client.send(BROKEN)
        self.network.iterateUntilIdle()
        server.client.send(BROKEN)
        self.network.iterateUntilIdle()
        self.assertEqual(server.client.socket.inbound, BROKEN)
        self.tls.write(b"y" * 100)
        self.assertEqual(self.tls.unsentBytes(), 200_100)
        server.client.socket.reset()
        self.network.iterateUntilIdle()
        self.assertTrue(server.client.socket.closed)
        self.assertEqual(source.calls[-1], "stop")
        self.assertEqual(self.network.readers | self.network.writers, set())

    def test_closedWhileInputWaits(self) -> None:
        """
        So it is when the protocol has asked for the end before, while its producer is
        registered.
        """
        server = self.shaken(WholeTalker)
        server.client.socket.window = 0
        self.tls.registerProducer(Input(), True)
        self.tls.write(b"x" * 200_000)
        self.tls.loseConnection()
        server.client.send(BROKEN)
        self.network.iterateUntilIdle()
        server.client.socket.window = 1 << 30
        self.network.iterateUntilIdle()
        self.assertTrue(server.client.socket.closed)

    def test_producerEnds(self) -> None:
        """
        The end of our side waits for a producer that is registered.
        """
        server = self.shaken()
        self.tls.registerProducer(Input(), True)
        self.tls.loseWriteConnection()
        self.tls.write(b"hello\n")
        self.network.iterateUntilIdle()
        server.receive()
        self.assertFalse(server.notified)
        self.tls.unregisterProducer()
        self.network.iterateUntilIdle()
        server.receive()
        self.assertEqual(server.received, b"hello\n")
        self.assertTrue(server.notified)

    def test_producerBeforeTheHandshake(self) -> None:
        """
        A producer waits while its text waits for the handshake.
        """
        server = self.connectTo()
        source = Input()
        self.tls.registerProducer(source, True)
        self.tls.write(b"hel")
        self.tls.write(b"lo\n")
        self.assertEqual(source.calls, ["pause"])
        server.shakeHands()
        self.assertEqual(source.calls, ["pause", "resume"])
        server.receive()
        self.assertEqual(server.received, b"hello\n")

    def test_pullProducer(self) -> None:
        """
        A pull producer is asked for more when its text was sent, from the beginning of
        the handshake on; and for no more when the peer has ended.
        """

        @implementer(IPullProducer)
        class Lines:
            stopped = False

            def __init__(self, tls: TLSTransport, count: int) -> None:
                self.tls, self.left = tls, count

            def resumeProducing(self) -> None:
                self.left -= 1
                self.tls.write(b"x" * 999 + b"\n")
                if not self.left:
                    self.tls.unregisterProducer()

            def stopProducing(self) -> None:
                self.stopped = True

        server = self.connectTo()
        self.tls.registerProducer(Lines(self.tls, 500), False)
        self.tls.loseWriteConnection()
        server.shakeHands()
        while not server.notified:
            self.network.iterateUntilIdle()
            server.receive()
        self.assertEqual(len(server.received), 500_000)
        server = self.shaken(WholeTalker)
        server.client.socket.window = 0
        source = Lines(self.tls, 500)
        self.tls.registerProducer(source, False)
        self.network.iterateUntilIdle()
        server.end()
        server.flush()
        server.client.socket.window = 1 << 30
        self.network.iterateUntilIdle()
        self.assertTrue(source.stopped)
        self.assertTrue(server.client.socket.closed)
        late = Lines(self.tls, 1)
        self.tls.registerProducer(late, False)
        self.assertTrue(late.stopped)

    def test_pieces(self) -> None:
        """
        Pieces of text are sent in their order.
        """
        server = self.shaken()
        self.tls.writeSequence([b"hello", b"\n"])
        self.tls.write(b"x" * 40_000)
        self.network.iterateUntilIdle()
        server.receive()
        self.assertEqual(server.received, b"hello\n" + b"x" * 40_000)

    def test_writtenBehindTheEnd(self) -> None:
        """
        What is written behind the end of our side goes nowhere, and breaks nothing.
        """
        server = self.shaken()
        self.tls.loseWriteConnection()
        self.tls.write(b"hello\n")
        self.network.iterateUntilIdle()
        server.receive()
        self.assertEqual(server.received, b"")
        self.assertEqual(self.tls.unsentBytes(), 6)
        server.say(b"HELLO\n")
        server.flush()
        self.assertEqual(self.talker.received, b"HELLO\n")

    def test_closedInReply(self) -> None:
        """
        A protocol whose side has ended may close the connection in answer to what it
        receives.
        """

        class Closer(Talker):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                assert self.transport is not None
                self.transport.loseConnection()

        server = self.shaken(Closer)
        self.tls.loseWriteConnection()
        self.network.iterateUntilIdle()
        server.say(b"HELLO\n" * 5000)
        server.say(b"HELLO\n")
        server.flush()
        self.assertEqual(self.talker.received, b"HELLO\n" * 5001)
        self.assertTrue(server.client.socket.closed)
        self.assertEqual(
            self.talker.events, ["handshake", "write end", "ConnectionLost"]
        )

    def test_lost(self) -> None:
        """
        A connection that is lost may be written to, ended and aborted, in vain.
        """
        server = self.shaken()
        self.tls.write(b"hello\n")
        self.network.iterateUntilIdle()
        server.client.socket.reset()
        self.network.iterateUntilIdle()
        self.assertEqual(self.talker.events, ["handshake", "ConnectionLost"])
        self.tls.write(b"hello\n")
        self.tls.loseWriteConnection()
        self.tls.loseConnection()
        self.tls.abortConnection()
        self.assertEqual(self.tls.unsentBytes(), 0)
        self.assertEqual(self.tls.unacknowledgedBytes(), 0)

    def test_logContext(self) -> None:
        """
        The transport needs as much of a context for its log as its protocol.
        """
        self.shaken()
        self.assertTrue(self.tls.logContext)

        class Quiet(Talker):
            logContext = False

        self.tls.switchProtocol(Quiet())
        self.assertFalse(self.tls.logContext)
        self.tls.switchProtocol(Talker())
        self.assertTrue(self.tls.logContext)

    def test_noProtocol(self) -> None:
        """
        Where the inner factory builds no protocol, there is no transport.
        """

        class Closed(ServerFactory):
            def buildProtocol(self, addr: IAddress | None) -> None:
                pass

        creator = optionsForClientTLS("localhost")
        factory = TLSFactory(clientSide(creator), Closed(), self.network)
        self.assertIsNone(factory.buildProtocol(None))
