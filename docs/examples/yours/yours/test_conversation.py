"""Tests of the service, without a network: run C{trial yours}."""

from twisted.internet.testing import StringTransport
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from yours.factory import LineFactory
from yours.tap import Options


class ConversationTests(SynchronousTestCase):
    """One connection. Its transport stores the answers."""

    def setUp(self) -> None:
        """Connect."""
        self.transport = StringTransport()
        self.protocol = LineFactory(maxLength=9).buildProtocol(None)
        self.protocol.makeConnection(self.transport)

    def test_pieces(self) -> None:
        """Each line gets its answer, wherever the network cuts it."""
        self.protocol.dataReceived(b"ab")
        self.protocol.dataReceived(b"c\ndef\n")
        self.assertEqual(self.transport.value(), b"cba\nfed\n")

    def test_halfClose(self) -> None:
        """A client that ends its side gets its answers. Then the connection ends."""
        self.protocol.dataReceived(b"abc\n")
        self.protocol.readConnectionLost()
        self.assertEqual(self.transport.value(), b"cba\n")
        self.assertTrue(self.transport.disconnecting)

    def test_backPressure(self) -> None:
        """While the client does not read, nothing more is read, and nothing is lost."""
        self.transport.producer.pauseProducing()
        self.protocol.dataReceived(b"abc\n")
        self.assertEqual(self.transport.producerState, "paused")
        self.assertEqual(self.transport.value(), b"")
        self.transport.producer.resumeProducing()
        self.assertEqual(self.transport.value(), b"cba\n")

    def test_options(self) -> None:
        """A bad value of an option is an error."""
        self.assertRaises(UsageError, Options().parseOptions, ["--port", "x"])
