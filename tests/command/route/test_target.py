"""
Tests for L{upperproto.command.route.target} and L{upperproto.command.route.endpoint}.
"""

from __future__ import annotations

import socket
import sys

from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from upperproto.command.errors import NoDestination, WrongUsage
from upperproto.command.options import Options
from upperproto.command.route.target import Credentials, Target, target


def named(*words: str) -> Target:
    """
    Name a server.
    """
    options = Options(words)
    return target(options, options.words)


class TargetTests(SynchronousTestCase):
    """
    L{target}.
    """

    def test_default(self) -> None:
        """
        By default the server is where it listens by default.
        """
        found = named()
        self.assertEqual((found.host, found.port), ("127.0.0.1", 5000))
        self.assertEqual(found.name, "127.0.0.1:5000")
        self.assertEqual((found.endpoint, found.credentials), (None, None))

    def test_hosts(self) -> None:
        """
        A host, or a host and a port, in all ways to write them.
        """
        for words, host, port in [
            (["h"], "h", 5000),
            (["h:1"], "h", 1),
            (["h", "1"], "h", 1),
            (["::1"], "::1", 5000),
            (["::1", "1"], "::1", 1),
            (["[::1]"], "::1", 5000),
            (["[::1]:1"], "::1", 1),
            (["[::1]", "1"], "::1", 1),
            (["fe80::1%eth0"], "fe80::1%eth0", 5000),
            (["-H", "h"], "h", 5000),
            (["-H", "h", "-p", "1"], "h", 1),
            (["h", "-p", "1"], "h", 1),
            (["tcp:h:1"], "h", 1),
            (["-c", "tcp:host=h:port=1"], "h", 1),
            (["tls:1"], "tls", 1),
        ]:
            found = named(*words)
            self.assertEqual((found.host, found.port), (host, port), words)
            self.assertIsNone(found.endpoint)
        self.assertEqual(named("::1", "1").name, "[::1]:1")

    def test_endpoints(self) -> None:
        """
        Other endpoints are Twisted's.
        """
        for words in [["unix:a"], ["-c", "unix:a"]]:
            found = named(*words)
            self.assertEqual((found.name, found.host), ("unix:a", None))
            made = found.endpointOn(MemoryReactorClock())
            self.assertIsInstance(made, UNIXClientEndpoint)
        found = named("tcp:h:1:timeout=5")
        self.assertEqual((found.host, found.endpoint), (None, "tcp:h:1:timeout=5"))

    def test_noTarget(self) -> None:
        """
        What names no server, or two, is refused in words.
        """
        for words, said in [
            (["a", "1", "b"], "not an option: b"),
            (["a:1", "2"], "not an option: 2"),
            (["unix:a", "2"], "not an option: 2"),
            (["a", "b"], "a port is a whole number, 1 to 65535, not 'b'"),
            (["a:0"], "a port is a whole number, 1 to 65535, not '0'"),
            ([""], "the server's name is empty"),
            ([":1"], "no host in :1"),
            (["a:"], "no port after the colon in a:"),
            (["[::1"], "an IPv6 address and a port are [ADDRESS]:PORT: [::1"),
            (["a", "-H", "b"], "the server is named twice: also by --host"),
            (["a:1", "-p", "1"], "the server is named twice: also by --port"),
            (["unix:a", "-p", "1"], "the server is named twice: also by --port"),
            (["-c", "unix:a", "-H", "b"], "the server is named twice: also by --host"),
            (["a", "-c", "unix:a"], "the server is named twice: also by --connect"),
            (["a", "-4", "-6"], "-4 and -6 cannot be used together"),
            (["unix:a", "-4"], "-4 and -6 need a host, not an endpoint"),
            (["-c", "tcp:a"], "not an endpoint: tcp:a: it is tcp:HOST:PORT and words"),
            (["-c", "tcp:a:b"], "not an endpoint: tcp:a:b: a port is a whole number,"),
            (["--proxy-header", "a:1"], "--proxy-header takes ADDRESS:PORT, as 192.0."),
            (["--proxy-header", "::1:1"], "--proxy-header takes ADDRESS:PORT, as 192."),
        ]:
            error = self.assertRaises(WrongUsage, named, *words)
            self.assertTrue(str(error).startswith(said), (str(error), said))

    def test_noEndpoint(self) -> None:
        """
        What is no endpoint is wrong usage, however its parser fails.
        """
        for words, said in [
            ("5000", "Unknown endpoint type: '5000'"),
            ("nothing:a", "Unknown endpoint type: 'nothing'"),
            ("tcp:a:1:x=y", "."),
            ("unix:a:x=y", "."),
        ]:
            found = named("-c", words)
            error = self.assertRaises(
                WrongUsage, found.endpointOn, MemoryReactorClock()
            )
            self.assertRegex(str(error), f"^not an endpoint: {words}: {said}")
            self.assertNotIn("__init__", str(error))

    def test_families(self) -> None:
        """
        One family alone can be chosen.
        """
        self.assertEqual(named().family, socket.AF_UNSPEC)
        self.assertEqual(named("-4").family, socket.AF_INET)
        self.assertEqual(named("a", "-6").family, socket.AF_INET6)

    def test_proxyHeader(self) -> None:
        """
        The client that a PROXY header speaks for.
        """
        for word, family, host in [
            ("192.0.2.1:40000", socket.AF_INET, "192.0.2.1"),
            ("[2001:db8::1]:40000", socket.AF_INET6, "2001:db8::1"),
        ]:
            found = named("--proxy-header", word)
            self.assertEqual(found.source, (family, host, 40000))


