"""
Tests for L{upperproto.command.errors}. What TLS servers do is in
L{tests.functional.command}.
"""

from __future__ import annotations

from OpenSSL.SSL import Error
from twisted.internet import error
from twisted.trial.unittest import SynchronousTestCase

from upperproto.command.errors import whyLost, whyNotConnected


class WhyNotConnectedTests(SynchronousTestCase):
    """
    L{whyNotConnected}.
    """

    def test_system(self) -> None:
        """
        What the system says is enough.
        """
        for failed, code, said in [
            (error.ConnectionRefusedError(111), "refused", "Connection refused"),
            (
                error.ConnectError(2, "whatever"),
                "not-connected",
                "No such file or directory",
            ),
            (error.NoRouteError(101), "not-connected", "Network is unreachable"),
        ]:
            self.assertEqual(whyNotConnected(failed), (code, said))

    def test_twisted(self) -> None:
        """
        What Twisted finds itself is said in few words.
        """
        for failed, code, said in [
            (error.DNSLookupError("a b"), "no-host", "no such host"),
            (error.TimeoutError(), "swallowed", "no answer in time"),
            (error.UserError(), "swallowed", "no answer in time"),
        ]:
            self.assertEqual(whyNotConnected(failed), (code, said))

    def test_others(self) -> None:
        """
        Any other error speaks for itself, by its name if it has no words.
        """
        for failed, said in [(ValueError("bad"), "bad"), (ValueError(), "ValueError")]:
            self.assertEqual(whyNotConnected(failed), ("not-connected", said))


class WhyLostTests(SynchronousTestCase):
    """
    L{whyLost}.
    """

    def test_alerts(self) -> None:
        """
        A server's alert is repeated, with what it means if that is known.
        """
        for reason, said in [
            (
                "tlsv13 alert certificate required",
                "certificate required (it wants a client certificate)",
            ),
            ("ssl/tls alert bad certificate", "bad certificate"),
        ]:
            why = whyLost(Error([("SSL routines", "", reason)]), None, True)
            self.assertEqual(why, ("tls", f"the server refused TLS: {said}"))

    def test_noTLS(self) -> None:
        """
        A server that does not speak TLS is told from one that does.
        """
        why = whyLost(Error([("SSL routines", "", "wrong version number")]), None, True)
        said = "the server does not speak TLS (wrong version number)"
        self.assertEqual(why, ("tls", said))

    def test_otherErrors(self) -> None:
        """
        Any other error is repeated, also one that OpenSSL gives no reason for.
        """
        why = whyLost(Error([("SSL routines", "", "bad record mac")]), None)
        self.assertEqual(why, ("tls", "TLS failed: bad record mac"))
        why = whyLost(Error([]), None)
        self.assertEqual(why, ("tls", "TLS failed: no reason given"))
        said = "the connection was lost: ZeroDivisionError"
        self.assertEqual(whyLost(ZeroDivisionError(), None), ("cut", said))
        self.assertEqual(whyLost(ZeroDivisionError(), None, True), ("tls", said))
