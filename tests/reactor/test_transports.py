"""
Tests for L{upperproto.reactor.transports}.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import main
from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import FileDescriptorOverrun
from twisted.internet.interfaces import (
    IFileDescriptorReceiver,
    IHalfCloseableProtocol,
    IPushProducer,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.tcp import Server
from twisted.python.failure import Failure
from twisted.python.sendmsg import sendmsg
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.memory import Client, MemorySocket
from tests.reactor.memory import MemoryReactor
from upperproto.interfaces import ISendQueue
from upperproto.reactor import transports, unsentbytes
from upperproto.reactor.readsize import LARGEST_READ, READ_TIME, SMALLEST_READ
from upperproto.reactor.transports import (
    SEND_BUFFER,
    SENT_AT_ONCE,
    TCPServer,
    UNIXServer,
)

# More than the kernel will refuse in a test.
WIDE = 1 << 24


@implementer(IHalfCloseableProtocol)
class Recorder(Protocol):
    """
    A protocol that notes what happens to it.

    @ivar events: what has happened.
    """

    def __init__(self) -> None:
        """
        Nothing has happened yet.
        """
        self.events: list[object] = []

    def dataReceived(self, data: bytes) -> None:
        """
        Note how many bytes have come.
        """
        self.events.append(len(data))

    def readConnectionLost(self) -> None:
        """
        Note it.
        """
        self.events.append("read side")

    def writeConnectionLost(self) -> None:
        """
        Note it.
        """
        self.events.append("write side")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Note why.
        """
        self.events.append(reason.type)


@implementer(IPushProducer)
class Producer:
    """
    A producer that notes what it is told.

    @ivar told: what it was told.
    @ivar whenResumed: what it does when it is resumed.
    """

    def __init__(self, whenResumed: Callable[[], object] = lambda: None) -> None:
        """
        @param whenResumed: what it does when it is resumed.
        """
        self.told: list[str] = []
        self.whenResumed = whenResumed

    def pauseProducing(self) -> None:
        """
        Note it.
        """
        self.told.append("pause")

    def resumeProducing(self) -> None:
        """
        Note it, and go on.
        """
        self.told.append("resume")
        self.whenResumed()

    def stopProducing(self) -> None:
        """
        Note it.
        """
        self.told.append("stop")


class TransportTestCase(SynchronousTestCase):
    """
    A reactor, and connections to it that are in memory.
    """

    def setUp(self) -> None:
        """
        Make the reactor.
        """
        self.reactor = MemoryReactor()
        self.addCleanup(self.reactor.close)

    def connect(self, window: int = 10) -> tuple[Client, Any]:
        """
        Connect a client to a L{Recorder}.
        """
        client = self.reactor.connect(Recorder(), window)
        return client, client.transport

    def countSends(self, client: Client) -> list[int]:
        """
        Note how many bytes each call of C{send} is given from now on.
        """
        sends: list[int] = []
        send = client.socket.send

        def counted(data: Any) -> int:
            sends.append(len(data))
            return send(data)

        self.patch(client.socket, "send", counted)
        return sends


