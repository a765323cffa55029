"""Comparing two versions on what users took."""

import numpy as np
import pytest

from stream_rec.adapters.comparison import Taken, differences
from stream_rec.catalogue.vectors import VectorTable
from stream_rec.experts.views import TEXT, TOWER
from stream_rec.policy import Policy
from stream_rec.replica import Replica
from tests.adapters.bundles import KINDS, bundle, by_kind, load, noise, shop
from tests.adapters.test_serving import NOW_MS, user_of


def taken(past: tuple[int, ...], then: int) -> Taken:
    profile = user_of(*past)[0].profile
    return Taken(profile=profile, scenario="default", policy=Policy(), item_id=f"i{then}")


def tables() -> tuple[Replica, VectorTable, VectorTable]:
    replica = shop(256)
    load(replica, bundle(5, by_kind(256)))
    return replica, replica.vectors[TEXT], replica.seen_through(5).vectors[TOWER]


def test_the_version_that_has_the_items_of_a_user_side_by_side_ranks_the_next_one_higher() -> None:
    replica, frozen, adapted = tables()
    events = [taken((kind, kind + KINDS), kind + 2 * KINDS) for kind in range(KINDS)]
    gains = differences(replica, events, [frozen], [adapted], now_ms=NOW_MS)
    losses = differences(replica, events, [adapted], [frozen], now_ms=NOW_MS)
    assert len(gains) == KINDS
    assert np.mean(gains) > 0.1
    assert gains == pytest.approx([-loss for loss in losses])


def test_a_version_is_no_better_than_itself() -> None:
    replica, frozen, _ = tables()
    assert differences(replica, [taken((1, 9), 17)], [frozen], [frozen], now_ms=NOW_MS) == [0.0]


def test_events_that_say_nothing_are_left_out() -> None:
    replica, frozen, adapted = tables()
    silent = [
        taken((), 3),  # nothing is known of the user
        taken((1, 9), 9),  # may not be shown again
        taken((1, 9), 9999),  # not in the catalogue
    ]
    assert differences(replica, silent, [frozen], [adapted], now_ms=NOW_MS) == []


def test_comparing_changes_nothing() -> None:
    replica, frozen, adapted = tables()
    events = [taken((1, 9), 17), taken((2, 10), 18)]
    first = differences(replica, events, [frozen], [adapted], now_ms=NOW_MS)
    assert differences(replica, events, [frozen], [adapted], now_ms=NOW_MS) == first


def test_a_version_of_meaningless_vectors_gains_nothing() -> None:
    replica, frozen, _ = tables()
    load(replica, bundle(6, noise(256, 11)))
    random = replica.seen_through(6).vectors[TOWER]
    rng = np.random.default_rng(0)
    events = [taken(tuple(rng.integers(0, 256, 2)), int(rng.integers(0, 256))) for _ in range(200)]
    gains = differences(replica, events, [frozen], [random], now_ms=NOW_MS)
    assert abs(np.mean(gains)) < 3 * np.std(gains) / len(gains) ** 0.5
