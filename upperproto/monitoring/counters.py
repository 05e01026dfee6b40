"""
Counters: what a service has done since it started, counted once for whoever asks.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable
from datetime import datetime, timezone
from typing import Any

from upperproto.interfaces import IServedConnection

# Why connections end or are refused, by the beginnings of the reasons that the log
# gives; the first that fits counts. No client can add a kind.
_KINDS = (
    ("closed by the client", "client"),
    ("cut off", "cut_off"),
    ("too many connections from", "max_per_peer"),
    ("too many connections", "max_connections"),
    ("too many others wait", "max_pending"),
    ("the service is shutting down", "shutdown"),
    ("the drain time is up", "drain_timeout"),
    ("a second signal", "second_signal"),
    ("a fault of the server", "fault"),
    ("not a proxy", "not_a_proxy"),
)

# How many of the last errors are remembered.
LAST_ERRORS = 20

# Kinds that are no errors.
_EXPECTED = ("client", "shutdown", "idle")

Snapshot = dict[str, Any]


def kindOf(reason: str) -> str:
    """
    Give the kind of a reason for which a connection has ended or was refused.

    @param reason: as the log gives it.
    @return: a word out of a few dozen at most.
    """
    for beginning, kind in _KINDS:
        if reason.startswith(beginning):
            return kind
    if reason.startswith("idle for"):
        return "not_reading" if reason.endswith("not reading") else "idle"
    if "PROXY" in reason:
        return "proxy_header"
    return "tls_handshake" if "TLS" in reason else "other"


class Counters:
    """
    The counters of one process.

    Bytes are counted where the connections count them, and added up when somebody asks:
    that costs a connection nothing while it is open.

    @ivar counts: by what is counted, and by its kind.
    @ivar lastErrors: what went wrong last: when, with whom, and why.
    """

    def __init__(self, connections: Collection[IServedConnection]) -> None:
        """
        @param connections: those that are open, now and later.
        """
        self._connections = connections
        self.counts: dict[str, Counter[str]] = {
            name: Counter()
            for name in ("opened", "closed", "refused", "bytes", "errors", "datagrams")
        }
        self.lastErrors: deque[tuple[str, str, str]] = deque(maxlen=LAST_ERRORS)

    def opened(self, listener: str) -> None:
        """
        A connection was accepted.

        @param listener: by which listener.
        """
        self.counts["opened"][listener] += 1

    def refused(self, peer: str, reason: str) -> None:
        """
        A connection got no place, or did not come as far as the protocol.

        @param peer: whose it was.
        @param reason: as the log gives it.
        """
        self.counts["refused"][kindOf(reason)] += 1
        self._note(peer, reason)

    def told(self, error: str) -> None:
        """
        A client was told an error.

        @param error: as it was told.
        """
        self.counts["errors"][kindOf(error)] += 1

    def closed(self, connection: IServedConnection, peer: str, reason: str) -> None:
        """
        A connection has closed.

        @param connection: which, with its numbers.
        @param peer: whose it was.
        @param reason: as the log gives it.
        """
        self.counts["closed"][kindOf(reason)] += 1
        self._add(self.counts, connection)
        self.counts["bytes"]["undelivered"] += connection.undeliveredBytes
        if kindOf(reason) not in _EXPECTED or connection.undeliveredBytes:
            self._note(peer, reason)

    def snapshot(self) -> Snapshot:
        """
        Give all counters as they are now, as plain values that JSON knows.
        """
        counts = {name: Counter(counted) for name, counted in self.counts.items()}
        for connection in self._connections:
            self._add(counts, connection)
        return {
            "counts": {name: dict(counted) for name, counted in counts.items()},
            "connections": len(self._connections),
            "lastErrors": [list(each) for each in self.lastErrors],
        }

    def _add(
        self, counts: dict[str, Counter[str]], connection: IServedConnection
    ) -> None:
        sent = connection.answeredBytes - connection.undeliveredBytes
        counts["bytes"]["received"] += connection.receivedBytes
        counts["bytes"]["sent"] += sent
        counts["errors"]["invalid_utf8"] += connection.invalidLines

    def _note(self, peer: str, reason: str) -> None:
        time = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self.lastErrors.append((time, peer, reason))


def addUp(snapshots: Iterable[Snapshot]) -> Snapshot:
    """
    Add up the counters of several processes.

    @param snapshots: theirs.
    """
    counts: dict[str, Counter[str]] = {}
    connections = 0
    errors: list[Any] = []
    for snapshot in snapshots:
        connections += snapshot["connections"]
        errors += snapshot["lastErrors"]
        for name, counted in snapshot["counts"].items():
            counts.setdefault(name, Counter()).update(counted)
    return {
        "counts": {name: dict(counted) for name, counted in counts.items()},
        "connections": connections,
        "lastErrors": sorted(errors)[-LAST_ERRORS:],
    }
