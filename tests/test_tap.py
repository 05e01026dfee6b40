"""
Tests for L{upperproto.tap}.
"""

from __future__ import annotations

import os
import sys
from io import StringIO
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from upperproto import tap
from upperproto.options import coercions
from upperproto.servicebuilder import endpointsOf
from upperproto.tap import Options
from upperproto.ways.endpoints import CannotStart


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
            endpointsOf(options), [r"tcp:5000:interface=127.0.0.1:backlog=1024"]
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
            "udp": ["x", "65536", ""],
            "proxy-from": ["x", "10.0.0.1/8", "10.0.0.0/33"],
            "name": ["", "a b", "a=b", "b\xfcro", "a" * 256],
        }.items():
            for word in words:
                with self.assertRaises(usage.UsageError) as caught:
                    parse("--proxy-protocol", f"--{option}", word)
                self.assertIn(f"--{option} takes ", str(caught.exception))
                self.assertIn(word, str(caught.exception))

    def test_udp(self) -> None:
        """
        C{--udp} needs no value: datagrams come to the TCP port then.
        """
        for words, udp, port in [
            ([], None, 5000),
            (["--udp"], "same", 5000),
            (["--udp", "-p", "1"], "same", 1),
            (["-p", "1", "--udp", "2"], 2, 1),
            (["--udp=2", "-p", "1"], 2, 1),
        ]:
            options = parse(*words)
            self.assertEqual((options["udp"], options["port"]), (udp, port))

    def test_name(self) -> None:
        """
        C{--name} is that of the pod, else of the host, where it is not told. No value
        has to follow.
        """
        self.patch(coercions, "gethostname", lambda: "host-1.example")
        self.patch(os, "environ", {})
        automatic = (["--name"], ["--name", "auto"], ["--name", "--udp"])
        self.assertIsNone(parse()["name"])
        for words in automatic:
            self.assertEqual(parse(*words)["name"], "host-1.example")
        os.environ["POD_NAME"] = "pod-7"
        for words in automatic:
            self.assertEqual(parse(*words)["name"], "pod-7")
        for name in ("one", "!$%&'()*+,-./:;<>?@~", "a" * 255):
            self.assertEqual(parse("--name", name)["name"], name)

    def test_badName(self) -> None:
        """
        A name that does not fit into a word of a line is refused, and where it comes
        from is told.
        """
        self.patch(coercions, "gethostname", lambda: "my host")
        self.patch(os, "environ", {})
        rule = "--name takes 1 to 255 visible ASCII characters without '='"
        for environment, word, said in [
            ({}, "a\nserver:", r"'a\nserver:'"),
            ({}, "a\x7f", r"'a\x7f'"),
            ({}, "auto", "'my host', which is the name of this host"),
            ({"POD_NAME": ""}, "auto", "'', which is POD_NAME"),
            ({"POD_NAME": "a\tb"}, "auto", r"'a\tb', which is POD_NAME"),
        ]:
            self.patch(os, "environ", environment)
            with self.assertRaises(usage.UsageError) as caught:
                parse("--name", word)
            self.assertEqual(str(caught.exception), f"{rule}, not {said}")

    def test_choice(self) -> None:
        """
        Where there is a choice of words, they are told.
        """
        with self.assertRaises(usage.UsageError) as caught:
            parse("--log", "all")
        self.assertEqual(
            str(caught.exception),
            "--log takes none, connections or lines, not 'all'",
        )

    def test_noOption(self) -> None:
        """
        What is no option is named.
        """
        with self.assertRaises(usage.UsageError) as caught:
            parse("--port", "0", "extra")
        self.assertEqual(str(caught.exception), "not an option: extra")

    def test_together(self) -> None:
        """
        Options that do not go together are an error.
        """
        for words, message in [
            (["--tls-key", "k"], "--tls-key needs --tls-cert"),
            (["--tls-client-ca", "c"], "--tls-client-ca needs --tls-cert"),
            (["--proxy-from", "::1"], "--proxy-from needs --proxy-protocol"),
            (["--tls-cert", "c", "--listen", "ssl:1"], "remove --tls-cert"),
            (["--tls-cert", "c", "-l", "fault:delay=1:ssl:1"], "remove --tls-cert"),
        ]:
            with self.assertRaises(usage.UsageError) as caught:
                parse(*words)
            self.assertIn(message, str(caught.exception))

    def test_empty(self) -> None:
        """
        An empty value is an error, and not the same as none: C{--interface "$UNSET"}
        would listen on every network.
        """
        for option in ("interface", "listen", "tls-cert", "proxy-from"):
            with self.assertRaises(usage.UsageError) as caught:
                parse("--proxy-protocol", f"--{option}", "")
            self.assertIn(f"--{option} takes ", str(caught.exception))

    def test_paths(self) -> None:
        """
        The files of TLS are those of the folder in which the service was started.
        """
        options = parse("--tls-cert", "a.pem", "--tls-key", "b/../c.pem")
        self.assertEqual(options["tls-cert"], os.path.abspath("a.pem"))
        self.assertEqual(options["tls-key"], os.path.abspath("c.pem"))
        self.assertIsNone(options["tls-client-ca"])

    def test_endpoints(self) -> None:
        """
        Endpoints take the place of port and interface. A number is a TCP port,
        and sockets get the backlog that they have not been given.
        """
        listen = {
            "5001": "tcp:5001:backlog=7",
            "tcp:0": "tcp:0:backlog=7",
            "tcp6:0": "tcp6:0:backlog=7",
            "unix:/s:mode=600": "unix:/s:mode=600:backlog=7",
            "fault:delay=1:tcp:0": "fault:delay=1:tcp:0:backlog=7",
            "tcp:1:backlog=3": "tcp:1:backlog=3",
            "systemd:domain=INET:index=0": "systemd:domain=INET:index=0",
        }
        words = [word for each in listen for word in ("-l", each)]
        options = parse("--backlog", "7", *words)
        self.assertEqual(endpointsOf(options), list(listen.values()))

    def test_listenAlone(self) -> None:
        """
        Port and interface are of no account then.
        """
        options = parse("-p", "1", "-i", "::", "-l", "2")
        self.assertEqual(endpointsOf(options), ["tcp:2:backlog=1024"])

    def test_help(self) -> None:
        """
        The help names each option, and its default where it has one.
        """
        explained = " ".join(str(Options()).split())
        parameters: list[Any] = Options.optParameters
        for option, _, default, *_ in parameters:
            self.assertIn(f"--{option}=", explained)
            if default is not None:
                self.assertIn(f"[default: {default}]", explained)
        for option in ("listen", "proxy-from", "proxy-protocol", "version"):
            self.assertIn(f"--{option}", explained)

    def test_environment(self) -> None:
        """
        Each option can come from the environment, and the help says so; the command
        line goes before it, also where an option takes the place of another.
        """
        explained = str(Options())
        for name in {each.rstrip("=") for each in Options().longOpt}:
            shown = f"[UPPER_{name.upper().replace('-', '_')}]"
            self.assertEqual(shown in explained, name not in ("help", "version"), name)
        variables = {"UPPER_UDP": "same", "UPPER_LISTEN": "1 2", "UPPER_DRAIN": "3"}
        with patch.dict(os.environ, variables):
            options = parse("--drain", "4")
            self.assertEqual(options["udp"], "same")
            self.assertEqual(options["listen"], ["1", "2"])
            self.assertEqual(options["drain"], 4)
            self.assertEqual(parse("--udp", "7", "-p", "0")["listen"], [])

    def test_badVariable(self) -> None:
        """
        What is wrong with a variable is said of the variable.
        """
        for variable, value, message in [
            ("UPPER_DRAIN", "x", "UPPER_DRAIN takes seconds, not 'x'"),
            ("UPPER_LISTEN", "", "UPPER_LISTEN takes a value, not an empty one"),
            ("UPPER_PROXY_FROM", "::1", "UPPER_PROXY_FROM needs --proxy-protocol"),
        ]:
            with (
                patch.dict(os.environ, {variable: value}),
                self.assertRaises(usage.UsageError) as caught,
            ):
                parse()
            self.assertEqual(str(caught.exception), message)

    def test_version(self) -> None:
        """
        The version is that of this package, beside that of Twisted.
        """
        printed = StringIO()
        with patch.object(sys, "stdout", printed), self.assertRaises(SystemExit):
            parse("--version")
        self.assertRegex(printed.getvalue(), r"^upper \d[.\d]* \(Twisted \d[.\d]*\)\n$")

    def test_ipv6(self) -> None:
        """
        The colons of an IPv6 address are not those of the endpoint.
        """
        [endpoint] = endpointsOf(parse("-i", "::1", "-p", "1"))
        self.assertEqual(endpoint, r"tcp:1:interface=\:\:1:backlog=1024")

    def test_accessLogFormat(self) -> None:
        """
        A format is for an access log.
        """
        with self.assertRaises(usage.UsageError) as caught:
            parse("--access-log-format", "json")
        self.assertEqual(
            str(caught.exception), "--access-log-format needs --access-log"
        )