class WriteTests(TransportTestCase):
    """
    When and what a transport sends.
    """

    def test_iteration(self) -> None:
        """
        What was written is sent at the end of the iteration, all at once, and nobody is
        asked whether the socket is writable.
        """
        client, transport = self.connect()
        for data in (b"01", b"23", b"45"):
            transport.write(data)
        transport.writeSequence([b"67", b"89"])
        self.assertEqual(client.receive(), b"")
        self.assertEqual(transport.unsentBytes(), 10)
        sends = self.countSends(client)
        self.reactor.iterate(0)
        self.assertEqual(client.receive(), b"0123456789")
        self.assertEqual(transport.unsentBytes(), 0)
        self.reactor.iterateUntilIdle()
        self.assertEqual(sends, [10])
        self.assertEqual(self.reactor.poller.controls, [])

    def test_rest(self) -> None:
        """
        What the socket does not take is sent when it does, and nothing overtakes it.
        """
        client, transport = self.connect()
        sends = self.countSends(client)
        transport.write(b"0123456789abc")
        self.reactor.iterate(0)
        self.assertEqual(transport.unsentBytes(), 3)
        transport.write(b"d")
        transport.writeSequence([b"e"])
        self.assertEqual(transport.unsentBytes(), 5)
        self.reactor.iterateUntilIdle()
        self.assertEqual(sends, [13])
        self.assertEqual(client.receive(), b"0123456789")
        self.reactor.iterateUntilIdle()
        self.assertEqual(client.receive(), b"abcde")
        # It was waited for once.
        self.assertEqual(self.reactor.poller.controls, ["modify", "modify"])
        transport.write(b"f")
        self.reactor.iterate(0)
        self.assertEqual(client.receive(), b"f")

    def test_full(self) -> None:
        """
        If the socket takes nothing, all waits.
        """
        client, transport = self.connect(window=0)
        transport.write(b"abc")
        self.reactor.iterateUntilIdle()
        self.assertEqual(transport.unsentBytes(), 3)
        client.socket.window = 10
        self.reactor.iterateUntilIdle()
        self.assertEqual(client.receive(), b"abc")

    def test_kernelIsShort(self) -> None:
        """
        If the kernel has no memory for it, all waits, too.
        """
        client, transport = self.connect()

        def send(data: object) -> int:
            client.socket.send = sending  # type: ignore[method-assign] # for once
            raise OSError(errno.ENOBUFS, "no memory")

        sending = client.socket.send
        client.socket.send = send  # type: ignore[method-assign]
        transport.write(b"abc")
        self.reactor.iterateUntilIdle()
        self.assertEqual(client.receive(), b"abc")
        self.assertEqual(self.reactor.poller.controls, ["modify", "modify"])

    def test_many(self) -> None:
        """
        More than Twisted sends at a time is sent at once.
        """
        size = 3 * Server.SEND_LIMIT
        client, transport = self.connect(window=size)
        transport.write(b"a" * (size - 1) + b"bc")
        self.reactor.iterate(0)
        self.assertEqual(client.receive(), b"a" * (size - 1) + b"b")
        self.reactor.iterate(0)
        self.assertEqual(client.receive(), b"c")

    def test_slowClient(self) -> None:
        """
        What was written to a client that takes little at a time arrives in order,
        however much waits, and whatever is written meanwhile.
        """
        client, transport = self.connect(window=50000)
        expected = b""
        for number in range(20):
            data = bytes([number]) * 30000
            expected += data
            transport.write(data)
            self.reactor.iterate(0)
            client.receive(20000)
        while transport.unsentBytes():
            self.reactor.iterate(0)
            client.receive()
        client.receive()
        self.assertEqual(client.received, expected)

    def test_nothing(self) -> None:
        """
        Where nothing was written, nothing is sent.
        """
        _, transport = self.connect()
        transport.write(b"")
        transport.writeSequence([])
        self.assertEqual(self.reactor.getWriters(), [])

    def test_notBytes(self) -> None:
        """
        Only bytes can be written.
        """
        _, transport = self.connect()
        for data in ("a", bytearray(b"a"), None):
            with self.assertRaises(TypeError):
                transport.write(data)

    def test_afterTheEnd(self) -> None:
        """
        Nothing is sent, and nothing goes wrong, once the connection has ended, or its
        sending side has.
        """
        client, transport = self.connect()
        transport.loseWriteConnection()
        self.reactor.iterateUntilIdle()
        transport.write(b"a")
        transport.writeSequence([b"b"])
        self.reactor.iterateUntilIdle()
        self.assertEqual(client.protocol.events, ["write side"])
        self.assertEqual(client.receive(), b"")
        client, transport = self.connect()
        transport.connectionLost(Failure(main.CONNECTION_LOST))
        transport.write(b"c")
        self.assertEqual(transport.unsentBytes(), 0)
        transport.loseWriteConnection()
        transport.startWriting()
        self.assertEqual(self.reactor.getWriters(), [])
        self.reactor.iterateUntilIdle()
        self.assertEqual(client.receive(), b"")

    def test_startTLS(self) -> None:
        """
        After C{startTLS}, what is written goes to TLS, and what that writes to the
        socket.
        """
        client, transport = self.connect()
        written: list[bytes] = []
        client.protocol.write = written.append
        transport.TLS = True
        transport.write(b"abc")
        self.assertEqual(written, [b"abc"])
        FileDescriptor.write(transport, b"def")
        self.reactor.iterate(0)
        self.assertEqual(client.receive(), b"def")

    def test_reset(self) -> None:
        """
        A connection that turns out to be reset is lost; what was not sent is known.
        """
        client, transport = self.connect()
        transport.pauseProducing()
        transport.write(b"abc")
        client.socket.reset()
        self.reactor.iterateUntilIdle()
        self.assertEqual(client.protocol.events, [type(main.CONNECTION_LOST)])
        self.assertEqual(transport.unsentBytes(), 3)
        self.assertEqual(transport.unacknowledgedBytes(), 3)


