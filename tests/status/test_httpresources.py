"""
Tests for L{upperproto.status.httpresources}, L{upperproto.status.page} and
L{upperproto.status.metrics}, through HTTP.
"""

from __future__ import annotations

import re
import sys
from http.client import parse_headers
from io import BytesIO
from unittest.mock import patch

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.address import IPv4Address
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from tests.status.observed import FakeService
from upperproto.status.httpresources import StatusSite
from upperproto.status.page import Rates
from upperproto.status.report import Observer


class HTTPTestCase(SynchronousTestCase):
    """
    Ask a site in memory.
    """

    def setUp(self) -> None:
        """
        Make a service, and the site that tells of it.
        """
        self.service = FakeService()
        self.observer = Observer(self.service)
        self.site = StatusSite(self.observer, MemoryReactorClock())

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
        """
        Ask.

        @return: the status and the body; L{headers} has the rest.
        """
        protocol = self.site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        assert protocol is not None
        transport = StringTransport()
        protocol.makeConnection(transport)
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        protocol.dataReceived(
            f"{method} {path} HTTP/1.0\r\n{''.join(lines)}\r\n".encode()
        )
        head, _, body = transport.value().partition(b"\r\n\r\n")
        first, _, rest = head.partition(b"\r\n")
        self.headers = parse_headers(BytesIO(rest + b"\r\n\r\n"))
        return int(first.split()[1]), body.decode()


class ProbeTests(HTTPTestCase):
    """
    What balancers and machines ask for.
    """

    def test_livez(self) -> None:
        """
        It is alive as long as it answers.
        """
        self.assertEqual(self.ask("/livez"), (200, "alive\n"))

    def test_readyz(self) -> None:
        """
        It is ready while it serves, and no more from the moment that it is to end.
        """
        self.assertEqual(self.ask("/readyz"), (503, "starting\n"))
        self.service.serving = 1
        self.assertEqual(self.ask("/readyz"), (200, "serving\n"))
        self.observer.stopping = True
        self.assertEqual(self.ask("/readyz"), (503, "draining\n"))

    def test_head(self) -> None:
        """
        HEAD gets the same without a body.
        """
        self.assertEqual(self.ask("/readyz", "HEAD"), (503, ""))
        self.assertEqual(self.headers["content-length"], "9")

    def test_others(self) -> None:
        """
        Nothing else is there, and nothing can be sent.
        """
        self.assertEqual(self.ask("/else")[0], 404)
        self.assertEqual(self.ask("/livez/else")[0], 404)
        self.assertEqual(self.ask("/livez", "POST")[0], 405)

    def test_headers(self) -> None:
        """
        Nothing of it is kept by those between.
        """
        self.ask("/livez")
        self.assertEqual(self.headers["cache-control"], "no-store")
        self.assertEqual(self.headers["content-type"], "text/plain; charset=utf-8")


