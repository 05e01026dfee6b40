"""
Tests for L{upperproto.servicebuilder}.
"""

from __future__ import annotations

import os
import sys
from typing import Any
from unittest.mock import patch

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from tests.test_tap import parse
from upperproto import servicebuilder
from upperproto.datagrams.service import DatagramListener
from upperproto.factory import UpperFactory
from upperproto.monitoring.accessformats import formatJSON, formatText
from upperproto.processes import supervisor
from upperproto.processes.supervisor import Supervisor
from upperproto.service import UpperService
from upperproto.status.service import StatusService
from upperproto.tap import makeService
from upperproto.ways.endpoints import CannotStart


class AssembleTests(SynchronousTestCase):
    """
    Tests for L{assemble}.
    """

    def setUp(self) -> None:
        """
        Keep the limits of this process, and record what factory is made.
        """
        self.fitted: list[tuple[int, int]] = []
        self.settings: list[dict[str, Any]] = []

        def fit(maxConnections: int, queues: int) -> tuple[int, int]:
            self.fitted.append((maxConnections, queues))
            return 5, 4

        def make(**settings: Any) -> UpperFactory:
            self.settings.append(settings)
            return UpperFactory(**settings)

        self.patch(servicebuilder, "fitDescriptors", fit)
        self.patch(servicebuilder, "UpperFactory", make)
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
                *("--max-per-peer", "8", "--name", "a"),
            ),
            self.reactor,
        )
        self.assertIsInstance(service, UpperService)
        self.assertEqual(self.fitted, [(9, 1)])
        self.assertEqual(
            self.settings,
            [
                {
                    "errors": "replace",
                    "flushAfter": 2,
                    "idleTimeout": 3,
                    "maxConnections": 5,
                    "maxPerPeer": 8,
                    "maxRefused": 4,
                    "log": "lines",
                    "counters": None,
                    "name": "a",
                    "accessLog": None,
                    "clock": self.reactor,
                }
            ],
        )

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
        self.assertIsInstance(service, Supervisor)
        self.assertEqual(self.settings, [])

    def test_datagrams(self) -> None:
        """
        One process binds the socket of datagrams itself; of several, the parent does.
        """
        service: Any = makeService(parse("--udp"), self.reactor)
        self.assertIsInstance([*service][-1], DatagramListener)
        service = makeService(
            parse("--udp", "7", "-i", "::1", "--workers", "2"), self.reactor
        )
        self.assertEqual(service._datagrams, (7, "::1"))

    def test_share(self) -> None:
        """
        Each of them gets its share of the caps, and at least one client; and all have
        the same name.
        """
        shares: list[dict[str, Any]] = []

        def make(number: int, share: dict[str, Any], *rest: Any) -> None:
            shares.append({"number": number, **share})

        self.patch(supervisor, "Supervisor", make)
        for words in (
            ("--max-connections", "11", "--max-per-peer", "7", "--name", "a"),
            ("--max-connections", "1", "-l", "systemd:domain=INET:index=0", "-l", "2"),
        ):
            makeService(parse("--workers", "3", *words), self.reactor)
        names = (
            *("number", "workers", "max-connections", "max-per-peer", "listen"),
            "name",
        )
        self.assertEqual(
            [[share[name] for name in names] for share in shares],
            [[3, 1, 3, 2, [], "a"], [3, 1, 1, None, ["tcp:0", "2"], None]],
        )

    def test_globalReactor(self) -> None:
        """
        Without a reactor, the global one tells the time.
        """
        from twisted.internet import reactor

        makeService(parse())
        self.assertIs(self.settings[0]["clock"], reactor)

    def test_tls(self) -> None:
        """
        Files that are of no use end the process with one message, as do
        packages that are missing.
        """
        options = parse("--tls-cert", "/nowhere/to/be/found")
        with self.assertRaises(CannotStart) as caught:
            makeService(options, self.reactor)
        self.assertIn("/nowhere/to/be/found", str(caught.exception))
        with (
            patch.dict(sys.modules, {"upperproto.tls.certificates.serverfiles": None}),
            self.assertRaises(CannotStart) as caught,
        ):
            makeService(options, self.reactor)
        self.assertIn("pip install 'upperproto[tls]'", str(caught.exception))

    def test_accessLog(self) -> None:
        """
        The access log is in the format that the options name, and wherever the service
        is started from, in the folder in which they were read.
        """
        for words in ((), ("--access-log-format", "json"), ("--log", "none")):
            makeService(parse("--access-log", "log", *words), self.reactor)
        logs = [settings["accessLog"] for settings in self.settings]
        self.assertEqual({log._target for log in logs}, {os.path.abspath("log")})
        self.assertEqual(
            [(log._format, log._isQuiet) for log in logs],
            [(formatText, False), (formatJSON, False), (formatText, True)],
        )

    def test_twoQueues(self) -> None:
        """
        Who waits for a PROXY header needs a descriptor, too.
        """
        makeService(parse("--proxy-protocol"), self.reactor)
        makeService(
            parse("--proxy-protocol", "--proxy-from", "192.0.2.0/24"), self.reactor
        )
        self.assertEqual(self.fitted, [(10000, 2)] * 2)

    def test_status(self) -> None:
        """
        With a status, or a delay, another service stands before this one, and the
        factory counts where somebody can ask.
        """
        for words, counts, port in (
            (["--status", "80"], True, (80, "127.0.0.1")),
            (["--status", "tcp:81"], True, (81, "")),
            (["--ready-delay", "3"], False, None),
        ):
            self.settings.clear()
            reactor = MemoryReactorClock()
            service = makeService(parse("--log", "none", *words), reactor)
            assert isinstance(service, StatusService)
            self.assertIsInstance(service.observed, UpperService)
            [settings] = self.settings
            self.assertEqual(settings["counters"] is not None, counts)
            service.privilegedStartService()
            first, *_ = reactor.tcpServers
            if port is not None:
                self.assertEqual((first[0], first[3]), port)