class CloseTests(TransportTestCase):
    """
    How connections end, and their sides.
    """

    def test_close(self) -> None:
        """
        A connection closes when all was sent: in the same iteration, if the socket
        takes all.
        """
        for written, sizes in [
            (b"", []),
            (b"0123456789", [10]),
            (b"0123456789a", [11, 1]),
        ]:
            client, transport = self.connect()
            sends = self.countSends(client)
            transport.write(written)
            transport.loseConnection()
            self.assertFalse(client.socket.closed)
            self.reactor.iterate(0)
            self.assertEqual(client.socket.closed, len(sizes) < 2)
            client.receive()
            self.reactor.iterate(0)
            self.assertTrue(client.socket.closed)
            client.receive()
            self.assertEqual(client.received, written)
            self.assertEqual(sends, sizes)
            self.assertEqual(client.protocol.events, [type(main.CONNECTION_DONE)])

    def test_closeWithProducer(self) -> None:
        """
        A connection whose producer is paused closes when that has left, and all was
        sent.
        """
        client, transport = self.connect()
        transport.registerProducer(Producer(), True)
        transport.write(b"a" * (SEND_BUFFER + 100))
        transport.loseConnection()
        self.reactor.iterateUntilIdle()
        transport.unregisterProducer()
        client.socket.window = WIDE
        self.reactor.iterateUntilIdle()
        self.assertEqual(len(client.receive()), SEND_BUFFER + 100)
        self.assertTrue(client.socket.closed)

    def test_halfClose(self) -> None:
        """
        The sending side ends when all was sent, and the other goes on.
        """
        for written in (b"", b"0123456789", b"0123456789a"):
            client, transport = self.connect()
            sends = self.countSends(client)
            transport.write(written)
            transport.loseWriteConnection()
            self.assertFalse(client.socket.ended)
            self.reactor.iterateUntilIdle()
            client.receive()
            self.reactor.iterateUntilIdle()
            client.receive()
            self.assertEqual(client.received, written)
            self.assertTrue(client.ended)
            client.send(b"abc")
            self.reactor.iterateUntilIdle()
            client.finish()
            self.reactor.iterateUntilIdle()
            self.assertEqual(client.protocol.events, ["write side", 3, "read side"])
            self.assertNotIn(0, sends)
            transport.loseConnection()
            self.assertTrue(client.socket.closed)

    def test_answerToTheEnd(self) -> None:
        """
        What is written when the client's side has ended is sent.
        """
        client, transport = self.connect()

        def answer() -> None:
            transport.write(b"bye")
            transport.loseConnection()

        self.patch(client.protocol, "readConnectionLost", answer)
        client.finish()
        self.reactor.iterate(0)
        self.assertEqual(client.receive(), b"bye")
        self.assertTrue(client.socket.closed)

    def test_abort(self) -> None:
        """
        An abort drops what waits, whether it waits for the end of the iteration or for
        the socket.
        """
        for iterations in range(2):
            client, transport = self.connect(window=1)
            transport.write(b"abc")
            for _ in range(iterations):
                self.reactor.iterate(0)
            transport.abortConnection()
            self.assertEqual(self.reactor.getWriters(), [])
            transport.write(b"d")
            self.reactor.iterateUntilIdle()
            self.assertTrue(client.socket.cut)
            self.assertEqual(self.reactor.getWriters(), [])


