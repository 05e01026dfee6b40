"""
Tests for L{upperproto.launcher.upper}.
"""

from __future__ import annotations

import os
import sys
from io import StringIO
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from upperproto import tap
from upperproto.launcher import upper
from upperproto.servicebuilder import endpointsOf


class RunTests(SynchronousTestCase):
    """
    Tests for L{upper.run}.
    """

    def setUp(self) -> None:
        """
        Record what would run, in place of running it, and choose no reactor and no log.
        """
        self.ran: list[Any] = []
        self.patch(upper, "runApp", self.ran.append)
        self.patch(tap, "chooseLogObserver", lambda parent: None)
        self.patch(tap, "_chooseReactor", lambda: None)

    def run_(self, *words: str, **variables: str) -> str:
        """
        Run the command.

        @return: what it prints.
        """
        printed = StringIO()
        with (
            patch.object(sys, "argv", ["/bin/upper", *words]),
            patch.dict(os.environ, variables),
            patch.object(sys, "stdout", printed),
        ):
            upper.run()
        return printed.getvalue()

    def test_twistd(self) -> None:
        """
        It is C{twistd} in the foreground, without a PID file, for this service.
        """
        self.run_("--port", "7", UPPER_WORKERS="2")
        [options] = self.ran
        self.assertEqual((options["nodaemon"], options["pidfile"]), (1, ""))
        self.assertEqual(options.subCommand, "upper")
        self.assertEqual(options.loadedPlugins["upper"].tapname, "upper")
        self.assertEqual(
            (options.subOptions["port"], options.subOptions["workers"]), (7, 2)
        )

    def test_commandLineFirst(self) -> None:
        """
        The command line goes before the environment.
        """
        self.run_("--port", "7", UPPER_PORT="8", UPPER_LISTEN="9")
        [options] = self.ran
        self.assertEqual(
            endpointsOf(options.subOptions),
            ["tcp:7:interface=127.0.0.1:backlog=1024"],
        )

    def test_noPlugins(self) -> None:
        """
        No other plugin is looked for.
        """
        plugins = SimpleNamespace(asked=False)

        def getPlugins(*arguments: object) -> list[object]:
            plugins.asked = True
            return []

        self.patch(upper.TwistdOptions, "_getPlugins", staticmethod(getPlugins))
        self.run_()
        self.assertFalse(plugins.asked)

    def test_help(self) -> None:
        """
        The help is that of the service alone.
        """
        printed = StringIO()
        self.patch(sys, "stdout", printed)
        self.patch(sys, "argv", ["/bin/upper", "--help"])
        with self.assertRaises(SystemExit) as caught:
            upper.run()
        self.assertEqual(caught.exception.code, 0)
        self.assertTrue(printed.getvalue().startswith("Usage: upper [options]\n"))
        self.assertIn("--port", printed.getvalue())
        self.assertNotIn("nodaemon", printed.getvalue())

    def test_wrong(self) -> None:
        """
        A bad word, and a bad variable, end the process with one message each.
        """
        for words, variables, message in (
            (["--port", "x"], {}, "--port takes a whole number, 0 to 65535, not 'x'"),
            ([], {"UPPER_PORT": "x"}, "UPPER_PORT takes a whole number, 0 to 65535,"),
            ([], {"UPPER_TLS_KEY": "k"}, "UPPER_TLS_KEY needs --tls-cert (see --help)"),
            (["extra"], {}, "not an option: extra (see --help)"),
        ):
            with self.assertRaises(SystemExit) as caught:
                self.run_(*words, **variables)
            self.assertIn(f"upper: {message}", str(caught.exception.code))
            self.assertEqual(self.ran, [])
