"""
Counters of connections, bytes, errors and datagrams, since the service started.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache

from upperproto.interfaces import IServedConnection
from upperproto.monitoring.incidents import Incidents

# The kinds of reasons why a connection ends, is refused, or gets an error. The keys are
# the beginnings of the reasons in the log. The first one that matches is used. A client
# cannot add a kind.
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

# The kinds of these that are no problem.
_ORDERLY = ("client", "idle", "shutdown")

# For each name, a count of each kind. So the code that adds up the counts of several
# processes need not know the names and the kinds.
Counts = dict[str, Counter[str]]


# Most connections end for one of a few reasons.
@lru_cache(maxsize=64)
def kindOf(reason: str) -> str:
    """
    Get the kind of the reason why a connection has ended.

    @param reason: the reason, as in the log.
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

    Each connection counts its bytes. These numbers are added up only when a snapshot is
    asked for, and when a connection closes. So a chunk costs no more than without
    counters.

    @ivar counts: some of the counts that L{snapshot} gives. C{opened} has connections
        by listener, C{closed} and C{refused} have them by the kind of reason; C{bytes}
        has C{undelivered}; C{errors} has the errors that clients got, by kind;
        C{datagrams} has them by outcome; C{lost} has the C{lines} of the access log
        that were lost.
    @ivar incidents: the last problems.
    """

    def __init__(self) -> None:
        """
        Start all counts at zero.
        """
        self.counts: Counts = {
            name: Counter()
            for name in (
                *("opened", "closed", "refused", "bytes", "errors", "datagrams"),
                "lost",
            )
        }
        self.incidents = Incidents()
        # The bytes of all connections that have closed, and how many of them the client
        # has closed in good order. To add these to counts each time would double the
        # cost of counting.
        self._received = self._answered = self._closedByClient = 0
        # The most bytes that were ever shown as sent.
        self._sent = 0

    def opened(self, listener: str) -> None:
        """
        Count a connection that was accepted.

        @param listener: the address of its listener.
        """
        self.counts["opened"][listener] += 1

    def refused(self, peer: str, reason: str) -> None:
        """
        Count a connection that was refused before it was served.

        @param peer: the name of its peer.
        @param reason: the reason, as in the log.
        """
        kind = kindOf(reason)
        self.counts["closed"][kind] += 1
        self.counts["refused"][kind] += 1
        self.incidents.add(peer, reason)

    def closed(
        self,
        connection: IServedConnection,
        nameOf: Callable[[IServedConnection], str],
        reason: str,
        refused: bool,
    ) -> None:
        """
        Count a connection of the protocol that has closed, and add up its numbers.

        @param connection: the connection.
        @param nameOf: gets the name of its client.
        @param reason: the reason, as in the log.
        @param refused: whether it was refused, because there were too many.
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
            self.incidents.add(nameOf(connection), reason)

    def snapshot(self, connections: Collection[IServedConnection]) -> Counts:
        """
        Get all counts of this moment. No count is ever less than in an earlier
        snapshot.

        @param connections: the open connections.
        """
        received, answered, invalid = self._received, self._answered, 0
        for connection in connections:
            received += connection.receivedBytes
            answered += connection.answeredBytes - connection.unsentBytes()
            invalid += connection.invalidLines
        # Bytes in the kernel count as sent. If they turn out undelivered later, the
        # sum gets smaller, but the count must not.
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