class TLSTests(SynchronousTestCase):
    """
    Which TLS is meant.
    """

    def test_options(self) -> None:
        """
        Each option of TLS turns it on; the name is the host's, or another.
        """
        for words, credentials in [
            (["--tls"], ("h", None, None, None)),
            (["-A", "a"], ("h", "a", None, None)),
            (["-N", "n"], ("n", None, None, None)),
            (["-E", "e", "-K", "k"], ("h", None, "e", "k")),
        ]:
            self.assertEqual(named("h", *words).credentials, credentials)

    def test_endpoint(self) -> None:
        """
        An endpoint tls: is the same, with what its words and the options say.
        """
        for words, credentials in [
            (["tls:h:1"], ("h", None, None, None)),
            (["tls:h:1", "-A", "a"], ("h", "a", None, None)),
            (["-c", "tls:h:1", "-N", "n"], ("n", None, None, None)),
            (["tls:h:1:certificate=c:privateKey=k"], ("h", None, "c", "k")),
            (["tls:h:1:trustRoots=/"], ("h", "/", None, None)),
        ]:
            found = named(*words)
            self.assertEqual(found.credentials, credentials)
            self.assertEqual((found.host, found.port), ("h", 1))

    def test_over(self) -> None:
        """
        TLS goes over any endpoint.
        """
        found = named("unix:a", "-N", "n")
        self.assertEqual(found.credentials, Credentials("n", None, None, None))
        found = named("-c", r"tls:h:1:endpoint=unix\:a")
        self.assertEqual(found.credentials, Credentials("h", None, None, None))
        self.assertEqual(found.endpoint, "unix:a")
        found = named("tls:h:1:timeout=5")
        self.assertEqual(found.credentials, Credentials("h", None, None, None))
        self.assertEqual(found.endpoint, "tcp:h:1:timeout=5")

    def test_wrong(self) -> None:
        """
        What makes no sense is refused in words.
        """
        for words, said in [
            (["-K", "k"], "--tls-key needs --tls-cert"),
            (["unix:a", "--tls"], "TLS over unix:a needs --tls-name"),
            (["ssl:a:1", "--tls"], "ssl: does not verify the server: use tls:"),
            (["tls:a:1:trustRoots=/", "-A", "a"], "trustRoots= in the endpoint and"
             " --tls-ca have the same meaning"),
        ]:  # fmt: skip
            error = self.assertRaises(WrongUsage, named, *words)
            self.assertEqual(str(error), said)

    def test_badFile(self) -> None:
        """
        A file that is of no use is said, and so is a name.
        """
        for words, said in [
            (["-A", "/nowhere"], "cannot read /nowhere: No such file or directory"),
            (["-A", "/dev/null"], "no certificate in /dev/null"),
            (["-N", "\ud800"], "not the name of a server: '\\ud800'"),
        ]:
            error = self.assertRaises(NoDestination, named("h", *words).tls)
            self.assertEqual(str(error), said)

    def test_noTLS(self) -> None:
        """
        Where the extra is not installed, TLS is missed in words.
        """
        self.patch(sys, "modules", {**sys.modules})
        self.patch(sys, "meta_path", [])
        self.patch(sys, "path", [])
        sys.modules.pop("OpenSSL", None)
        for words in ["--tls"], ["tls:localhost:1"], ["ssl:a:1"]:
            error = self.assertRaises(NoDestination, named, *words)
            self.assertEqual(
                str(error), "TLS needs more packages: pip install 'upperproto[tls]'"
            )