class ProducerTests(TransportTestCase):
    """
    When producers are paused and resumed.
    """

    def test_largeAnswer(self) -> None:
        """
        A push producer is not paused for an answer that the socket takes, however large
        it is; that costs no call of C{epoll_ctl}.
        """
        client, transport = self.connect(window=WIDE)
        producer = Producer()
        transport.registerProducer(producer, True)
        for write in (
            transport.write,
            lambda data: transport.writeSequence([data[:1], data[1:]]),
        ):
            write(b"a" * 3 * LARGEST_READ)
            self.reactor.iterate(0)
            self.assertEqual(len(client.receive()), 3 * LARGEST_READ)
        self.assertEqual(producer.told, [])
        self.assertEqual(self.reactor.poller.controls, [])

    def test_pause(self) -> None:
        """
        It is paused when the socket does not take all and more than a little waits, and
        resumed when nothing does.
        """
        client, transport = self.connect(window=100)
        producer = Producer()
        transport.registerProducer(producer, True)
        transport.write(b"a" * (100 + SEND_BUFFER))
        self.reactor.iterate(0)
        self.assertEqual(producer.told, [])
        transport.write(b"a")
        self.assertEqual(producer.told, ["pause"])
        client.socket.window = WIDE
        client.receive()
        self.reactor.iterateUntilIdle()
        self.assertEqual(producer.told, ["pause", "resume"])

    def test_endlessPush(self) -> None:
        """
        A producer that writes until it is paused is paused, although the socket takes
        all: others come first.
        """
        client, transport = self.connect(window=WIDE)

        def produce() -> None:
            while producer.told[-1] == "resume":
                transport.write(b"a" * 1000)

        producer = Producer(produce)
        transport.registerProducer(producer, True)
        producer.resumeProducing()
        first = len(client.receive()) + transport.unsentBytes()
        self.assertLessEqual(first, SENT_AT_ONCE + 3 * SEND_BUFFER)
        self.reactor.iterateUntilIdle()
        self.assertGreater(len(client.receive()), 2 * first)

    def test_pull(self) -> None:
        """
        A pull producer is resumed when what it has produced was sent.
        """
        client, transport = self.connect()
        pieces = [b"0123456789", b"abc", b"d"]

        def produce() -> None:
            if pieces:
                transport.write(pieces.pop(0))
            else:
                transport.unregisterProducer()
                transport.loseConnection()

        transport.registerProducer(Producer(produce), False)
        self.assertEqual(len(pieces), 2)
        self.reactor.iterate(0)
        self.assertEqual(len(pieces), 1)
        for _ in range(3):
            self.reactor.iterateUntilIdle()
            client.receive()
        self.assertEqual(client.received, b"0123456789abcd")
        self.assertTrue(client.socket.closed)

    def test_lost(self) -> None:
        """
        A producer is told to stop where the connection is lost in the midst of a large
        answer; the write itself fails for nobody.
        """
        client, transport = self.connect()
        producer = Producer()
        transport.registerProducer(producer, True)
        client.socket.reset()
        transport.write(b"a" * 2 * SEND_BUFFER)
        self.assertTrue(transport.connected)
        self.reactor.iterateUntilIdle()
        self.assertEqual(producer.told, ["pause", "stop"])
        self.assertEqual(transport.unsentBytes(), 2 * SEND_BUFFER)


