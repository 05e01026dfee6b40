"""What the service does, without a network: run C{trial yours}."""

from twisted.internet.testing import StringTransport
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from yours.factory import LineFactory
from yours.tap import Options


class ConversationTests(SynchronousTestCase):
    """One connection, whose transport keeps what is written."""

    def setUp(self) -> None:
        """Connect."""
        self.transport = StringTransport()
        self.protocol = LineFactory(maxLength=9).buildProtocol(None)
        self.protocol.makeConnection(self.transport)

    def test_pieces(self) -> None:
        """Lines are answered however the network cuts them."""
        self.protocol.dataReceived(b"ab")
        self.protocol.dataReceived(b"c\ndef\n")
        self.assertEqual(self.transport.value(), b"cba\nfed\n")

    def test_halfClose(self) -> None:
        """A client that ends its side gets its answers, and then the end."""
        self.protocol.dataReceived(b"abc\n")
        self.protocol.readConnectionLost()
        self.assertEqual(self.transport.value(), b"cba\n")
        self.assertTrue(self.transport.disconnecting)

    def test_backPressure(self) -> None:
        """While answers cannot leave, nothing is read, and nothing is lost."""
        self.transport.producer.pauseProducing()
        self.protocol.dataReceived(b"abc\n")
        self.assertEqual(self.transport.producerState, "paused")
        self.assertEqual(self.transport.value(), b"")
        self.transport.producer.resumeProducing()
        self.assertEqual(self.transport.value(), b"cba\n")

    def test_options(self) -> None:
        """A bad value is an error of usage."""
        self.assertRaises(UsageError, Options().parseOptions, ["--port", "x"])
