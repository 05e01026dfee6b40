"""
Tests for L{upperproto.tap}.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from upperproto import tap
from upperproto.factory import UpperFactory
from upperproto.listeners import CannotStart
from upperproto.service import UpperService
from upperproto.tap import Options, makeService
from upperproto.workers import Workers


def parse(*words: str) -> Options:
    """
    Parse the words of a command line.
    """
    options = Options()
    options.parseOptions(list(words))
    return options


class OptionsTests(SynchronousTestCase):
    """
    Tests for L{Options}.
    """

    def test_defaults(self) -> None:
        """
        Without a word it is open to this machine alone.
        """
        options = parse()
        self.assertEqual(
            options.endpoints(), [r"tcp:5000:interface=127.0.0.1:backlog=1024"]
        )
        self.assertEqual(options["errors"], "strict")
        self.assertEqual(options["flush-after"], 0.05)
        self.assertEqual(options["idle-timeout"], 600)
        self.assertEqual(options["max-connections"], 10000)
        self.assertIsNone(options["max-per-peer"])
        self.assertEqual(options["workers"], 1)
        self.assertEqual(options["log"], "connections")
        self.assertEqual(options["drain"], 10)

    def test_coerced(self) -> None:
        """
        Words become numbers, or nothing.
        """
        options = parse(
            *("--flush-after", "never", "--idle-timeout", "1.5", "--drain", "0"),
            *("--max-connections", "7", "--max-per-peer", "3", "--workers", "2"),
        )
        self.assertIsNone(options["flush-after"])
        self.assertEqual(options["idle-timeout"], 1.5)
        self.assertEqual(options["drain"], 0)
        self.assertEqual(options["max-connections"], 7)
        self.assertEqual(options["max-per-peer"], 3)
        self.assertEqual(options["workers"], 2)

    def test_refused(self) -> None:
        """
        A bad word is an error that names its option and shows the word.
        """
        for option, words in {
            "port": ["x", "-1", "65536", "", "1e3", "\u0663"],
            "backlog": ["0", "x"],
            "errors": ["ignore", ""],
            "flush-after": ["0", "-1", "inf", "nan", "x", ""],
            "idle-timeout": ["0", "-1", "inf", "nan", "x"],
            "max-connections": ["0", "x"],
            "max-per-peer": ["0", "x"],
            "workers": ["0", "x"],
            "log": ["all"],
            "drain": ["never", "-1", "inf", "nan", "x"],
            "proxy-from": ["x", "10.0.0.1/8", "10.0.0.0/33"],
        }.items():
            for word in words:
                with self.assertRaises(usage.UsageError) as caught:
                    parse("--proxy-protocol", f"--{option}", word)
                self.assertIn(f"--{option} takes ", str(caught.exception))
                self.assertIn(word, str(caught.exception))

    def test_together(self) -> None:
        """
        Options that do not go together are an error.
        """
        for words, message in [
            (["--tls-key", "k"], "--tls-key needs --tls-cert"),
            (["--tls-client-ca", "c"], "--tls-client-ca needs --tls-cert"),
            (["--proxy-from", "::1"], "--proxy-from needs --proxy-protocol"),
            (["--listen", "haproxy:tcp:1"], "would lose answers"),
            (["--tls-cert", "c", "--listen", "ssl:1"], "besides --tls-cert"),
        ]:
            with self.assertRaises(usage.UsageError) as caught:
                parse(*words)
            self.assertIn(message, str(caught.exception))

    def test_underTwistd(self) -> None:
        """
        As the options of a subcommand, a bad word ends the process with one
        message, and a status that is not 0.
        """

        class Parent(usage.Options):
            subCommands = [["upper", None, Options, "the service"]]  # noqa: RUF012 # Twisted's way.

        with self.assertRaises(CannotStart) as caught:
            Parent().parseOptions(["upper", "--port", "x"])
        self.assertEqual(
            caught.exception.code,
            "upper: --port takes a whole number, 0 to 65535, not 'x' (see --help)",
        )

    def test_endpoints(self) -> None:
        """
        Endpoints take the place of port and interface. A number is a TCP port,
        and sockets get the backlog that they have not been given.
        """
        listen = {
            "5001": "tcp:5001:backlog=7",
            "tcp:0": "tcp:0:backlog=7",
            "unix:/s:mode=600": "unix:/s:mode=600:backlog=7",
            "tcp:1:backlog=3": "tcp:1:backlog=3",
            "systemd:domain=INET:index=0": "systemd:domain=INET:index=0",
        }
        words = [word for each in listen for word in ("-l", each)]
        options = parse("--backlog", "7", *words)
        self.assertEqual(options.endpoints(), list(listen.values()))

    def test_ipv6(self) -> None:
        """
        The colons of an IPv6 address are not those of the endpoint.
        """
        [endpoint] = parse("-i", "::1", "-p", "1").endpoints()
        self.assertEqual(endpoint, r"tcp:1:interface=\:\:1:backlog=1024")


class MakeServiceTests(SynchronousTestCase):
    """
    Tests for L{makeService}.
    """

    def setUp(self) -> None:
        """
        Keep the limits of this process, and record what factory is made.
        """
        self.fitted: list[tuple[int, bool]] = []
        self.factories: list[UpperFactory] = []

        def fit(maxConnections: int, doors: bool) -> tuple[int, int]:
            self.fitted.append((maxConnections, doors))
            return 5, 4

        def make(**settings: Any) -> UpperFactory:
            self.factories.append(UpperFactory(**settings))
            return self.factories[-1]

        self.patch(tap, "fitDescriptors", fit)
        self.patch(tap, "UpperFactory", make)
        self.reactor = MemoryReactorClock()

    def test_settings(self) -> None:
        """
        The factory gets what the options say, and no more clients than the
        system allows.
        """
        service = makeService(
            parse(
                *("--errors", "replace", "--flush-after", "2", "--log", "lines"),
                *("--idle-timeout", "3", "--max-connections", "9"),
                *("--max-per-peer", "8"),
            ),
            self.reactor,
        )
        self.assertIsInstance(service, UpperService)
        self.assertEqual(self.fitted, [(9, False)])
        [factory] = self.factories
        self.assertEqual(factory.errors, "replace")
        self.assertEqual(factory.flushAfter, 2)
        self.assertEqual(factory.idleTimeout, 3)
        self.assertEqual(factory.maxConnections, 5)
        self.assertEqual(factory.maxTurnedAway, 4)
        self.assertEqual(factory.maxPerPeer, 8)
        assert factory.transcript is not None
        self.assertTrue(factory.transcript.lines)
        self.assertIs(factory.clock, self.reactor)

    def test_listens(self) -> None:
        """
        The service listens where the options say.
        """
        makeService(
            parse("-l", "tcp:1:interface=127.0.0.1", "-l", "unix:/s"), self.reactor
        ).privilegedStartService()
        [(port, _, backlog, interface)] = self.reactor.tcpServers
        self.assertEqual((port, backlog, interface), (1, 1024, "127.0.0.1"))
        [(path, _, backlog, mode, _)] = self.reactor.unixServers
        self.assertEqual((path, backlog, mode), ("/s", 1024, 0o666))

    def test_notAnEndpoint(self) -> None:
        """
        What is not an endpoint ends the process with one message.
        """
        with self.assertRaises(CannotStart) as caught:
            makeService(parse("-l", "foo:1"), self.reactor)
        self.assertIn("not an endpoint: foo:1", str(caught.exception))

    def test_workers(self) -> None:
        """
        Several workers are processes of their own.
        """
        service = makeService(parse("--workers", "2"), self.reactor)
        self.assertIsInstance(service, Workers)
        self.assertEqual(self.factories, [])

    def test_doors(self) -> None:
        """
        A service with a door needs descriptors for those who wait at it.
        """
        makeService(parse("--proxy-protocol"), self.reactor)
        self.assertEqual(self.fitted, [(10000, True)])

    def test_noTLS(self) -> None:
        """
        TLS without the packages that it needs ends the process with one message,
        which says what to install.
        """
        self.patch(sys, "modules", {**sys.modules, "upperproto.certificates": None})
        with self.assertRaises(CannotStart) as caught:
            makeService(parse("--tls-cert", "c"), self.reactor)
        self.assertIn("pip install 'upperproto[tls]'", str(caught.exception))
