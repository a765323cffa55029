"""Which assignor keeps all topics of one partition number in one worker (rule 11 of the client)."""

from types import SimpleNamespace
from typing import Any

import pytest
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor

INPUTS = ["p.events.clicks", "p.events.reviews", "p.erasures"]


class _Cluster:
    def __init__(self, partitions: int) -> None:
        self.partitions = partitions

    def topics(self) -> set[str]:
        return set(INPUTS)

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(self.partitions))


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_range_assignor_keeps_a_partition_number_of_all_topics_in_one_worker(workers: int) -> None:
    owners = _owners(RangePartitionAssignor(), workers)
    assert all(len(found) == 1 for found in owners.values())


def test_client_splits_partition_numbers_with_the_cooperative_assignor() -> None:
    owners = _owners(CooperativeStickyAssignor(), 3)
    split = [number for number, found in owners.items() if len(found) > 1]
    assert split, "the cooperative assignor keeps numbers together now: rule 11 may be relaxed"


def _owners(assignor: Any, workers: int) -> dict[int, set[str]]:
    members = [
        SimpleNamespace(
            member_id=f"m{number}",
            group_instance_id=f"worker-{number}",
            metadata=assignor.metadata(INPUTS),
        )
        for number in range(workers)
    ]
    owners: dict[int, set[str]] = {}
    for member, assignment in assignor.assign(_Cluster(4), members).items():
        for place in assignment.partitions():
            owners.setdefault(place.partition, set()).add(member)
    return owners
