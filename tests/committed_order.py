"""The order in which a group took the records of its inputs, told by the offsets it committed.

An erasure forgets what was read before it, and which of a user's topics is read first is chance. So
the oracle must be told: every commit names the next offset of each topic, and within one commit
erasures go first and refinements last. A refinement counts after its review, whenever it is read.
Knows neither the engine's values nor the broker's.
"""

from collections.abc import Mapping, Sequence

from tests.oracle import ERASURES, REFINEMENTS, Logged, readable

Offsets = tuple[int, ...]
"""The next offset of each topic, by the topic's number."""


def in_committed_order(
    log: Sequence[Logged], steps: Mapping[int, Sequence[Offsets]]
) -> list[Logged]:
    """Return a log as it was taken; what no commit covers stands last.

    Args:
        log: Each topic and partition in the order of its offsets.
        steps: The commits of each partition, in their order.
    """
    waiting: dict[tuple[int, int], list[Logged]] = {}
    for record in log:
        waiting.setdefault((record.partition, record.topic), []).append(record)
    taken: list[Logged] = []
    early: list[Logged] = []
    for partition in sorted({record.partition for record in log}):
        end = (2**62,) * (REFINEMENTS + 1)
        for offsets in (*steps.get(partition, ()), end):
            for topic in (ERASURES, *range(ERASURES), REFINEMENTS):
                records = waiting.get((partition, topic), [])
                count = sum(record.offset < offsets[topic] for record in records)
                early += records[:count] if topic == REFINEMENTS else ()
                taken += records[:count] if topic != REFINEMENTS else ()
                del records[:count]
            taken += [record for record in early if _refines(record) < offsets[1]]
            early = [record for record in early if _refines(record) >= offsets[1]]
    return taken


def _refines(record: Logged) -> int:
    """Return the offset of the review that a refinement is about; -1 for one that is broken."""
    said = readable(record)
    return -1 if said is None else int(said["offset"])
