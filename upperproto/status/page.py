"""
The HTML page of the status, for people. It needs no script.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from html import escape

from upperproto.status.report import Report

# The page loads again every REFRESH seconds. A rate is computed over LEAST_SPAN seconds
# or more.
REFRESH = 2
LEAST_SPAN = 1.0

_STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: auto;
  padding: 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.state { padding: .1em .6em; border-radius: .3em; color: #fff; background: #b45309; }
.serving { background: #15803d; }
.numbers { display: grid; gap: .5rem;
  grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); padding: 0; }
.numbers div { border: 1px solid var(--line); border-radius: .3em; padding: .5rem; }
dt { font-size: .85rem; } dd { margin: 0; font-size: 1.3rem; }
dd small { font-size: .8rem; display: block; min-height: 1.5em; }
div.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; vertical-align: top;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
"""


class Rates:
    """
    Compute how fast counts grow, since the last time that the page was made, or since
    a little earlier.
    """

    def __init__(self) -> None:
        """
        Start without counts.
        """
        self._before: tuple[float, dict[str, int]] | None = None
        self._last: tuple[float, dict[str, int]] | None = None

    def since(self, now: float, counts: dict[str, int]) -> dict[str, float]:
        """
        Compute the growth of each count, per second.

        @param now: the time, in seconds.
        @param counts: the counts now.
        @return: the growth; empty the first time.
        """
        if self._last is None or now - self._last[0] >= LEAST_SPAN:
            self._before, self._last = self._last, (now, counts)
        if self._before is None:
            return {}
        began, before = self._before
        return {name: (n - before[name]) / (now - began) for name, n in counts.items()}


def render(report: Report, rates: Rates) -> str:
    """
    Make the HTML of the page.

    @param report: the status of the service.
    @param rates: has the counts of the last page.
    """
    counts, sizes = report.counts, report.counts["bytes"]
    growing = {
        "connections opened": counts["opened"].total(),
        "bytes received": sizes["received"],
        "bytes sent": sizes["sent"],
        "bytes undelivered": sizes["undelivered"],
        "connections refused": counts["refused"].total(),
        "errors told": counts["errors"].total(),
    }
    if counts["datagrams"]:
        growing["datagrams"] = counts["datagrams"].total()
    perSecond = rates.since(report.now, growing)
    numbers = [("connections open", f"{report.connections:,}", "")]
    for name, number in growing.items():
        rate = f"{perSecond[name]:,.0f} per second" if name in perSecond else ""
        numbers.append((name, f"{number:,}", rate))
    uptime = timedelta(seconds=int(report.now - report.began))
    versions = report.versions
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="{REFRESH}">
<title>{report.state}: upperproto</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>upperproto <span class="state {report.state}">{report.state}</span></h1>
<p>Since {_time(report.began)} ({uptime}).
Version {escape(versions["version"])}, Twisted {escape(versions["twisted"])},
Python {escape(versions["python"])}.{_certificate(report)}</p>
<dl class="numbers">
{"".join(_number(*each) for each in numbers)}</dl>
{_table("Listeners", ("address", "faults"), report.listeners)}
{_table("Workers", ("name", "state"), report.workers)}
{_table("Connections closed", ("why", "how many"), _kinds(counts["closed"]))}
{_table("Connections refused", ("why", "how many"), _kinds(counts["refused"]))}
{_table("Errors told to clients", ("kind", "how many"), _kinds(counts["errors"]))}
{_table("Datagrams", ("outcome", "how many"), _kinds(counts["datagrams"]))}
{_table("What went wrong last", ("time", "client", "what"), _incidents(report))}
</body>
</html>
"""


def _number(name: str, number: str, rate: str) -> str:
    return f"<div><dt>{escape(name)}</dt><dd>{number}<small>{rate}</small></dd></div>\n"


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """
    Make a table with a title; empty if it has no rows.
    """
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n"
        for row in rows
    )
    if not body:
        return ""
    cells = "".join(f"<th>{escape(each)}</th>" for each in head)
    return (
        f'<h2>{escape(title)}</h2>\n<div class="wide"><table>\n'
        f"<tr>{cells}</tr>\n{body}</table></div>"
    )


def _kinds(counted: dict[str, int]) -> list[tuple[str, str]]:
    return [
        (kind.replace("_", " "), f"{number:,}")
        for kind, number in sorted(counted.items())
        if number
    ]


def _incidents(report: Report) -> list[tuple[str, str, str]]:
    return [(_time(when), who, what) for when, who, what in reversed(report.incidents)]


def _certificate(report: Report) -> str:
    if report.notAfter is None:
        return ""
    return f" The certificate is valid until {_time(report.notAfter)}."


def _time(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
