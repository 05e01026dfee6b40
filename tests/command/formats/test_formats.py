"""
Tests for L{upperproto.command.formats}.
"""

from __future__ import annotations

import json
import re
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from upperproto.command.errors import NotConnected
from upperproto.command.findings.diagnoses import Fault
from upperproto.command.findings.durations import milliseconds
from upperproto.command.findings.records import Answered, Report, Step
from upperproto.command.findings.statistics import Pings
from upperproto.command.formats.choice import formatter
from upperproto.command.formats.formatter import Formatter
from upperproto.command.formats.text import notConnected
from upperproto.command.route.connection import Opened

TLS: Any = {
    "version": "TLSv1.3",
    "cipher": "TLS_X",
    "names": ["a"],
    "issuer": "CN=b",
    "expires": 2e9,
    "days": 9.5,
}
OPENED = Opened("[::1]:1", 0.5, 0.25, TLS)
GOOD = Answered(1, "a", "A", 0.000214, OPENED, 0.125, "b")
BAD = Answered(2, "a", fault=Fault("echo", "the | text"))
FAILED = Step("halfclose", "FAIL", fault=Fault("cut", "x" * 9))
OK = Step("answer", "ok", "in 1 ms", {"rtt_seconds": 0.001}, 0.5)
SKIPPED = Step("tls", "skip", "without --tls")


class FormatTestCase(SynchronousTestCase):
    """
    A format.
    """

    format = "text"

    def setUp(self) -> None:
        """
        Make a formatter that prints into a text.
        """
        self.output = ""
        self.complaint = ""

    def formatter(self, command: str) -> Formatter:
        """
        Make a formatter.
        """
        return formatter(self.format, command, "h:1", self.write, self.complain)

    def write(self, text: str) -> None:
        """
        Print.
        """
        self.output += text

    def complain(self, text: str) -> None:
        """
        Tell a person.
        """
        self.complaint += text

    def ask(self, record: Answered) -> int:
        """
        Print an answer.
        """
        return self.formatter("ask").asked(record)

    def ping(self, *records: Answered) -> int:
        """
        Print pings.
        """
        form, pings = self.formatter("ping"), Pings(elapsedSeconds=1.5)
        form.pingsBegin(56)
        for record in records:
            pings.add(record)
            form.pinged(record)
        return form.pingsEnd(pings)

    def check(self, *steps: Step) -> int:
        """
        Print an examination.
        """
        form = self.formatter("check")
        for step in steps:
            form.stepped(step)
        return form.examined(Report(list(steps), 2.5, "192.0.2.1:1", TLS))


