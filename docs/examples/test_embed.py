"""
A test of one's own, without a network. Run it with C{trial ./test_embed.py} or with
C{pytest test_embed.py}.
"""

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from upperproto import UpperFactory, UpperProtocol


class ConversationTests(SynchronousTestCase):
    """
    What our application expects of the service.
    """

    def connect(self, factory: UpperFactory) -> tuple[UpperProtocol, StringTransport]:
        """
        Begin a conversation with a new client.
        """
        protocol = factory.buildProtocol(None)
        assert isinstance(protocol, UpperProtocol)
        transport = StringTransport()
        protocol.makeConnection(transport)
        return protocol, transport

    def test_line(self) -> None:
        """
        A line is answered as soon as it has ended.
        """
        protocol, transport = self.connect(UpperFactory())
        protocol.dataReceived(b"good mor")
        self.assertEqual(transport.value(), b"")
        protocol.dataReceived(b"ning\n")
        self.assertEqual(transport.value(), b"GOOD MORNING\n")

    def test_quiet(self) -> None:
        """
        An unfinished line is answered when the client goes quiet.
        """
        clock = Clock()
        protocol, transport = self.connect(UpperFactory(flushAfter=0.05, clock=clock))
        protocol.dataReceived(b"good morning")
        clock.advance(0.05)
        self.assertEqual(transport.value(), b"GOOD MORNING")