class MetricsTests(HTTPTestCase):
    """
    What Prometheus asks for.
    """

    def metrics(self) -> dict[str, float]:
        """
        Read all that it is told.
        """
        code, text = self.ask("/metrics")
        self.assertEqual(code, 200)
        samples = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = "".join(f"[{value}]" for value in sample.labels.values())
                samples[sample.name + labels] = sample.value
        return samples

    def test_none(self) -> None:
        """
        What has no label is there from the beginning.
        """
        samples = self.metrics()
        [build] = [name for name in samples if name.startswith("upper_build_info")]
        self.assertIn("[1.0.0]", build)
        del samples[build]
        self.assertEqual(
            samples,
            {
                "upper_connections": 0,
                "upper_received_bytes_total": 0,
                "upper_sent_bytes_total": 0,
                "upper_undelivered_bytes_total": 0,
                "upper_access_log_lost_total": 0,
                "upper_draining": 0,
                "upper_workers": 0,
            },
        )

    def test_some(self) -> None:
        """
        All else is there once it has happened.
        """
        service, counters = self.service, self.service.counters
        service.connections, service.serving, service.notAfter = 3, 2, 1.5e9
        counters.opened("127.0.0.1:5000")
        counters.refused("somebody", "no PROXY header")
        counters.counts["bytes"].update(received=10, sent=20, undelivered=30)
        counters.counts["errors"]["idle"] = 4
        counters.counts["datagrams"]["answered"] = 5
        self.observer.stopping = True
        samples = self.metrics()
        for name, number in {
            "upper_connections": 3,
            "upper_connections_opened_total[127.0.0.1:5000]": 1,
            "upper_connections_closed_total[proxy_header]": 1,
            "upper_connections_refused_total[proxy_header]": 1,
            "upper_received_bytes_total": 10,
            "upper_sent_bytes_total": 20,
            "upper_undelivered_bytes_total": 30,
            "upper_errors_total[idle]": 4,
            "upper_datagrams_total[answered]": 5,
            "upper_draining": 1,
            "upper_workers": 2,
            "upper_certificate_not_after_timestamp_seconds": 1.5e9,
        }.items():
            self.assertEqual(samples[name], number, name)

    def test_help(self) -> None:
        """
        The help text of each metric is a sentence that says what its value means. It
        names the unit that ends the name of the metric.
        """
        self.service.notAfter = 1.5e9
        _, text = self.ask("/metrics")
        families = list(text_string_to_metric_families(text))
        self.assertGreater(len(families), 13)
        for family in families:
            said = family.documentation
            self.assertGreater(len(said.split()), 4, (family.name, said))
            self.assertTrue(said.endswith("."), (family.name, said))
            unit = family.name.rpartition("_")[2]
            if unit in ("bytes", "seconds"):
                self.assertIn(unit, said.lower(), family.name)

    def test_formats(self) -> None:
        """
        Who asks for OpenMetrics gets it.
        """
        self.ask("/metrics")
        self.assertIn("text/plain", self.headers["content-type"])
        _, text = self.ask("/metrics", Accept="application/openmetrics-text")
        self.assertIn("application/openmetrics-text", self.headers["content-type"])
        self.assertTrue(text.endswith("# EOF\n"))

    def test_missing(self) -> None:
        """
        Without the package that writes it, the answer says what is missing; all else
        works.
        """
        with patch.dict(sys.modules, {"upperproto.status.metrics": None}):
            code, text = self.ask("/metrics")
        self.assertEqual(code, 501)
        self.assertIn("pip install 'upperproto[metrics]'", text)


class PageTests(HTTPTestCase):
    """
    What people ask for.
    """

    def test_page(self) -> None:
        """
        It has the state, the numbers, the listeners, the workers, and what went wrong.
        """
        self.service.serving = 1
        self.service.connections = 1234
        self.service.notAfter = 0
        self.service.processes = [("worker 1", "serves, process 7")]
        self.service.counters.refused("<b>", "no PROXY header & more")
        self.service.counters.counts["datagrams"]["answered"] = 5
        code, page = self.ask("/")
        self.assertEqual(code, 200)
        for part in (
            '<span class="state serving">serving</span>',
            "<dt>connections open</dt><dd>1,234<",
            "<td>127.0.0.1:5000</td><td></td>",
            "<td>[::1]:5001</td><td>delay=0.2</td>",
            "<td>worker 1</td><td>serves, process 7</td>",
            "<td>proxy header</td><td>1</td>",
            "<td>answered</td><td>5</td>",
            "<td>&lt;b&gt;</td><td>no PROXY header &amp; more</td>",
            "valid until 1970-01-01 00:00:00 UTC",
            '<meta http-equiv="refresh" content="2">',
            'name="viewport"',
        ):
            self.assertIn(part, page)
        self.assertNotIn("<script", page)

    def test_empty(self) -> None:
        """
        There are no tables about nothing.
        """
        _, page = self.ask("/")
        self.assertEqual(re.findall("<h2>(.*?)</h2>", page), ["Listeners"])


class RatesTests(SynchronousTestCase):
    """
    Tests for L{Rates}.
    """

    def test_rates(self) -> None:
        """
        A rate needs two looks, a second apart; those between do not shorten it.
        """
        rates = Rates()
        self.assertEqual(rates.since(100, {"a": 0}), {})
        self.assertEqual(rates.since(100.5, {"a": 5}), {})
        self.assertEqual(rates.since(102, {"a": 20}), {"a": 10})
        self.assertEqual(rates.since(102.5, {"a": 30}), {"a": 12})
        self.assertEqual(rates.since(104, {"a": 20}), {"a": 0})
