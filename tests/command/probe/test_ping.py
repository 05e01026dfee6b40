"""
Tests for L{upperproto.command.probe.ping} and L{upperproto.command.probe.ask}.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.command.fakes import TAKES, Connector, Server, upper
from upperproto.command.errors import NotConnected, WrongUsage
from upperproto.command.formats.choice import formatter
from upperproto.command.options import Options
from upperproto.command.probe.ask import ask
from upperproto.command.probe.ping import Pinger


class PingerTests(SynchronousTestCase):
    """
    L{Pinger}.
    """

    def ping(self, connector: Connector, *words: str) -> int:
        """
        Ping.

        @return: the status.
        """
        self.output: list[str] = []
        self.complaints: list[str] = []
        options = Options(["ping", *words])
        form = formatter(
            options.get("format", "json"),
            *("ping", "h", self.output.append, self.complaints.append),
        )
        fake: Any = connector
        self.pinger = Pinger(options, form, fake, connector.clock)
        status: int = connector.run(self.pinger.run())
        return status

    def records(self) -> list[dict[str, Any]]:
        """
        Read what was printed.
        """
        return [json.loads(line) for line in self.output]

    def test_count(self) -> None:
        """
        So many pings are sent, one an interval, on one connection.
        """
        connector = Connector()
        self.assertEqual(self.ping(connector, "-c", "3", "-i", "2"), 0)
        self.assertAlmostEqual(connector.clock.seconds(), 4 + TAKES, 3)
        *pings, summary = self.records()
        self.assertEqual([each["sequence"] for each in pings], [1, 2, 3])
        self.assertEqual(
            [bool(each["address"]) for each in pings], [True, False, False]
        )
        self.assertEqual(summary["sent"], 3)
        self.assertEqual(summary["rtt_p99_seconds"], TAKES)

    def test_new(self) -> None:
        """
        With C{--new}, each has a connection of its own.
        """
        connector = Connector()
        self.ping(connector, "-c", "3", "--new")
        *pings, summary = self.records()
        self.assertEqual([each["connect_seconds"] for each in pings], [TAKES] * 3)
        self.assertEqual(summary["connect_avg_seconds"], TAKES)

    def test_size(self) -> None:
        """
        Each has so many characters, and is unlike the others.
        """
        texts = []

        class Noting(Server):
            def received(self, data: bytes) -> None:
                texts.append(data.decode())
                super().received(data)

        self.ping(Connector(Noting), "-c", "3", "-s", "20")
        self.assertEqual([len(text) for text in texts], [21] * 3)
        self.assertEqual(len(set(texts)), 3)

    def test_wrong(self) -> None:
        """
        One wrong answer is enough for status 1; a lost one is not.
        """

        class Faulty(Server):
            asked = 0

            def received(self, data: bytes) -> None:
                Faulty.asked += 1
                if Faulty.asked == 2:
                    self.misbehave(data)
                else:
                    super().received(data)

            def misbehave(self, data: bytes) -> None:
                self.transport.send(data)

        class Losing(Faulty):
            def misbehave(self, data: bytes) -> None:
                self.transport.cut()

        self.assertEqual(self.ping(Connector(Faulty), "-c", "3"), 1)
        self.assertEqual(self.records()[-1]["wrong"], 1)
        Faulty.asked = 0
        self.assertEqual(self.ping(Connector(Losing), "-c", "3"), 0)
        *pings, summary = self.records()
        self.assertEqual([each["outcome"] for each in pings], ["ok", "lost", "ok"])
        self.assertEqual((summary["answered"], summary["lost"]), (2, 1))
        # After a lost one, there is a new connection.
        self.assertIsNotNone(pings[2]["connect_seconds"])
        Faulty.asked = 0
        self.assertEqual(
            self.ping(Connector(Losing), "-c", "3", "--format", "plugin"), 1
        )
        self.assertRegex(self.output[0], "^WARNING - h: 2 of 3 answered, in 1.000 ms")

    def test_notConnected(self) -> None:
        """
        A connection that cannot be made is a lost ping; a name that cannot be
        resolved is the end.
        """
        connector = Connector()

        async def refuse(*words: Any, **more: Any) -> None:
            raise NotConnected("refused", "Connection refused")

        self.patch(connector, "connect", refuse)
        self.assertEqual(self.ping(connector, "-c", "2"), 1)
        self.assertEqual(
            [each.get("fault") for each in self.records()[:2]], ["refused"] * 2
        )
        connector.addresses = NotConnected("no-host", "no such host")
        self.assertEqual(self.ping(connector), 2)
        self.assertEqual(self.records()[0]["fault"], "no-host")
        self.assertEqual(self.ping(connector, "--format", "plugin"), 3)
        self.assertEqual(self.output, ["UNKNOWN - h: no such host\n"])

    def test_stop(self) -> None:
        """
        It is stopped while it waits for the next one, or for an answer, which then
        does not count.
        """

        class Silent(Server):
            def received(self, data: bytes) -> None:
                pass

        for server, sent, status in [(Server, 3, 0), (Silent, 0, 1)]:
            connector = Connector(server)
            connector.clock.callLater(2.5, lambda: self.pinger.stop())
            self.assertEqual(self.ping(connector), status)
            self.assertEqual(self.pinger.pings.sent, sent)
            self.assertEqual(connector.clock.seconds(), 2.5)

    def test_atTheEnd(self) -> None:
        """
        Where the format prints nothing before the end, there is one.
        """
        self.ping(Connector(), "--format", "prometheus")
        self.assertEqual(len(self.output), 1)
        self.assertIn("\nupper_ping_sent 5\n", self.output[0])


class AskTests(SynchronousTestCase):
    """
    L{ask}.
    """

    def ask(self, text: str, connector: Connector) -> Any:
        """
        Ask.

        @return: the status, or what it has failed with.
        """
        self.output: list[str] = []
        self.complaints: list[str] = []
        form = formatter("text", "ask", "h", self.output.append, self.complaints.append)
        fake: Any = connector
        return connector.run(ask(text, form, fake, connector.clock))

    def test_answer(self) -> None:
        """
        The answer alone is printed.
        """
        self.assertEqual(self.ask("straße", Connector()), 0)
        self.assertEqual((self.output, self.complaints), (["STRASSE\n"], []))

    def test_fault(self) -> None:
        """
        A fault is explained, and nothing is printed.
        """

        class Garbling(Server):
            def received(self, data: bytes) -> None:
                self.transport.send(upper(data)[::-1].replace(b"\n", b"") + b"\n")

        self.assertEqual(self.ask("abc", Connector(Garbling)), 1)
        self.assertEqual(self.output, [])
        self.assertEqual(
            self.complaints,
            [
                "h: 'CBA' came\n"
                "  What came back is not the upper case of what was sent.\n"
                "  Usual cause: Another service on this port; something on the path"
                " that changes\n  the text, for example its encoding."
            ],
        )

    def test_noText(self) -> None:
        """
        What is no line of text is wrong usage.
        """
        for text in ["a\nb", "\udcff"]:
            self.assertIsInstance(self.ask(text, Connector()), WrongUsage)
