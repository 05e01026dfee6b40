"""
The metrics of a service in the formats of Prometheus.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from upperproto.status.report import Report

# Metrics with a label. Each has the name of its counter, the label, and its help text.
_BY_KIND = {
    "upper_connections_opened": (
        *("opened", "listener"),
        "Connections that each listener has accepted.",
    ),
    "upper_connections_closed": (
        *("closed", "reason"),
        "Connections that have ended, by reason.",
    ),
    "upper_connections_refused": (
        *("refused", "reason"),
        "Connections that were closed without service, by reason.",
    ),
    "upper_errors": (
        *("errors", "kind"),
        "Error lines that were sent to clients, by kind.",
    ),
    "upper_datagrams": (
        *("datagrams", "outcome"),
        "UDP datagrams that were received, by outcome.",
    ),
}

_BYTES = {
    "received": "Bytes of text received from clients.",
    "sent": "Bytes of answers given to the system for delivery to clients.",
    "undelivered": "Bytes of answers that could not be delivered to clients.",
}


class ReportCollector(Collector):
    """
    Give the metrics of one report.
    """

    def __init__(self, report: Report) -> None:
        """
        @param report: the status of the service.
        """
        self._report = report

    def collect(self) -> Iterator[Metric]:
        """
        Give all metrics.
        """
        report = self._report
        yield GaugeMetricFamily(
            "upper_connections",
            "Connections that are open now.",
            report.connections,
        )
        for name, (what, label, documentation) in _BY_KIND.items():
            family = CounterMetricFamily(name, documentation, labels=[label])
            for kind, number in sorted(report.counts[what].items()):
                family.add_metric([kind], number)
            yield family
        for kind, documentation in _BYTES.items():
            number = report.counts["bytes"][kind]
            yield CounterMetricFamily(f"upper_{kind}_bytes", documentation, number)
        yield CounterMetricFamily(
            "upper_access_log_lost",
            "Lines of the access log that could not be written.",
            report.counts["lost"].total(),
        )
        draining = report.state == "draining"
        yield GaugeMetricFamily(
            "upper_draining",
            "Whether the service is ending after a signal: 1 for yes, 0 for no.",
            draining,
        )
        yield GaugeMetricFamily(
            "upper_workers", "Processes that serve clients now.", report.serving
        )
        if report.notAfter is not None:
            yield GaugeMetricFamily(
                "upper_certificate_not_after_timestamp_seconds",
                "Time when the TLS certificate expires, in seconds since 1970.",
                report.notAfter,
            )
        build = GaugeMetricFamily(
            "upper_build_info",
            "Versions of this service, Twisted and Python. The value is always 1.",
            labels=list(report.versions),
        )
        build.add_metric(list(report.versions.values()), 1)
        yield build


def exposition(report: Report, accept: str) -> tuple[str, bytes]:
    """
    Encode the metrics in the format that the client asks for.

    @param report: the status of the service.
    @param accept: the value of HTTP's C{Accept}.
    @return: the media type and the body.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ReportCollector(report))
    encode, mediaType = choose_encoder(accept)
    return mediaType, encode(registry)