class ReadTests(TransportTestCase):
    """
    How many bytes are read at a time.
    """

    def read(self, seconds: float, *sizes: int, share: float = 0.0) -> list[object]:
        """
        Let a client send much, which its protocol takes its time for.

        @param seconds: how long it takes for each read.
        @param sizes: how much comes before each read.
        @param share: how many seconds it takes for each byte, besides.
        @return: how much was read each time.
        """
        client = self.client
        now = [0.0]

        def receive(data: bytes) -> None:
            now[0] += seconds + share * len(data)
            client.protocol.events.append(len(data))

        self.patch(transports, "perf_counter", lambda: now[0])
        self.patch(client.protocol, "dataReceived", receive)
        client.protocol.events.clear()
        for size in sizes:
            client.send(bytes(size))
            self.reactor.iterate(0)
        del client.socket.inbound[:]
        return list(client.protocol.events)

    def setUp(self) -> None:
        """
        Connect.
        """
        super().setUp()
        self.client, self.transport = self.connect()

    def test_grows(self) -> None:
        """
        Reads that are full and handled quickly become larger, up to a bound.
        """
        sizes = self.read(0.0, *[LARGEST_READ] * 6)
        self.assertEqual(sizes[0], SMALLEST_READ)
        self.assertEqual(sizes[-2:], [LARGEST_READ, LARGEST_READ])
        self.assertEqual(sizes, sorted(sizes))

    def test_staysSmall(self) -> None:
        """
        Reads that are not full do not.
        """
        self.read(0.0, *[SMALLEST_READ - 1] * 6)
        self.assertEqual(self.transport.bufferSize, SMALLEST_READ)
        self.read(0.0, *[LARGEST_READ] * 2)
        grown = self.transport.bufferSize
        self.read(0.0, *[grown - 1] * 6)
        self.assertEqual(self.transport.bufferSize, grown)

    def test_costly(self) -> None:
        """
        Bytes that cost much are read in pieces that take no longer than they may,
        beginning with the second read.
        """
        self.read(0.0, *[LARGEST_READ] * 6)
        cost = READ_TIME / 20000
        sizes = self.read(0.0, *[LARGEST_READ] * 4, share=cost)
        self.assertEqual(sizes[0], LARGEST_READ)
        for size in sizes[1:]:
            self.assertIn(size, range(19990, 20001))
        sizes = self.read(0.0, *[LARGEST_READ] * 4, share=1.0)
        self.assertEqual(sizes[1:], [SMALLEST_READ] * 3)

    def test_growsNoFurther(self) -> None:
        """
        Reads grow no further than to what they may take.
        """
        sizes = self.read(0.0, *[LARGEST_READ] * 6, share=READ_TIME / 20000)
        for size in sizes[3:]:
            self.assertIn(size, range(19990, 20001))

    def test_cheapAgain(self) -> None:
        """
        Bytes that cost little again are read in large pieces again.
        """
        self.read(0.0, *[LARGEST_READ] * 6)
        self.read(1.0, *[LARGEST_READ] * 3)
        self.read(0.0, *[LARGEST_READ] * 6)
        self.assertEqual(self.transport.bufferSize, LARGEST_READ)


class NameTests(TransportTestCase):
    """
    How a transport is shown.
    """

    def test_repr(self) -> None:
        """
        By its protocol, its number and its port; when it is lost, too.
        """
        _, transport = self.connect()
        shown = f" #{transport.sessionno} on {transport.server._realPortNumber}>"
        self.assertEqual(repr(transport), f"<Recorder{shown}")
        transport.abortConnection()
        self.reactor.iterateUntilIdle()
        self.assertEqual(repr(transport), f"<NoneType{shown}")

    def test_logPrefix(self) -> None:
        """
        In the log by its protocol, its number and its client, as in Twisted.
        """
        _, transport = self.connect()
        expected = f"Recorder,{transport.sessionno},192.0.2.1"
        self.assertEqual(
            (transport.logstr, transport.logPrefix()), (expected, expected)
        )

    def test_getPeer(self) -> None:
        """
        The address of the peer is of the family of the connection.
        """
        clients = [
            (("192.0.2.1", 7), IPv4Address("TCP", "192.0.2.1", 7)),
            (("2001:db8::1", 7, 0, 0), IPv6Address("TCP", "2001:db8::1", 7)),
        ]
        for client, address in clients:
            accepted = self.reactor.newSocket(lambda number: MemorySocket(number, WIDE))
            transport = TCPServer(accepted, None, client, None, 0, self.reactor)
            self.assertEqual(transport.getPeer(), address)


