"""
Tests for L{upperproto.reactor.unsentbytes}.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.tcp import Connection
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.protocols.policies import WrappingFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.memory import MemoryNetwork
from upperproto.interfaces import ISendQueue
from upperproto.reactor import unsentbytes
from upperproto.reactor.unsentbytes import FileDescriptorSendQueue


class FileDescriptorSendQueueTests(SynchronousTestCase):
    """
    Tests for L{FileDescriptorSendQueue}.
    """

    def setUp(self) -> None:
        """
        Set up a network.
        """
        self.network = MemoryNetwork()
        self.patch(unsentbytes, "fcntl", self.network)

    def test_waiting(self) -> None:
        """
        What was written is unsent until the kernel has taken it, and unacknowledged
        until the client's has.
        """
        client = self.network.connect(Factory.forProtocol(Protocol), window=10)
        queue = ISendQueue(client.transport)
        verifyObject(ISendQueue, queue)
        self.assertIsInstance(queue, FileDescriptorSendQueue)
        steps: list[tuple[int, int]] = []

        def look() -> None:
            steps.append((queue.unsentBytes(), queue.unacknowledgedBytes()))

        look()
        client.transport.write(b"0123456789abc")
        look()
        self.network.iterateUntilIdle()
        look()
        client.transport.write(b"de")
        look()
        client.receive(4)
        look()
        client.receive()
        self.network.iterateUntilIdle()
        look()
        client.receive()
        look()
        self.assertEqual(
            steps, [(0, 0), (13, 13), (3, 13), (5, 15), (5, 11), (0, 5), (0, 0)]
        )

    def test_closed(self) -> None:
        """
        The socket of a closed connection is not asked; what was unsent is still known.
        """
        client = self.network.connect(Factory.forProtocol(Protocol), window=0)
        client.transport.write(b"abc")
        client.transport.abortConnection()
        self.network.iterateUntilIdle()
        self.assertEqual(ISendQueue(client.transport).unsentBytes(), 3)
        self.assertEqual(ISendQueue(client.transport).unacknowledgedBytes(), 3)

    def test_kernelDoesNotTell(self) -> None:
        """
        Where the kernel does not tell, what is unsent is all that is known.
        """

        def ioctl(*arguments: object) -> bytes:
            raise OSError("Inappropriate ioctl for device")

        self.patch(self.network, "ioctl", ioctl)
        client = self.network.connect(Factory.forProtocol(Protocol), window=10)
        client.transport.write(b"0123456789abc")
        self.network.iterateUntilIdle()
        self.assertEqual(ISendQueue(client.transport).unacknowledgedBytes(), 3)

    def test_wrapped(self) -> None:
        """
        What waits below a wrapper of Twisted's is known.
        """
        factory = WrappingFactory(Factory.forProtocol(Protocol))
        client = self.network.connect(factory, window=10)
        queue = ISendQueue(client.protocol)
        client.protocol.write(b"0123456789abc")
        self.assertEqual(queue.unsentBytes(), 13)
        self.network.iterateUntilIdle()
        self.assertEqual(queue.unsentBytes(), 3)

    def test_otherTransports(self) -> None:
        """
        Other transports tell nothing.
        """
        self.assertIsNone(ISendQueue(StringTransport(), None))

    def test_whatItReliesOn(self) -> None:
        """
        L{Connection} has the parts that are relied on.
        """
        ends = socket.socketpair()
        for end in ends:
            self.addCleanup(end.close)
        reactor: Any = MemoryReactorClock()
        descriptor = Connection(ends[0], Protocol(), reactor)
        descriptor.connected = 1
        descriptor.write(b"abc")
        self.assertEqual(descriptor._tempDataLen, 3)
        self.assertEqual(descriptor.doWrite(), None)
        self.assertEqual(descriptor._tempDataLen, 0)
        self.assertEqual(descriptor.dataBuffer, b"")
        self.assertEqual(descriptor.offset, 0)
        self.assertEqual(ends[1].recv(10), b"abc")
