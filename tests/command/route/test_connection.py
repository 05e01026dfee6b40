"""
Tests for L{upperproto.command.route.connection}. What TLS servers do is in
L{tests.functional.command.test_tls}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost, UserError
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from upperproto.command.errors import NotConnected
from upperproto.command.options import Options
from upperproto.command.route.addresses import Address
from upperproto.command.route.connection import Connector, _peerName
from upperproto.command.route.proxyheader import header
from upperproto.command.route.target import target

ADDRESS = Address(2, "192.0.2.1", 5000)


class Recorder(Protocol):
    """
    Note what happens.
    """

    def __init__(self) -> None:
        """
        Begin with nothing.
        """
        self.events: list[str] = []

    def connectionMade(self) -> None:
        """
        Note it.
        """
        self.events.append("made")

    def dataReceived(self, data: bytes) -> None:
        """
        Note it.
        """
        self.events.append(data.decode())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Note it.
        """
        self.events.append(type(reason.value).__name__)


class ConnectorTests(SynchronousTestCase):
    """
    L{Connector}.
    """

    def setUp(self) -> None:
        """
        Make a connector to an address.
        """
        self.connector = self.connect()

    def connect(self, *words: str, found: Any = None) -> Connector:
        """
        Make a connector and begin to connect.

        @param found: what the name leads to.
        """
        self.reactor = MemoryReactorClock()
        options = Options(words or ("192.0.2.1",))
        connector = Connector(
            target(options, options.words),
            self.reactor,
            5,
            self.reactor.seconds,
            lambda *_: succeed([ADDRESS, ADDRESS]) if found is None else found,
        )
        self.protocol = Recorder()
        self.opened = Deferred.fromCoroutine(connector.connect(self.protocol))
        return connector

    def accept(self, transport: StringTransport) -> Any:
        """
        Make the connection.

        @return: the protocol of the transport.
        """
        protocol: Any = self.reactor.tcpClients[0][2].buildProtocol(None)
        protocol.makeConnection(transport)
        return protocol

    def assertFailed(self, code: str, said: str) -> None:
        """
        Assert that no connection was made, and why.
        """
        error = self.failureResultOf(self.opened, NotConnected).value
        self.assertEqual((error.code, str(error)), (code, said))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_plain(self) -> None:
        """
        A connection without TLS can be spoken on at once, and does not hold small
        texts back.
        """
        self.reactor.advance(1)
        transport: Any = StringTransport(
            peerAddress=IPv4Address("TCP", "192.0.2.1", 5000)
        )
        noDelay: list[bool] = []
        transport.setTcpNoDelay = noDelay.append
        protocol = self.accept(transport)
        self.assertEqual(noDelay, [True])
        opened = self.successResultOf(self.opened)
        self.assertEqual(opened, ("192.0.2.1:5000", 1, None, None))
        protocol.dataReceived(b"abc")
        protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.protocol.events, ["made", "abc", "ConnectionDone"])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_tooSlow(self) -> None:
        """
        A connection that is not made in its time is given up.
        """
        self.reactor.advance(5)
        factory: Any = self.reactor.tcpClients[0][2]
        if not factory.made.called:
            # What the real reactor does when a connection is given up.
            factory.clientConnectionFailed(None, Failure(UserError()))
        error = self.failureResultOf(self.opened, NotConnected).value
        self.assertEqual(
            str(error), "cannot connect to 192.0.2.1:5000: no answer in time"
        )

    def test_resolve(self) -> None:
        """
        A name that leads nowhere, or not in time, is said.
        """
        self.connect("a", found=fail(NotConnected("no-host", "no such host")))
        self.assertFailed("no-host", "cannot connect to a:5000: no such host")
        self.connect("a", found=Deferred())
        self.reactor.advance(5)
        self.assertFailed("no-host", "cannot connect to a:5000: no answer in time")

    def test_addressesOnce(self) -> None:
        """
        An address that is found twice is tried once.
        """
        found = self.successResultOf(Deferred.fromCoroutine(self.connector.resolve()))
        self.assertEqual(found, [ADDRESS])

    def secure(self) -> Any:
        """
        Make a connection over TLS, as far as the handshake.
        """
        self.transport = StringTransport()
        self.transport.abortConnection = lambda: None  # type: ignore[method-assign]
        directlyProvides(self.transport, ISSLTransport)
        return self.accept(self.transport)

    def test_handshakeTimeout(self) -> None:
        """
        A handshake that does not end is given up.
        """
        self.secure()
        self.assertEqual(self.protocol.events, [])
        self.reactor.advance(5)
        self.assertFailed(
            "tls", "no TLS handshake within 5 s: does the server speak TLS?"
        )

    def test_handshakeCutOff(self) -> None:
        """
        A server that goes during the handshake may not know TLS.
        """
        for reason in ConnectionDone(), ConnectionLost():
            self.connect()
            self.secure().connectionLost(Failure(reason))
            self.assertFailed(
                "tls",
                "the server closed the connection during the TLS handshake:"
                " does it speak TLS?",
            )

    def test_handshakeOfAnotherServer(self) -> None:
        """
        A handshake after which the connection was given up at once, for a wrong
        name, begins nothing.
        """
        protocol = self.secure()
        self.transport.disconnecting = True
        protocol.handshakeCompleted()
        self.assertEqual(self.protocol.events, [])
        self.assertNoResult(self.opened)

    def test_truncated(self) -> None:
        """
        A stream that ends without a close_notify was cut off.
        """
        protocol = self.accept(StringTransport())
        self.successResultOf(self.opened)
        protocol.truncated(None)
        protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.protocol.events, ["made", "ConnectionLost"])

    def test_header(self) -> None:
        """
        A PROXY header comes first.
        """
        self.connect("192.0.2.1", "--proxy-header", "192.0.2.7:40000")
        transport = StringTransport(peerAddress=IPv4Address("TCP", "192.0.2.1", 5000))
        protocol = self.accept(transport)
        self.protocol.transport.write(b"abc")  # type: ignore[union-attr]
        self.assertEqual(
            transport.value(),
            bytes.fromhex(
                "0d0a0d0a000d0a515549540a 2111 000c c0000207 c0000201 9c40 1388"
            )
            + b"abc",
        )
        protocol.dataReceived(b"ABC")
        protocol.writeConnectionLost()
        protocol.readConnectionLost()
        self.assertTrue(transport.disconnecting)
        protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.protocol.events, ["made", "ABC", "ConnectionDone"])

    def test_headerOfAnotherFamily(self) -> None:
        """
        A server of another family than the client has no address in the header.
        """
        options = Options(["--proxy-header", "[2001:db8::1]:40000"])
        source = target(options, []).source
        assert source is not None
        made = header(source, IPv4Address("TCP", "192.0.2.1", 5000))
        self.assertEqual(
            made[12:].hex(),
            "21210024" + "20010db8" + "0" * 22 + "01" + "0" * 32 + "9c400000",
        )

    def test_names(self) -> None:
        """
        Whom a connection leads to has a name, also where that is no address.
        """
        self.assertEqual(
            _peerName(IPv4Address("TCP", "192.0.2.1", 1), "x"), "192.0.2.1:1"
        )
        self.assertEqual(_peerName(UNIXAddress(b"a"), "unix:a"), "unix:a")
