"""
Tests for L{upperproto.client}.
"""

from __future__ import annotations

from functools import partial

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.testing import StringTransport, StringTransportWithDisconnection
from twisted.python.failure import Failure
from twisted.test.iosim import connectedServerAndClient
from twisted.trial.unittest import SynchronousTestCase

from upperproto import UpperClient, UpperError, UpperFactory
from upperproto.client import TooLong, WrongAnswer
from upperproto.protocol import UpperProtocol


class UpperClientTests(SynchronousTestCase):
    """
    L{UpperClient}, with answers as a server could give them.
    """

    def setUp(self) -> None:
        """
        Connect a client.
        """
        self.transport = StringTransport()
        self.client = UpperClient()
        self.client.makeConnection(self.transport)

    def lose(self, reason: Exception) -> None:
        """
        Lose the connection.
        """
        self.client.connectionLost(Failure(reason))

    def test_request(self) -> None:
        """
        A text is sent as a line, and its result fires with the answer.
        """
        answered = self.client.upper("straße")
        self.assertEqual(self.transport.value(), "straße\n".encode())
        self.assertNoResult(answered)
        self.client.dataReceived(b"STRA")
        self.assertNoResult(answered)
        self.client.dataReceived(b"SSE\n")
        self.assertEqual(self.successResultOf(answered), "STRASSE")

    def test_pipelining(self) -> None:
        """
        Answers belong to requests in their order.
        """
        answered = [self.client.upper(text) for text in ("a", "", "b\r", "c")]
        self.client.dataReceived(b"A\n\nB\r\n")
        results = [self.successResultOf(each) for each in answered[:3]]
        self.assertEqual(results, ["A", "", "B\r"])
        self.assertNoResult(answered[3])

    def test_requestFromAnswer(self) -> None:
        """
        Who gets an answer may ask again.
        """
        first = self.client.upper("a").addCallback(self.client.upper)
        second = self.client.upper("b")
        self.client.dataReceived(b"A\nB\n")
        self.assertEqual(self.successResultOf(second), "B")
        self.assertNoResult(first)
        self.client.dataReceived(b"A\n")
        self.assertEqual(self.successResultOf(first), "A")

    def test_length(self) -> None:
        """
        A text may be of any length, and so may its answer.
        """
        answered = self.client.upper("x" * 1_000_000)
        for _ in range(100):
            self.client.dataReceived(b"X" * 10_000)
        self.client.dataReceived(b"\n")
        self.assertEqual(self.successResultOf(answered), "X" * 1_000_000)

    def test_lineEnd(self) -> None:
        """
        A text that holds a line end is refused, and nothing is sent.
        """
        with self.assertRaises(ValueError):
            self.client.upper("a\nb")
        self.assertEqual(self.transport.value(), b"")

    def test_otherSeparators(self) -> None:
        """
        Nothing else ends a line, neither in a text nor in an answer.
        """
        text = "A\rB\x0bC\x0cD\x1cE\x85F\u2028G\0"
        answered = self.client.upper(text)
        self.client.dataReceived(text.encode() + b"\n")
        self.assertEqual(self.successResultOf(answered), text)

    def test_surrogates(self) -> None:
        """
        A text that is none, having lone surrogates, is refused, and nothing is
        sent.
        """
        with self.assertRaises(UnicodeEncodeError):
            self.client.upper("a\ud800")
        self.assertEqual(self.transport.value(), b"")

    def test_error(self) -> None:
        """
        An error line fails its request with the reason, and no other one.
        """
        failed, answered = self.client.upper("a"), self.client.upper("b")
        self.client.dataReceived(b"error: invalid UTF-8 at byte 1\nB\n")
        failure = self.failureResultOf(failed, UpperError)
        self.assertEqual(str(failure.value), "invalid UTF-8 at byte 1")
        self.assertEqual(self.successResultOf(answered), "B")

    def test_errorOfText(self) -> None:
        """
        A text that looks like an error does not have an answer that does.
        """
        answered = self.client.upper("error: a")
        self.client.dataReceived(b"ERROR: A\n")
        self.assertEqual(self.successResultOf(answered), "ERROR: A")

    def test_partialAnswer(self) -> None:
        """
        An answer that breaks off before an error is not taken for a whole one.
        """
        failed = self.client.upper("ßbc")
        self.client.dataReceived(b"SSB\nerror: idle for 600 s\n")
        failure = self.failureResultOf(failed, UpperError)
        self.assertEqual(str(failure.value), "3 of 4 characters were answered")
        self.lose(ConnectionDone())
        failure = self.failureResultOf(self.client.upper("a"), UpperError)
        self.assertEqual(str(failure.value), "idle for 600 s")

    def test_invalidAnswer(self) -> None:
        """
        An answer that is not UTF-8 fails its request, and no other one.
        """
        failed, answered = self.client.upper("a"), self.client.upper("b")
        self.client.dataReceived(b"\xff\nB\n")
        self.failureResultOf(failed, UnicodeDecodeError)
        self.assertEqual(self.successResultOf(answered), "B")

    def test_connectionLost(self) -> None:
        """
        When the connection goes, all that waits fails with its reason, and so
        does every later request.
        """
        failed = [self.client.upper(text) for text in "abc"]
        self.client.dataReceived(b"A\nB")
        self.assertEqual(self.successResultOf(failed.pop(0)), "A")
        self.lose(ConnectionLost())
        failed.append(self.client.upper("d"))
        for each in failed:
            self.failureResultOf(each, ConnectionLost)

    def test_requestFromLoss(self) -> None:
        """
        Who asks again because the connection has gone fails at once.
        """
        failed = self.client.upper("a")
        failed.addErrback(lambda _: self.client.upper("b"))
        self.lose(ConnectionDone())
        self.failureResultOf(failed, ConnectionDone)

    def test_lastWord(self) -> None:
        """
        An error line before the end says why all that waits has failed.
        """
        failed = [self.client.upper(text) for text in "ab"]
        self.client.dataReceived(b"error: too many connections\n")
        self.lose(ConnectionDone())
        failed.append(self.client.upper("c"))
        for each in failed:
            failure = self.failureResultOf(each, UpperError)
            self.assertEqual(str(failure.value), "too many connections")

    def test_unasked(self) -> None:
        """
        An error line that nobody waits for says why later requests fail; any
        other line that nobody waits for is dropped.
        """
        self.client.dataReceived(b"WELCOME\nerror: idle for 600 s\n")
        self.lose(ConnectionDone())
        failure = self.failureResultOf(self.client.upper("a"), UpperError)
        self.assertEqual(str(failure.value), "idle for 600 s")

    def test_errorIsNoLastWord(self) -> None:
        """
        An error that answers follow does not say why the connection went.
        """
        self.failureResultOf(self._answerTo(b"error: a\n"), UpperError)
        self.successResultOf(self._answerTo(b"A\n"))
        failed = self.client.upper("a")
        self.lose(ConnectionDone())
        self.failureResultOf(failed, ConnectionDone)

    def _answerTo(self, answer: bytes) -> Deferred[str]:
        answered = self.client.upper("a")
        self.client.dataReceived(answer)
        return answered

    def test_cancel(self) -> None:
        """
        A request that nobody waits for any more keeps its place in the order.
        """
        cancelled, answered = self.client.upper("a"), self.client.upper("b")
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.client.dataReceived(b"A\nB\n")
        self.assertEqual(self.successResultOf(answered), "B")

    def test_beforeConnection(self) -> None:
        """
        Before the connection is made, a request is refused in words; it leaves
        nothing behind that would shift later answers.
        """
        client = UpperClient()
        for call in client.whenReady, lambda: client.upper("x"):
            error = self.assertRaises(RuntimeError, call)
            self.assertIn("before the connection was made", str(error))
        client.makeConnection(self.transport)
        answered = client.upper("a")
        client.dataReceived(b"A\n")
        self.assertEqual(self.successResultOf(answered), "A")

    def test_failedWrite(self) -> None:
        """
        A request that could not be sent leaves nothing behind that would shift
        later answers.
        """

        def fail(data: bytes) -> None:
            raise OSError

        self.patch(self.transport, "write", fail)
        self.assertRaises(OSError, self.client.upper, "x")
        self.patch(self.transport, "write", lambda data: None)
        answered = self.client.upper("a")
        self.client.dataReceived(b"A\n")
        self.assertEqual(self.successResultOf(answered), "A")

    def test_wrongAnswer(self) -> None:
        """
        An answer to something else fails its request, and says where it differs.
        """
        for answer, said in [
            ("ABX", "'X' came at character 3, not 'C'"),
            ("abc", "'a' came at character 1, not 'A'"),
            ("AB", "2 of 3 characters were answered"),
            ("ABCD", "'D' came at character 4, not the end"),
        ]:
            failed = self.client.upper("abc")
            self.client.dataReceived(f"{answer}\n".encode())
            error = self.failureResultOf(failed, WrongAnswer).value
            self.assertEqual(str(error), said)
            self.assertEqual((error.text, error.answer), ("abc", answer))

    def test_shiftedAnswers(self) -> None:
        """
        A line too many among the answers does not go unnoticed.
        """
        failed = [self.client.upper(text) for text in ("a", "b")]
        self.client.dataReceived(b"X\nA\nB\n")
        for each in failed:
            self.failureResultOf(each, WrongAnswer)

    def test_notices(self) -> None:
        """
        A notice is no answer; one that nobody knows is skipped.
        """
        answered = self.client.upper("a")
        self.client.dataReceived(b"server: name=a\nfuture-kind: x\nempty:\nA\n")
        self.assertEqual(self.successResultOf(answered), "A")

    def test_noticeReceived(self) -> None:
        """
        A subclass can receive notices.
        """
        received = []

        class Listener(UpperClient):
            def noticeReceived(self, kind: str, text: str) -> None:
                received.append((kind, text))

        client = Listener()
        client.makeConnection(self.transport)
        client.dataReceived(b"server: name=a peer=[::1]:2\nX\n")
        self.assertEqual(received, [("server", "name=a peer=[::1]:2")])

    def test_echoOfNotice(self) -> None:
        """
        What comes back as it was sent is an echo, even if it looks like a notice.
        """
        failed = self.client.upper("note: a")
        self.client.dataReceived(b"note: a\n")
        self.failureResultOf(failed, WrongAnswer)

    def test_exceptionOfItsOwn(self) -> None:
        """
        Each request that fails has an exception object of its own.
        """
        for said in [b"error: a\n", b""]:
            self.client = UpperClient()
            self.client.makeConnection(self.transport)
            failed = [self.client.upper("a") for _ in range(3)]
            self.client.dataReceived(said)
            self.lose(ConnectionLost("x"))
            failed.append(self.client.upper("a"))
            errors = [self.failureResultOf(each).value for each in failed]
            self.assertEqual(len(set(map(id, errors))), 4)
            self.assertEqual(len({(type(each), str(each)) for each in errors}), 1)

    def test_whenReady(self) -> None:
        """
        Requests are held back while too many bytes wait for their answers, and
        let go one by one.
        """
        self.client.maxWaiting = 4
        self.successResultOf(self.client.whenReady())
        self.client.upper("abc")
        held = [self.client.whenReady() for _ in range(2)]
        held[0].addCallback(lambda _: self.client.upper("def"))
        self.assertNoResult(held[1])
        self.client.dataReceived(b"ABC\n")
        self.assertEqual(self.transport.value(), b"abc\ndef\n")
        self.assertNoResult(held[1])
        self.client.dataReceived(b"DEF\n")
        self.successResultOf(held[1])
        self.assertEqual(self.client.waitingBytes, 0)

    def test_whenReadyInOrder(self) -> None:
        """
        Nobody overtakes those who wait.
        """
        self.client.maxWaiting = 2
        self.client.upper("a")
        order: list[int] = []

        def go(number: int, ready: None) -> None:
            order.append(number)
            if number == 0:
                self.client.whenReady().addCallback(lambda _: order.append(2))

        for number in range(2):
            self.client.whenReady().addCallback(partial(go, number))
        self.client.dataReceived(b"A\n")
        self.assertEqual(order, [0, 1, 2])

    def test_whenReadyAndGone(self) -> None:
        """
        Nobody waits for a connection that has gone.
        """
        self.client.maxWaiting = 1
        failed = self.client.upper("a")
        held = self.client.whenReady()
        self.lose(ConnectionDone())
        self.failureResultOf(failed, ConnectionDone)
        self.successResultOf(held)
        self.successResultOf(self.client.whenReady())

    def test_endless(self) -> None:
        """
        A server that sends what can be no answer is given up, and takes no memory.
        """
        transport = StringTransportWithDisconnection()
        client = UpperClient()
        transport.protocol = client
        client.makeConnection(transport)
        failed = client.upper("a")
        for _ in range(1000):
            if transport.connected:
                client.dataReceived(b"X" * 1000)
        error = self.failureResultOf(failed, TooLong).value
        self.assertRegex(str(error), "^1[67][0-9]{3} bytes came without a line end$")
        self.assertLess(len(client.clearLineBuffer()), 20_000)

    def test_noDelay(self) -> None:
        """
        TCP does not hold small requests back.
        """

        class TCPTransport(StringTransport):
            noDelay = False

            def setTcpNoDelay(self, enabled: bool) -> None:
                self.noDelay = enabled

        transport = TCPTransport()
        UpperClient().makeConnection(transport)
        self.assertTrue(transport.noDelay)

    def test_noDelayOfOthers(self) -> None:
        """
        A UNIX socket, whose transport has the method and no such option, will do.
        """

        class UNIXTransport(StringTransport):
            def setTcpNoDelay(self, enabled: bool) -> None:
                raise OSError(95, "Operation not supported")

        client = UpperClient()
        client.makeConnection(UNIXTransport())
        client.upper("a")


class ServiceTests(SynchronousTestCase):
    """
    L{UpperClient} with the service itself.
    """

    def test_texts(self) -> None:
        """
        Texts in any script and of any length come back in upper case.
        """
        texts = ["I am Simon", "", "straße", "καλημέρα", "ŉ" * 50_000, "ΐ" * 30_000]
        factory = UpperFactory()

        def serve() -> UpperProtocol:
            protocol = factory.buildProtocol(None)
            assert isinstance(protocol, UpperProtocol)
            return protocol

        client, _, pump = connectedServerAndClient(serve, UpperClient)
        answered = [client.upper(text) for text in texts]
        pump.flush()
        results = [self.successResultOf(each) for each in answered]
        self.assertEqual(results, [text.upper() for text in texts])
