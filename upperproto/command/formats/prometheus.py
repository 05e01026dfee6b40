"""
The format C{prometheus}: metrics in the text format of Prometheus, with the names of
blackbox_exporter if it has them.
"""

from __future__ import annotations

from typing import Any

from upperproto.command.findings.diagnoses import Fault
from upperproto.command.findings.records import Answered, Report
from upperproto.command.findings.statistics import PERCENTILES, Pings
from upperproto.command.formats.formatter import Formatter

_HELP = {
    "probe_success": "Whether the probe succeeded: 1 for yes, 0 for no.",
    "probe_duration_seconds": "Seconds that the probe took.",
    "probe_dns_lookup_time_seconds": "Seconds that the look-up of the name took.",
    "probe_ip_protocol": "Version of IP that was used: 4 or 6.",
    "probe_ssl_earliest_cert_expiry": "Time when the first certificate of the chain"
    " expires, in seconds since 1970.",
    "probe_tls_version_info": "Version of TLS. The value is always 1.",
    "probe_tls_cipher_info": "Cipher of TLS. The value is always 1.",
    "upper_probe_phase_seconds": "Seconds that each part of the probe took.",
    "upper_probe_fault_info": "Fault that was found. The value is always 1.",
    "upper_ping_sent": "Pings that were sent.",
    "upper_ping_answered": "Pings with the right answer.",
    "upper_ping_wrong": "Pings with a wrong answer.",
    "upper_ping_lost": "Pings without an answer.",
    "upper_ping_rtt_seconds": "Round trips of right answers, in seconds.",
    "upper_ping_rtt_min_seconds": "Shortest round trip, in seconds.",
    "upper_ping_rtt_max_seconds": "Longest round trip, in seconds.",
    "upper_ping_rtt_mdev_seconds": "Standard deviation of the round trips, in seconds.",
    "upper_ping_instance_answers": "Right answers, by the name of the server.",
    "upper_check_step_success": "Whether a step was ok: 1 for yes, 0 for no."
    " Steps that were left out are missing.",
    "upper_check_step_duration_seconds": "Seconds that a step took.",
}
_SUMMARIES = {"upper_ping_rtt_seconds"}
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class PrometheusFormatter(Formatter):
    """
    Print all metrics at the end.
    """

    atTheEnd = True

    def asked(self, record: Answered) -> int:
        """
        Print the parts of one answer.
        """
        status = super().asked(record)
        timing = record.timing()
        taken = sum(seconds for seconds in timing.values() if seconds is not None)
        metrics = _Metrics()
        metrics.probe(status == 0, taken)
        metrics.add("probe_dns_lookup_time_seconds", timing["resolve_seconds"])
        for name, seconds in timing.items():
            phase = name.removesuffix("_seconds")
            metrics.add("upper_probe_phase_seconds", seconds, phase=phase)
        if record.opened is not None:
            metrics.connection(record.opened.address, record.opened.tls)
        metrics.fault(record.fault)
        self.write(metrics.text())
        return status

    def pingsEnd(self, pings: Pings) -> int:
        """
        Print the statistics.
        """
        status = super().pingsEnd(pings)
        metrics = _Metrics()
        metrics.probe(status == 0, pings.elapsedSeconds)
        metrics.connection(pings.address, pings.tls)
        for name, count in pings.counts().items():
            metrics.add(f"upper_ping_{name}", count)
        found = pings.statistics()
        if found:
            rtt = "upper_ping_rtt_seconds"
            for each in PERCENTILES:
                metrics.add(rtt, found[f"p{each}"], quantile=f"{each / 100:g}")
            metrics.add(rtt, sum(pings.rtts), suffix="_sum")
            metrics.add(rtt, len(pings.rtts), suffix="_count")
            for name in ("min", "max", "mdev"):
                metrics.add(f"upper_ping_rtt_{name}_seconds", found[name])
        for instance, count in sorted(pings.instances.items()):
            metrics.add("upper_ping_instance_answers", count, instance=instance)
        metrics.fault(pings.fault)
        self.write(metrics.text())
        return status

    def examined(self, report: Report) -> int:
        """
        Print which steps were ok.
        """
        status = super().examined(report)
        metrics = _Metrics()
        metrics.probe(status == 0, report.elapsedSeconds)
        metrics.connection(report.address, report.tls)
        for step in report.steps:
            if step.status != "skip":
                ok, seconds = int(step.status == "ok"), step.elapsedSeconds
                metrics.add("upper_check_step_success", ok, step=step.name)
                metrics.add(
                    "upper_check_step_duration_seconds", seconds, step=step.name
                )
        self.write(metrics.text())
        return status

    def failed(self, fault: Fault) -> int:
        """
        Print that nothing could be tried.
        """
        metrics = _Metrics()
        metrics.probe(False, 0.0)
        metrics.fault(fault)
        self.write(metrics.text())
        return super().failed(fault)


class _Metrics:
    """
    Metrics, each with its help and its type.
    """

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {}

    def probe(self, success: bool, seconds: float) -> None:
        """
        Add the metrics of every probe.
        """
        self.add("probe_success", int(success))
        self.add("probe_duration_seconds", seconds)

    def connection(self, address: str, tls: Any) -> None:
        """
        Add the metrics of a connection.
        """
        if address.startswith("["):
            self.add("probe_ip_protocol", 6)
        elif address.rpartition(":")[0].replace(".", "").isdigit():
            self.add("probe_ip_protocol", 4)
        if tls is not None:
            version = tls["version"].replace("TLSv", "TLS ")
            self.add("probe_ssl_earliest_cert_expiry", tls["expires"])
            self.add("probe_tls_version_info", 1, version=version)
            self.add("probe_tls_cipher_info", 1, cipher=tls["cipher"])

    def fault(self, fault: Fault | None) -> None:
        """
        Add the fault that was found, if there is one.
        """
        if fault is not None:
            self.add("upper_probe_fault_info", 1, fault=fault.code)

    def add(
        self, name: str, value: float | None, suffix: str = "", **labels: str
    ) -> None:
        """
        Add a value, if there is one.
        """
        if value is None:
            return
        if name not in self._lines:
            kind = "summary" if name in _SUMMARIES else "gauge"
            self._lines[name] = [
                f"# HELP {name} {_HELP[name]}",
                f"# TYPE {name} {kind}",
            ]
        pairs = ",".join(f'{k}="{v.translate(_ESCAPES)}"' for k, v in labels.items())
        braces = f"{{{pairs}}}" if pairs else ""
        self._lines[name].append(f"{name}{suffix}{braces} {value!r}")

    def text(self) -> str:
        """
        Write all metrics.
        """
        return "".join(f"{line}\n" for each in self._lines.values() for line in each)