class TextTests(FormatTestCase):
    """
    The format C{text}.
    """

    def test_milliseconds(self) -> None:
        """
        Times have three digits or more, and a unit.
        """
        for seconds, shown in [
            (0.00012345, "0.123 ms"),
            (0.0123, "12.30 ms"),
            (0.5, "500.0 ms"),
            (12.3456, "12346 ms"),
            (None, "?"),
        ]:
            self.assertEqual(milliseconds(seconds), shown)

    def test_ping(self) -> None:
        """
        A line for each, and the statistics.
        """
        self.assertEqual(self.ping(GOOD, BAD), 1)
        self.assertEqual(
            self.output,
            "PING h:1: 56 characters each\n"
            "seq=1 time=0.214 ms name=125.0 ms connect=500.0 ms tls=250.0 ms by b\n"
            "seq=2 WRONG: the | text\n"
            "  The text came back as it was sent: no server has read it.\n"
            "  Usual cause: A loop in the network, or an echo service on this port.\n"
            "--- h:1 ping statistics ---\n"
            "2 sent, 1 answered, 1 wrong, 0 lost, time 1500 ms\n"
            "rtt min/avg/max/mdev = 0.214/0.214/0.214/0.000 ms\n"
            "rtt p50/p90/p99 = 0.214/0.214/0.214 ms\n"
            "answered by b: 1\n",
        )

    def test_pingFaults(self) -> None:
        """
        A fault is explained once, and its reason is not repeated while it stays the
        same. After a right answer, or another fault, it is given again.
        """
        lost = Fault("refused", "Connection refused")
        faults = [lost, lost, Fault("silent", "no answer in time"), lost, None, lost]
        self.ping(
            *(Answered(number, "a", fault=each) for number, each in enumerate(faults))
        )
        pings = re.findall(r"^seq=.*$", self.output, re.MULTILINE)
        self.assertEqual(
            pings,
            [
                "seq=0 LOST: Connection refused",
                "seq=1 LOST: as before",
                "seq=2 LOST: no answer in time",
                "seq=3 LOST: Connection refused",
                "seq=4 time=?",
                "seq=5 LOST: Connection refused",
            ],
        )
        hints = re.findall(r"^  Usual cause: .*$", self.output, re.MULTILINE)
        self.assertEqual(len(hints), 2)
        self.assertTrue(hints[0].startswith("  Usual cause: The server is not running"))

    def test_notConnected(self) -> None:
        """
        The message of a connection that could not be made has the same hint as a step
        of an examination.
        """
        said = "cannot connect to h:1: Connection refused"
        shown = notConnected(NotConnected("refused", "Connection refused", said))
        first, *hint = shown.splitlines()
        self.assertEqual(first, said)
        self.check(Step("connect", "FAIL", fault=Fault("refused", "x")))
        explained = self.output.splitlines()[1:-1]
        self.assertEqual(
            " ".join(" ".join(hint).split()), " ".join(" ".join(explained).split())
        )
        self.assertIn("nothing listens", hint[0])

    def test_check(self) -> None:
        """
        A line for each step, and what a fault means.
        """
        self.assertEqual(self.check(OK, SKIPPED, FAILED), 1)
        lines = self.output.splitlines()
        self.assertEqual(lines[0], "answer      ok    in 1 ms")
        self.assertEqual(lines[1], "tls         skip  without --tls")
        self.assertEqual(lines[2], "halfclose   FAIL  xxxxxxxxx")
        self.assertEqual(lines[3][:40], " " * 18 + "Something has reset th")
        self.assertEqual(lines[-1], "1 ok, 1 failed, 1 skipped, 2.5 s")
        self.assertLessEqual(max(map(len, lines)), 80)

    def test_failed(self) -> None:
        """
        Nothing could be tried: the fault is explained.
        """
        self.assertEqual(self.formatter("ping").failed(Fault("no-host", "x")), 2)
        self.assertEqual(self.output, "")
        said, meaning, *_ = self.complaint.splitlines()
        self.assertEqual(said, "h:1: x")
        self.assertIn("the name has no address", meaning)


class JSONTests(FormatTestCase):
    """
    The format C{json}.
    """

    format = "json"

    def test_ask(self) -> None:
        """
        One object.
        """
        self.assertEqual(self.ask(GOOD), 0)
        found = json.loads(self.output)
        self.assertEqual((found["ok"], found["answer"]), (True, "A"))
        self.assertEqual(found["tls"], TLS)
        self.assertEqual((found["command"], found["target"]), ("ask", "h:1"))

    def test_ping(self) -> None:
        """
        One object on each line.
        """
        self.assertEqual(self.ping(GOOD), 0)
        ping, summary = map(json.loads, self.output.splitlines())
        self.assertEqual((ping["kind"], ping["sequence"]), ("ping", 1))
        self.assertEqual((summary["kind"], summary["ok"]), ("summary", True))

    def test_check(self) -> None:
        """
        One object.
        """
        self.assertEqual(self.check(OK, FAILED), 1)
        found = json.loads(self.output)
        self.assertEqual(
            [step["step"] for step in found["steps"]], ["answer", "halfclose"]
        )

    def test_failed(self) -> None:
        """
        Nothing could be tried.
        """
        self.assertEqual(self.formatter("ping").failed(Fault("no-host", "x")), 2)
        self.assertEqual(json.loads(self.output)["fault"], "no-host")


