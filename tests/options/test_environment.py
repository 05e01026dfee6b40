"""
Tests for L{upperproto.options.environment}.
"""

from __future__ import annotations

from typing import ClassVar

from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from upperproto.options.environment import Environment


class Options(usage.Options):
    """
    Options of each kind.
    """

    optParameters: ClassVar = [
        ["port", "p", 5000, "Number.", int],
        ["max-per-peer", None, None, "Another. [default: any number]", int],
    ]
    optFlags: ClassVar = [["proxy-protocol", None, "Flag."]]

    def __init__(self) -> None:
        """
        Begin with nothing.
        """
        super().__init__()
        self["listen"] = []

    def opt_listen(self, endpoint: str) -> None:
        """Repeats."""

    opt_l = opt_listen


class EnvironmentTests(SynchronousTestCase):
    """
    Tests for L{Environment}.
    """

    def setUp(self) -> None:
        """
        Record what is logged.
        """
        self.logged: list[str] = []

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            if event["log_namespace"].startswith("upperproto."):
                self.logged.append(event["log_format"].format(**event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def words(self, line: str = "", **variables: str) -> list[str]:
        """
        What an environment adds to a command line.
        """
        environment = Environment(Options(), variables, {"listen": ["port"]})
        return environment.words(line.split())

    def refusal(self, **variables: str) -> str:
        """
        The message for an environment that is refused.
        """
        with self.assertRaises(usage.UsageError) as caught:
            self.words(**variables)
        return str(caught.exception)

    def test_values(self) -> None:
        """
        Each option has a variable, whatever its value is: a spelling that begins with a
        hyphen or has an equals sign in it stays what it is. What is not ours is left
        alone.
        """
        self.assertEqual(
            self.words(
                UPPER_PORT="-1", UPPER_MAX_PER_PEER=" a=b ", PATH="/", upper_port="1"
            ),
            ["--port=-1", "--max-per-peer= a=b "],
        )
        self.assertEqual(self.logged, [])

    def test_flags(self) -> None:
        """
        A flag is 1 or 0, and nothing else.
        """
        self.assertEqual(self.words(UPPER_PROXY_PROTOCOL="1"), ["--proxy-protocol"])
        self.assertEqual(self.words(UPPER_PROXY_PROTOCOL="0"), [])
        for value in ("", "yes", "01", " 1"):
            self.assertEqual(
                self.refusal(UPPER_PROXY_PROTOCOL=value),
                f"UPPER_PROXY_PROTOCOL takes 1 or 0, not {value!r}",
            )

    def test_repeated(self) -> None:
        """
        An option that repeats has spaces between its values.
        """
        self.assertEqual(
            self.words(UPPER_LISTEN=" 1  unix:/s "), ["--listen=1", "--listen=unix:/s"]
        )

    def test_empty(self) -> None:
        """
        An empty value is an error, as it is on the command line.
        """
        for variable in ("UPPER_PORT", "UPPER_LISTEN", "UPPER_MAX_PER_PEER"):
            for value in ("", " "):
                self.assertEqual(
                    self.refusal(**{variable: value}),
                    f"{variable} takes a value, not an empty one",
                )

    def test_commandLine(self) -> None:
        """
        What the command line says is not looked up, in whatever form it stands there;
        a bad value does no harm then.
        """
        for line in ("-p 1", "-p1", "--port 1", "--port=1", "--po 1"):
            self.assertEqual(
                self.words(line, UPPER_PORT="", UPPER_MAX_PER_PEER="2"),
                ["--max-per-peer=2"],
            )
        for line in ("-l 1", "--listen 1", "--port 1"):
            self.assertEqual(self.words(line, UPPER_LISTEN=""), [])
        self.assertEqual(self.words("--proxy-protocol", UPPER_PROXY_PROTOCOL=""), [])

    def test_badLine(self) -> None:
        """
        Of a command line that cannot be parsed, this says nothing: its parser does.
        """
        self.assertEqual(self.words("--nothing", UPPER_PORT=""), [])

    def test_questions(self) -> None:
        """
        Whoever asks for help gets it, whatever the environment says.
        """
        for line in ("--help", "--version", "-p 1 --help"):
            self.assertEqual(self.words(line, UPPER_MAX_PER_PEER=""), [])
        self.assertEqual(self.words(UPPER_HELP="1", UPPER_VERSION="3"), [])
        self.assertEqual(len(self.logged), 2)

    def test_service(self) -> None:
        """
        What Kubernetes sets for a Service named C{upper} is told from a mistake, and so
        is what it sets besides.
        """
        self.assertEqual(
            self.refusal(UPPER_PORT="tcp://10.0.0.1:5000"),
            "UPPER_PORT is 'tcp://10.0.0.1:5000', as Kubernetes sets it for a Service"
            " named 'upper': set 'enableServiceLinks: false' in the pod, or --port",
        )
        others = (
            *("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_UPPER"),
            *("PORT_5000_TCP", "PORT_5000_TCP_ADDR", "PORT_5000_UDP_PROTO"),
            *("STATUS_SERVICE_HOST", "STATUS_PORT", "STATUS_PORT_8080_TCP_PORT"),
        )
        self.assertEqual(self.words(**{f"UPPER_{each}": "x" for each in others}), [])
        self.assertEqual(self.logged, [])

    def test_unknown(self) -> None:
        """
        The log warns of what looks like an option and is none.
        """
        self.assertEqual(self.words(UPPER_PROT="1", UPPERCASE="1"), [])
        self.assertEqual(
            self.logged, ["UPPER_PROT in the environment belongs to no option"]
        )

    def test_blame(self) -> None:
        """
        A message names the variable in place of the option that came from it, and of
        no other.
        """
        variables = {"UPPER_PORT": "x"}
        environment = Environment(Options(), variables, {})
        environment.words(["--max-per-peer", "1"])
        error = environment.blame(
            usage.UsageError("--port needs --max-per-peer, and --port-x --port")
        )
        self.assertEqual(
            str(error), "UPPER_PORT needs --max-per-peer, and --port-x UPPER_PORT"
        )

    def test_explain(self) -> None:
        """
        The help names each variable, before a default.
        """
        options = Options()
        Environment(options, {}, {}).explain()
        explained = " ".join(str(options).split())
        for said in (
            "Number. [UPPER_PORT] [default: 5000]",
            "Another. [UPPER_MAX_PER_PEER] [default: any number]",
            "Flag. [UPPER_PROXY_PROTOCOL]",
            "Repeats. [UPPER_LISTEN]",
        ):
            self.assertIn(said, explained)
        self.assertNotIn("UPPER_HELP", explained)
