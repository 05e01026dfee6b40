"""
Tests for L{upperproto.command.pipe}.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from upperproto.command.pipe import Filter
from upperproto.command.session import HANDSHAKE, BadEnd

DONE, LOST = Failure(ConnectionDone()), Failure(ConnectionLost())


class HalfClosingTransport(StringTransport):
    """
    A transport that notes how its side ended.
    """

    ended = ""

    def loseWriteConnection(self) -> None:
        """
        Note the end.
        """
        assert self.producer is None, "a producer keeps the connection open"
        self.ended += "half-closed"

    def loseConnection(self) -> None:
        """
        Note the end.
        """
        assert self.producer is None, "a producer keeps the connection open"
        self.ended += "closed"


class FilterTests(SynchronousTestCase):
    """
    L{Filter}, and what is L{Conversation}'s in it.
    """

    def setUp(self) -> None:
        """
        Make a filter whose output is a list.
        """
        self.reactor = MemoryReactorClock()
        self.output: list[bytes] = []
        self.transport = HalfClosingTransport()
        self.filter = Filter(self.reactor, self.output.append)

    def assertEnded(self, problem: str) -> None:
        """
        Assert that the conversation has ended badly, and why.
        """
        failure = self.failureResultOf(self.filter.done, BadEnd)
        self.assertEqual(str(failure.value), problem)
        self.assertEqual(self.reactor.getReaders(), [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_conversation(self) -> None:
        """
        Input goes out as it is, answers come as they are; the end of input
        half-closes, and the server's ends it all.
        """
        self.filter.makeConnection(self.transport)
        self.assertEqual(len(self.reactor.getReaders()), 1)
        self.filter.inputReceived(b"abc\nd")
        self.filter.dataReceived(b"ABC\n")
        self.filter.inputEnded(DONE)
        self.assertEqual(self.transport.ended, "half-closed")
        self.filter.dataReceived(b"D")
        self.assertNoResult(self.filter.done)
        self.filter.connectionLost(DONE)
        self.successResultOf(self.filter.done)
        self.assertEqual(self.transport.value(), b"abc\nd")
        self.assertEqual(self.output, [b"ABC\n", b"D"])

    def test_backPressure(self) -> None:
        """
        While the transport takes nothing, no input is read.
        """
        self.filter.makeConnection(self.transport)
        assert self.transport.producer is not None
        self.assertTrue(self.transport.streaming)
        self.transport.producer.pauseProducing()
        self.assertEqual(self.reactor.getReaders(), [])
        self.transport.producer.resumeProducing()
        self.assertEqual(len(self.reactor.getReaders()), 1)

    def test_tooEarly(self) -> None:
        """
        A server that ends before the input does has cut the conversation off.
        """
        self.filter.makeConnection(self.transport)
        self.filter.connectionLost(DONE)
        self.assertEnded("the server closed the connection before the end of input")

    def test_unanswered(self) -> None:
        """
        So has one that has not answered everything.
        """
        self.filter.makeConnection(self.transport)
        self.filter.inputReceived(b"abc\n")
        self.filter.inputEnded(DONE)
        self.filter.connectionLost(DONE)
        self.assertEnded("the server closed the connection before its last answer")

    def test_lost(self) -> None:
        """
        A connection that is lost, not closed, was cut off.
        """
        self.filter.makeConnection(self.transport)
        self.filter.inputEnded(DONE)
        self.filter.connectionLost(LOST)
        self.assertEnded("the connection was cut off")

    def test_fault(self) -> None:
        """
        A fault of ours that closes the connection is told, not hidden.
        """
        self.filter.makeConnection(self.transport)
        self.filter.connectionLost(Failure(ZeroDivisionError("division by zero")))
        self.assertEnded("the connection was lost: division by zero")

    def test_enough(self) -> None:
        """
        When nobody reads the output any more, that is a good end.
        """

        def refuse(data: bytes) -> None:
            raise BrokenPipeError(32, "Broken pipe")

        self.filter = Filter(self.reactor, refuse)
        self.filter.makeConnection(self.transport)
        self.filter.dataReceived(b"ABC\n")
        self.successResultOf(self.filter.done)
        # What else comes changes nothing.
        self.filter.dataReceived(b"ABC\n")
        self.filter.connectionLost(LOST)

    def test_full(self) -> None:
        """
        When the output cannot be written, that is a bad end.
        """

        def refuse(data: bytes) -> None:
            raise OSError(28, "No space left on device")

        self.filter = Filter(self.reactor, refuse)
        self.filter.makeConnection(self.transport)
        self.filter.dataReceived(b"ABC\n")
        self.assertEnded("cannot write standard output: No space left on device")

    def test_unreadable(self) -> None:
        """
        When the input cannot be read, that is a bad end.
        """
        self.filter.makeConnection(self.transport)
        self.filter.inputEnded(Failure(OSError(5, "Input/output error")))
        self.assertEnded("cannot read standard input: Input/output error")

    def secure(self) -> None:
        """
        Connect over TLS.
        """
        directlyProvides(self.transport, ISSLTransport)
        self.filter.makeConnection(self.transport)

    def test_handshake(self) -> None:
        """
        Over TLS, nothing is read before the handshake is complete; the end of
        input is a close_notify.
        """
        self.secure()
        self.assertEqual(self.reactor.getReaders(), [])
        self.filter.handshakeCompleted()
        self.assertEqual(len(self.reactor.getReaders()), 1)
        self.filter.inputEnded(DONE)
        self.assertEqual(self.transport.ended, "closed")
        self.filter.connectionLost(DONE)
        self.successResultOf(self.filter.done)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_handshakeOfAnotherServer(self) -> None:
        """
        A handshake after which the connection was given up at once, for a wrong
        name, begins nothing.
        """
        self.secure()
        self.transport.disconnecting = True
        self.filter.handshakeCompleted()
        self.assertEqual(self.reactor.getReaders(), [])

    def test_handshakeTimeout(self) -> None:
        """
        A handshake that does not end is a bad end.
        """
        self.secure()
        self.reactor.advance(HANDSHAKE)
        self.assertEnded("no TLS handshake within 30 s: does the server speak TLS?")

    def test_handshakeCutOff(self) -> None:
        """
        A server that goes during the handshake may not know TLS.
        """
        for reason in DONE, LOST:
            self.setUp()
            self.secure()
            self.filter.connectionLost(reason)
            self.assertEnded(
                "the server closed the connection during the TLS handshake:"
                " does it speak TLS?"
            )