class UnderTwistdTests(SynchronousTestCase):
    """
    What the options choose where they are those of a subcommand.
    """

    def setUp(self) -> None:
        """
        Let nothing be installed.
        """
        self.installed: list[str] = []
        self.observers: list[Any] = []
        module = SimpleNamespace(install=lambda: self.installed.append("upper"))
        modules = {
            "upperproto.reactor.epoll": module,
            "upperproto.reactor": SimpleNamespace(epoll=module),
        }
        patched = patch.dict(sys.modules, modules)
        patched.start()
        self.addCleanup(patched.stop)
        self.patch(tap, "chooseLogObserver", self.observers.append)

    def parse(self, *words: str) -> usage.Options:
        """
        Parse words as C{twistd} does.
        """

        class Parent(usage.Options):
            subCommands = [["upper", None, Options, "the service"]]  # noqa: RUF012 # Twisted's way.

        parent = Parent()
        parent.parseOptions(["upper", *words])
        return parent

    def test_reactor(self) -> None:
        """
        Where no reactor is installed yet, ours is. One that is installed stays.
        """
        installed = ModuleType("twisted.internet.reactor")
        with patch.dict(sys.modules, {installed.__name__: installed}):
            self.parse()
        self.assertEqual(self.installed, [])
        with patch.dict(sys.modules):
            sys.modules.pop(installed.__name__, None)
            self.parse()
        self.assertEqual(self.installed, ["upper"])

    def test_noEpoll(self) -> None:
        """
        Where the system has no epoll, Twisted chooses.
        """
        with patch.dict(sys.modules):
            sys.modules.pop("twisted.internet.reactor", None)
            del sys.modules["upperproto.reactor"]
            sys.modules["upperproto.reactor.epoll"] = None  # type: ignore[assignment]
            self.parse()
        self.assertEqual(self.installed, [])

    def test_accessLogOfADaemon(self) -> None:
        """
        A daemon has no standard output for an access log.
        """
        self.parse("--access-log", "-")
        for nodaemon in (True, False):
            options = Options()
            parent: Any = {"nodaemon": nodaemon, "logger": "theirs"}
            options.parent = parent
            if nodaemon:
                options.parseOptions(["--access-log", "-"])
            else:
                with self.assertRaises(CannotStart) as caught:
                    options.parseOptions(["--access-log", "-"])
        self.assertEqual(
            str(caught.exception),
            "upper: --access-log - needs twistd --nodaemon (see --help)",
        )

    def test_logObserver(self) -> None:
        """
        A log may be chosen, too, by what C{twistd} has been told of it.
        """
        parent = self.parse()
        self.assertEqual(self.observers, [parent])

    def test_badWord(self) -> None:
        """
        A bad word ends the process with one message, and a status that is not 0;
        nothing is chosen then.
        """
        with self.assertRaises(CannotStart) as caught:
            self.parse("--port", "x")
        self.assertEqual(
            caught.exception.code,
            "upper: --port takes a whole number, 0 to 65535, not 'x' (see --help)",
        )
        self.assertEqual(self.observers, [])

    def test_alone(self) -> None:
        """
        Options that stand alone choose nothing.
        """
        with patch.dict(sys.modules):
            sys.modules.pop("twisted.internet.reactor", None)
            parse()
        self.assertEqual((self.installed, self.observers), ([], []))
