"""Which assignor keeps all topics of one partition number in one worker (rule 11 of the client)."""

from types import SimpleNamespace
from typing import Any

import pytest
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor

from consumers.kafka_io.client_repairs import mend_client

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


def test_a_stranger_among_static_members_costs_nobody_their_partitions() -> None:
    """Without the repair only the members after the stranger get any."""
    mend_client()
    owners = _owners(RangePartitionAssignor(), 4, dynamic=1)
    assert owners == {0: {"m0"}, 1: {"m2"}, 2: {"m3"}, 3: {"m1"}}


def _owners(assignor: Any, workers: int, dynamic: int = -1) -> dict[int, set[str]]:
    members = [
        SimpleNamespace(
            member_id=f"m{number}",
            group_instance_id=None if number == dynamic else f"worker-{number}",
            metadata=assignor.metadata(INPUTS),
        )
        for number in range(workers)
    ]
    owners: dict[int, set[str]] = {}
    for member, assignment in assignor.assign(_Cluster(4), members).items():
        for place in assignment.partitions():
            owners.setdefault(place.partition, set()).add(member)
    return owners