class SendQueueTests(TransportTestCase):
    """
    What a transport tells of what waits.
    """

    def test_provided(self) -> None:
        """
        It provides the interface itself, and that of any TCP transport.
        """
        _, transport = self.connect()
        self.assertIs(ISendQueue(transport), transport)
        verifyObject(ISendQueue, transport)
        verifyObject(ITCPTransport, transport)

    def test_unacknowledged(self) -> None:
        """
        What the kernel has taken counts as unacknowledged until the peer's has it.
        """
        _, transport = self.connect()
        self.patch(unsentbytes, "unacknowledgedInKernel", lambda descriptor: 7)
        transport.write(b"abc")
        self.assertEqual(transport.unsentBytes(), 3)
        self.assertEqual(transport.unacknowledgedBytes(), 10)
        self.reactor.iterate(0)
        self.assertEqual(transport.unsentBytes(), 0)
        self.assertEqual(transport.unacknowledgedBytes(), 7)


class UNIXTests(SynchronousTestCase):
    """
    Tests for L{UNIXServer}, on a real pair of sockets.
    """

    def setUp(self) -> None:
        """
        Connect.
        """
        self.reactor = MemoryReactor()
        server, self.peer = socket.socketpair(socket.AF_UNIX)
        self.addCleanup(self.peer.close)
        self.addCleanup(server.close)
        self.reactor.poller.sockets[server.fileno()] = server
        self.protocol = Recorder()
        self.transport: Any = UNIXServer(
            server, self.protocol, "", None, 0, self.reactor
        )
        self.protocol.makeConnection(self.transport)

    def send(self) -> None:
        """
        Let the end of an iteration come.
        """
        self.patch(self.reactor.poller, "poll", lambda timeout, most: [])
        self.reactor.iterate(0)

    def test_sameLogic(self) -> None:
        """
        It sends and reads as a L{TCPServer} does.
        """
        self.assertIsInstance(self.transport, TCPServer)
        self.transport.write(b"abc")
        self.assertEqual(self.transport.unsentBytes(), 3)
        self.assertEqual(self.reactor.poller.controls, ["add"])
        self.send()
        self.assertEqual(self.peer.recv(10), b"abc")
        size = Server.SEND_LIMIT + 1
        self.transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * size)
        self.transport.write(bytes(size))
        self.send()
        self.assertEqual(self.transport.unsentBytes(), 0)
        self.peer.setblocking(True)
        self.peer.sendall(bytes(SMALLEST_READ))
        self.transport.doRead()
        self.assertEqual(self.protocol.events, [SMALLEST_READ])
        self.assertGreater(self.transport.bufferSize, SMALLEST_READ)
        self.assertEqual(self.reactor.poller.controls, ["add"])

    def test_descriptors(self) -> None:
        """
        Descriptors are sent with the bytes that they were written with, and received.
        """
        received: list[int] = []

        @implementer(IFileDescriptorReceiver)
        class Receiver(Recorder):
            def fileDescriptorReceived(self, descriptor: int) -> None:
                received.append(descriptor)

        self.transport.protocol = Receiver()
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.transport.sendFileDescriptor(writer)
        self.transport.write(b"ab")
        self.send()
        os.close(writer)
        data, [descriptor], _, _ = socket.recv_fds(self.peer, 10, 1)
        data += self.peer.recv(10)
        self.assertEqual(data, b"ab")
        sendmsg(self.peer, b"c", _descriptors(descriptor))
        os.close(descriptor)
        self.transport.doRead()
        [descriptor] = received
        os.write(descriptor, b"through")
        os.close(descriptor)
        self.assertEqual(os.read(reader, 10), b"through")

    def test_descriptorAlone(self) -> None:
        """
        A descriptor without a byte that it could be sent with ends the connection, as
        on Twisted's reactors.
        """
        self.transport.sendFileDescriptor(0)
        self.send()
        self.assertEqual(self.protocol.events, [FileDescriptorOverrun])

    def test_manyDescriptors(self) -> None:
        """
        A producer is paused where many descriptors wait.
        """
        producer = Producer()
        self.transport.registerProducer(producer, True)
        self.transport.writeSequence([bytes(SMALLEST_READ + 1)])
        self.assertEqual(producer.told, [])
        self.send()
        for _ in range(65):
            self.transport.sendFileDescriptor(0)
        self.assertEqual(producer.told, ["pause"])


def _descriptors(*numbers: int) -> list[tuple[int, int, bytes]]:
    """
    Ancillary data that carries descriptors.
    """
    packed = b"".join(number.to_bytes(4, "little") for number in numbers)
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, packed)]
