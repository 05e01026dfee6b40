"""
Add up the snapshots (connections and counters) of several workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from upperproto.monitoring.counters import Counters, addUp
from upperproto.monitoring.incidents import lastIncidents
from upperproto.processes.restartedprocess import Worker


def addUpWorkers(workers: Sequence[Worker]) -> dict[str, Any]:
    """
    Add up the last snapshots of the workers, and the counts of earlier processes.

    @return: a snapshot, as L{upperproto.interfaces.IObserved} has it.
    """
    said = [worker.snapshot for worker in workers]
    counts = [Counters().counts, *(worker.past for worker in workers)]
    counts += [each.get("counts", {}) for each in said]
    expiries = [each["notAfter"] for each in said if each.get("notAfter")]
    return {
        "connections": sum(each.get("connections", 0) for each in said),
        "counts": addUp(counts),
        "incidents": lastIncidents(
            incident for each in said for incident in each.get("incidents", [])
        ),
        "notAfter": min(expiries, default=None),
    }