class PluginTests(FormatTestCase):
    """
    The format C{plugin}.
    """

    format = "plugin"

    def test_ask(self) -> None:
        """
        One line, without a bar in its words.
        """
        self.assertEqual(self.ask(GOOD), 0)
        self.assertEqual(
            self.output,
            "OK - h:1 answered in 0.214 ms | time=0.000214s;;;0"
            " resolve=0.125000s;;;0 connect=0.500000s;;;0 tls=0.250000s;;;0\n",
        )
        self.output = ""
        self.assertEqual(self.ask(BAD), 2)
        self.assertEqual(self.output, "CRITICAL - h:1: the / text\n")

    def test_ping(self) -> None:
        """
        What is wrong is critical, and what is lost a warning, unless all is.
        """
        lost = Answered(3, "a", fault=Fault("silent", "no answer in time"))
        self.assertEqual(self.ping(GOOD), 0)
        self.assertEqual(
            self.output,
            "OK - h:1: 1 of 1 answered, in 0.214 ms on average | time=0.000214s;;;0"
            " min=0.000214s;;;0 max=0.000214s;;;0 p99=0.000214s;;;0 wrong=0;;;0"
            " lost=0;;;0\n",
        )
        for records, status in [([GOOD, lost], 1), ([lost], 2), ([GOOD, BAD], 2)]:
            self.assertEqual(self.ping(*records), status)

    def test_check(self) -> None:
        """
        The faults are named.
        """
        for steps, status, said in [
            ([OK, SKIPPED], 0, "OK - h:1: 1 steps ok | time=2.500000s;;;0\n"),
            ([OK, FAILED], 2, "CRITICAL - h:1: halfclose: xxxxxxxxx | time=2.5000"),
            ([SKIPPED], 3, "UNKNOWN - h:1: nothing could be tried | time=2.500000"),
        ]:
            self.output = ""
            self.assertEqual(self.check(*steps), status)
            self.assertTrue(self.output.startswith(said), self.output)


class PrometheusTests(FormatTestCase):
    """
    The format C{prometheus}.
    """

    format = "prometheus"

    def metrics(self) -> dict[str, float]:
        """
        Read what was printed, by the grammar of the text format.
        """
        found = {}
        known = set()
        for line in self.output.splitlines():
            if line.startswith("#"):
                about = re.fullmatch(r"# (HELP|TYPE) (\w+) .+", line)
                assert about is not None, line
                known.add(about[2])
            else:
                label = r'\w+="(?:[^"\\]|\\.)*"'
                sample = re.fullmatch(
                    rf"((\w+?)(?:_sum|_count)?(?:\{{{label}\}})?) (\S+)", line
                )
                assert sample is not None, line
                self.assertIn(sample[2], known)
                found[sample[1]] = float(sample[3])
        return found

    def test_ask(self) -> None:
        """
        The names of blackbox_exporter, and ours.
        """
        self.assertEqual(self.ask(GOOD), 0)
        found = self.metrics()
        self.assertEqual(found["probe_success"], 1)
        self.assertAlmostEqual(found["probe_duration_seconds"], 0.875214)
        self.assertEqual(found["probe_dns_lookup_time_seconds"], 0.125)
        self.assertEqual(found["probe_ip_protocol"], 6)
        self.assertEqual(found["probe_ssl_earliest_cert_expiry"], 2e9)
        self.assertEqual(found['probe_tls_version_info{version="TLS 1.3"}'], 1)
        self.assertEqual(found['upper_probe_phase_seconds{phase="tls"}'], 0.25)
        self.output = ""
        self.assertEqual(self.ask(BAD), 1)
        found = self.metrics()
        self.assertEqual(found["probe_success"], 0)
        self.assertEqual(found['upper_probe_fault_info{fault="echo"}'], 1)

    def test_ping(self) -> None:
        """
        A summary, and counts.
        """
        odd = Answered(1, "a", "A", 0.5, instance='"\\\n')
        self.assertEqual(self.ping(GOOD, odd), 0)
        found = self.metrics()
        self.assertEqual(found['upper_ping_rtt_seconds{quantile="0.99"}'], 0.5)
        self.assertEqual(found["upper_ping_rtt_seconds_count"], 2)
        self.assertEqual(found["upper_ping_answered"], 2)
        self.assertEqual(found[r'upper_ping_instance_answers{instance="\"\\\n"}'], 1)

    def test_check(self) -> None:
        """
        The steps, without those that were left out.
        """
        self.assertEqual(self.check(OK, SKIPPED, FAILED), 1)
        found = self.metrics()
        self.assertEqual(found['upper_check_step_success{step="answer"}'], 1)
        self.assertEqual(found['upper_check_step_success{step="halfclose"}'], 0)
        self.assertNotIn('upper_check_step_success{step="tls"}', found)
        self.assertEqual(found["probe_ip_protocol"], 4)

    def test_failed(self) -> None:
        """
        Nothing could be tried.
        """
        self.assertEqual(self.formatter("check").failed(Fault("no-host", "x")), 2)
        self.assertEqual(self.metrics()["probe_success"], 0)
