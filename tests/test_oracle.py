"""The oracle tells mutated logs apart: otherwise agreeing with it would mean nothing."""

import json
from collections.abc import Callable
from dataclasses import astuple

import numpy as np
import pytest

from tests.oracle import Fold, Logged, fold
from tests.shop_log import Shape, logged, random_log


def clean_log(seed: int) -> list[Logged]:
    """A log of good records, each of another event."""
    shape = Shape(events=80, users=3, bad=0.0, duplicates=0.0)
    return list(logged(random_log(np.random.default_rng(seed), shape)))


def summary(state: Fold) -> tuple[object, ...]:
    """Everything that is compared with the engine."""
    users = {name: astuple(user) for name, user in state.users.items()}
    return users, state.counts, state.links, state.following, state.outcomes


def changed(record: Logged, **fields: object) -> Logged:
    """The record with other fields in its body."""
    event = json.loads(record.value or b"{}") | fields
    return record._replace(value=json.dumps(event).encode())


def dropped(log: list[Logged], place: int) -> list[Logged]:
    return log[:place] + log[place + 1 :]


def sent_again_as_another(log: list[Logged], place: int) -> list[Logged]:
    again = changed(log[place], event_id="another")._replace(offset=10_000)
    return [*log, again]


def of_another_item(log: list[Logged], place: int) -> list[Logged]:
    return [*log[:place], changed(log[place], item_id="i-other"), *log[place + 1 :]]


def torn(log: list[Logged], place: int) -> list[Logged]:
    value = (log[place].value or b"")[:-5]
    return [*log[:place], log[place]._replace(value=value), *log[place + 1 :]]


def in_another_key(log: list[Logged], place: int) -> list[Logged]:
    return [*log[:place], log[place]._replace(key=b"somebody else"), *log[place + 1 :]]


def with_swapped_times(log: list[Logged], place: int) -> list[Logged]:
    """Swap the times of two events of one user that lie apart and name different items."""
    event = json.loads(log[place].value or b"")
    for other in range(len(log)):
        partner = json.loads(log[other].value or b"")
        apart = partner["timestamp"] != event["timestamp"]
        if (
            partner["user_id"] == event["user_id"]
            and apart
            and partner["item_id"] != event["item_id"]
            and "impression" not in (event.get("event_type"), partner.get("event_type"))
        ):
            swapped = list(log)
            swapped[place] = changed(log[place], timestamp=partner["timestamp"])
            swapped[other] = changed(log[other], timestamp=event["timestamp"])
            return swapped
    raise AssertionError


@pytest.mark.parametrize(
    "mutate",
    [
        dropped,
        sent_again_as_another,
        of_another_item,
        torn,
        in_another_key,
        with_swapped_times,
    ],
)
@pytest.mark.parametrize("seed", range(8))
def test_a_mutated_log_is_another_state(
    seed: int, mutate: Callable[[list[Logged], int], list[Logged]]
) -> None:
    log = clean_log(seed)
    seen = [
        place
        for place, record in enumerate(log)
        if json.loads(record.value or b"").get("event_type") != "impression"
    ]
    place = seen[seed * 7 % len(seen)]
    assert summary(fold(mutate(log, place))) != summary(fold(log))


@pytest.mark.parametrize("seed", range(5))
def test_the_same_record_again_changes_only_the_count_of_duplicates(seed: int) -> None:
    log = clean_log(seed)
    again = [*log, log[3]._replace(offset=10_000)]
    before, after = fold(log), fold(again)
    assert after.outcomes["duplicate"] == 1
    after.outcomes["duplicate"] = 0
    assert summary(after)[:-1] == summary(before)[:-1]


@pytest.mark.parametrize("seed", range(5))
def test_how_partitions_interleave_does_not_matter(seed: int) -> None:
    log = clean_log(seed)
    order = sorted(log, key=lambda record: (record.topic, record.partition, record.offset))
    assert summary(fold(order)) == summary(fold(log))


def test_links_are_weighed_by_hand_as_the_design_says() -> None:
    log = [
        Logged(0, 0, place, b"u", json.dumps(event).encode())
        for place, event in enumerate(
            {"event_id": f"e{n}", "user_id": "u", "item_id": item, "timestamp": n}
            for n, item in enumerate(("a", "b", "c", "a"))
        )
    ]
    state = fold(log)
    assert state.counts == {"a": 2, "b": 1, "c": 1}
    # c before a with no gap, b before a with one; a before b and c, read backwards at half weight
    assert state.links["c", "a"] == 2048 + round(1024 * 0.7)
    assert state.links["b", "a"] == round(2048 * 0.7) + 1024
    assert state.following == {("a", "b"): 1, ("b", "c"): 1, ("c", "a"): 1}
