"""
Tests for L{upperproto.command.main} and L{upperproto.command.target}. The command
as a whole is in L{tests.functional.test_client}.
"""

from __future__ import annotations

import sys

from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from upperproto.command import target as destination
from upperproto.command.main import Options


def parse(*words: str) -> Options:
    """
    Parse a command line.
    """
    options = Options()
    options.parseOptions(words)
    return options


class OptionsTests(SynchronousTestCase):
    """
    L{Options}.
    """

    def test_defaults(self) -> None:
        """
        By default the server is where it listens by default.
        """
        options = parse()
        self.assertEqual((options["host"], options["port"]), ("127.0.0.1", 5000))

    def test_short(self) -> None:
        """
        Each option has a short name.
        """
        options = parse("-Hh", "-p1", "-Aa", "-Ee", "-Kk", "-Nn")
        self.assertEqual((options["host"], options["port"]), ("h", 1))
        tls = [options[f"tls-{word}"] for word in ("ca", "cert", "key", "name")]
        self.assertEqual(tls, ["a", "e", "k", "n"])
        self.assertEqual(parse("-c", "unix:a")["connect"], "unix:a")

    def test_wrong(self) -> None:
        """
        What makes no sense is refused.
        """
        for words in [
            ["word"],
            ["--port", "0"],
            ["--port", "65536"],
            ["--port", "-1"],
            ["--port", "\N{ARABIC-INDIC DIGIT FIVE}"],
            ["--tls-key", "k"],
            ["-c", "unix:a", "--tls-ca", "a"],
            ["-c", "unix:a", "--tls-name", ""],
        ]:
            self.assertRaises(UsageError, parse, *words)

    def test_help(self) -> None:
        """
        The help explains each option, with its default.
        """
        explained = str(Options())
        options = explained.partition("\n\n")[0].split(" --")[1:]
        self.assertEqual(len(options), 9)
        for option in options:
            name, _, text = option.partition(" ")
            self.assertTrue(text.strip(), name)
            self.assertEqual(name.endswith("="), "[default: " in text, name)


class DestinationTests(SynchronousTestCase):
    """
    L{destination.endpoint} and L{destination.name}.
    """

    def setUp(self) -> None:
        """
        Make a reactor that does not connect anywhere.
        """
        self.reactor = MemoryReactorClock()

    def test_host(self) -> None:
        """
        A host and a port.
        """
        options = parse("-H", "localhost", "-p", "1")
        made = destination.endpoint(options, self.reactor)
        self.assertIsInstance(made, HostnameEndpoint)
        self.assertEqual(destination.name(options), "localhost:1")
        self.assertEqual(destination.name(parse("-H", "::1", "-p", "1")), "[::1]:1")

    def test_endpoint(self) -> None:
        """
        An endpoint takes their place.
        """
        options = parse("-c", "unix:a", "-p", "1")
        made = destination.endpoint(options, self.reactor)
        self.assertIsInstance(made, UNIXClientEndpoint)
        self.assertEqual(destination.name(options), "unix:a")

    def test_noEndpoint(self) -> None:
        """
        What is no endpoint is wrong usage, however the parser fails.
        """
        for words in ["", "5000", "tcp:a:b", "tcp:a", "tls:a:1:trustRoots=/nowhere"]:
            error = self.assertRaises(
                UsageError, destination.endpoint, parse("-c", words), self.reactor
            )
            self.assertRegex(str(error), f"^not an endpoint: {words}: .")
        # Of the last one, Twisted's parser says no more than the kind of its error.
        self.assertIn("No such file or directory: '/nowhere'", str(error))

    def test_tls(self) -> None:
        """
        Any option of TLS turns it on; an empty name is none, and does not turn
        it off.
        """
        made = destination.endpoint(parse("-N", "localhost"), self.reactor)
        self.assertNotIsInstance(made, HostnameEndpoint)
        self.assertRaises(
            destination.NoDestination,
            destination.endpoint,
            parse("-N", ""),
            self.reactor,
        )

    def test_noTLS(self) -> None:
        """
        Where the extra is not installed, TLS is missed in words.
        """
        self.patch(sys, "modules", {**sys.modules})
        self.patch(sys, "meta_path", [])
        self.patch(sys, "path", [])
        sys.modules.pop("OpenSSL", None)
        for words in ["-N", "localhost"], ["-c", "tls:localhost:1"], ["-c", "ssl:a:1"]:
            error = self.assertRaises(
                destination.NoDestination,
                destination.endpoint,
                parse(*words),
                self.reactor,
            )
            self.assertEqual(
                str(error), "TLS needs more packages: pip install 'upperproto[tls]'"
            )
