"""
Counters: what a service has done since it started.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from time import time
from typing import Any

from upperproto.interfaces import IServedConnection

# Why connections end, are refused, or are told an error, by the beginnings of what the
# log says; the first that fits counts. No client can add a kind.
_KINDS = {
    "closed by the client": "client",
    "cut off": "cut_off",
    "too many connections from": "max_per_peer",
    "too many connections": "max_connections",
    "too many others wait": "max_pending",
    "the service is shutting down": "shutdown",
    "the drain time is up": "drain_timeout",
    "a second signal": "second_signal",
    "a fault of the server": "fault",
    "not a proxy": "not_a_proxy",
    "idle for": "idle",
}

# Those of them that are in good order.
_ORDERLY = ("client", "idle", "shutdown")

# How many of the last incidents are remembered.
INCIDENTS = 20

# What is counted has kinds, so that whoever adds up processes need not know what it is.
Counts = dict[str, Counter[str]]


# Most connections end for one of few reasons.
@lru_cache(maxsize=64)
def kindOf(reason: str) -> str:
    """
    Give the kind of a reason for which a connection has ended.

    @param reason: as the log gives it.
    @return: one of two dozen words.
    """
    for beginning, kind in _KINDS.items():
        if reason.startswith(beginning):
            return "not_reading" if reason.endswith("not reading") else kind
    if "PROXY" in reason:
        return "proxy_header"
    return "tls_handshake" if "TLS" in reason else "other"


class Counters:
    """
    The counters of one process.

    Bytes are counted by the connections. They are added up when somebody asks, and when
    a connection closes, so that a chunk costs no more than without counters.

    @ivar counts: connections C{opened} by each listener; C{closed} and C{refused} by
        why; C{bytes} C{undelivered}; C{errors} that clients were told, by kind;
        C{datagrams}, by what became of them; C{lines} of the access log that were
        C{lost}. L{snapshot} gives these and the rest.
    @ivar incidents: what went wrong last: when, in seconds since 1970; with whom; what.
    """

    def __init__(self) -> None:
        """
        Begin at zero.
        """
        self.counts: Counts = {
            name: Counter()
            for name in (
                *("opened", "closed", "refused", "bytes", "errors", "datagrams"),
                "lost",
            )
        }
        self.incidents: deque[tuple[float, str, str]] = deque(maxlen=INCIDENTS)
        # Of connections that have closed: all bytes, and how many their client has
        # closed in good order. To add these to counts each time would take as long as
        # all else that is counted of a connection.
        self._received = self._answered = self._closedByClient = 0
        # The most bytes that were ever shown as sent.
        self._sent = 0

    def opened(self, listener: str) -> None:
        """
        A connection was accepted.

        @param listener: the address of its listener.
        """
        self.counts["opened"][listener] += 1

    def refused(self, peer: str, reason: str) -> None:
        """
        A connection was not let in, and is closed.

        @param peer: whose it was.
        @param reason: as the log gives it.
        """
        kind = kindOf(reason)
        self.counts["closed"][kind] += 1
        self.counts["refused"][kind] += 1
        self.incidents.append((time(), peer, reason))

    def closed(
        self,
        connection: IServedConnection,
        nameOf: Callable[[IServedConnection], str],
        reason: str,
        refused: bool,
    ) -> None:
        """
        A connection of the protocol has closed.

        @param connection: which, with its numbers.
        @param nameOf: names its client.
        @param reason: as the log gives it.
        @param refused: whether it had no place.
        """
        undelivered, invalid = connection.undeliveredBytes, connection.invalidLines
        self._received += connection.receivedBytes
        self._answered += connection.answeredBytes - undelivered
        if reason == "closed by the client" and not (undelivered or invalid):
            self._closedByClient += 1
            return
        counts, kind = self.counts, kindOf(reason)
        counts["closed"][kind] += 1
        if refused:
            counts["refused"][kind] += 1
        if connection.toldError:
            counts["errors"][kindOf(connection.toldError)] += 1
        if undelivered:
            counts["bytes"]["undelivered"] += undelivered
            reason += f"; {undelivered} bytes undelivered"
        if invalid:
            counts["errors"]["invalid_utf8"] += invalid
            reason += f"; {invalid} invalid lines"
        if undelivered or invalid or kind not in _ORDERLY:
            self.incidents.append((time(), nameOf(connection), reason))

    def snapshot(self, connections: Collection[IServedConnection]) -> Counts:
        """
        Give all counts as they are now. None of them is ever less than before.

        @param connections: those that are open.
        """
        received, answered, invalid = self._received, self._answered, 0
        for connection in connections:
            received += connection.receivedBytes
            answered += connection.answeredBytes - connection.unsentBytes()
            invalid += connection.invalidLines
        # The kernel may have bytes that are never delivered: the count must not fall.
        self._sent = max(self._sent, answered)
        more: Counts = {
            "closed": Counter(client=self._closedByClient),
            "bytes": Counter(received=received, sent=self._sent),
            "errors": Counter(invalid_utf8=invalid),
        }
        return addUp([self.counts, {name: +counted for name, counted in more.items()}])


def addUp(counts: Iterable[Mapping[str, Mapping[str, int]]]) -> Counts:
    """
    Add up the counts of several processes.
    """
    total: Counts = {}
    for each in counts:
        for name, counted in each.items():
            total.setdefault(name, Counter()).update(counted)
    return total


def lastIncidents(incidents: Iterable[Any]) -> list[Any]:
    """
    Bring incidents of several processes into their order, and keep the last ones.
    """
    return sorted(incidents)[-INCIDENTS:]
