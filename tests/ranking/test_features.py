"""What the features of a candidate say."""

import numpy as np
import pytest

from stream_rec.ranking.features import Feature
from stream_rec.ranking.scoring import score
from stream_rec.ranking.users import Request
from stream_rec.replica import Replica
from tests.ranking.shop import (
    DIMENSION,
    NOW_MS,
    busy_shop,
    crowd,
    happened,
    profile_of,
    put_tower,
    request,
    shop,
)


def _told(replica: Replica, asked: Request) -> dict[str, np.ndarray]:
    for _ in range(3):
        replica.views.catch_up(replica, most=1000)
    scored = score(replica, [asked], now_ms=NOW_MS)[0]
    return {replica.items.ids[row]: x for row, x in zip(scored.rows, scored.features, strict=True)}


def test_every_feature_of_every_candidate_is_a_number() -> None:
    for replica in (busy_shop(), busy_shop(vectors=False), shop()):
        for past in ([], [happened("novel-1")], [happened("novel-2", "dislike")]):
            told = _told(replica, request(profile_of(*past)))
            assert all(np.isfinite(x).all() for x in told.values())


def test_counts_and_popularity_are_those_of_the_statistics() -> None:
    replica = shop()
    crowd(replica, *[("novel-1",)] * 3, ("novel-2",))
    told = _told(replica, request())
    assert told["novel-1"][Feature.COUNT] == pytest.approx(np.log(4))
    assert told["novel-1"][Feature.POPULAR_2000] == pytest.approx(np.log(3.01), abs=1e-3)
    assert told["novel-2"][Feature.RARELY_SEEN] == 1


def test_co_visitation_is_shrunk_by_the_count_of_its_source() -> None:
    replica = shop()
    crowd(replica, *[("novel-1", "kettle-1")] * 4)
    told = _told(replica, request(profile_of(happened("novel-1"))))
    assert told["kettle-1"][Feature.LINKED] == pytest.approx(np.log(4 / 14 + 1e-4), abs=1e-3)
    assert told["kettle-1"][Feature.FOLLOWING] == pytest.approx(np.log(4 / 7 + 1e-3), abs=1e-3)


def test_similarities_are_cosines_to_what_the_user_took() -> None:
    replica = shop()
    told = _told(replica, request(profile_of(happened("novel-1"), happened("kettle-1"))))
    matrix, row = replica.vectors["text"].matrix, replica.items.row
    last = matrix[row("kettle-2")] @ matrix[row("kettle-1")]
    assert told["kettle-2"][Feature.LIKE_LAST] == pytest.approx(last, abs=5e-3)
    most = max(last, matrix[row("kettle-2")] @ matrix[row("novel-1")])
    assert told["kettle-2"][Feature.LIKE_MOST] == pytest.approx(most, abs=5e-3)
    assert told["kettle-2"][Feature.LIKE_NEAR] > told["monitor-2"][Feature.LIKE_NEAR]


TOWER = (Feature.LIKE_TOWER, Feature.TOWER_LAST, Feature.TOWER_MOST, Feature.TOWER_GAP)


def test_the_tower_tells_cosines_where_it_puts_items() -> None:
    replica = shop()
    rng = np.random.default_rng(5)
    put_tower(replica, {name: rng.normal(size=DIMENSION) for name in replica.items.ids})
    told = _told(replica, request(profile_of(happened("novel-1"), happened("kettle-1"))))
    matrix, row = replica.vectors["tower"].matrix, replica.items.row
    last, first = matrix[row("kettle-1")], matrix[row("novel-1")]
    highest = max(x[Feature.LIKE_TOWER] for x in told.values())
    for name, x in told.items():
        own = matrix[row(name)]
        assert x[Feature.TOWER_LAST] == pytest.approx(own @ last, abs=2e-2)
        most = max(own @ last, own @ first, 0.0)
        assert x[Feature.TOWER_MOST] == pytest.approx(most, abs=2e-2)
        assert x[Feature.TOWER_GAP] == pytest.approx(x[Feature.LIKE_TOWER] - highest, abs=1e-5)
    assert max(x[Feature.TOWER_GAP] for x in told.values()) == 0.0


def test_without_a_tower_or_a_past_the_tower_tells_nothing() -> None:
    known = _told(busy_shop(), request(profile_of(happened("novel-1"))))
    replica = busy_shop()
    put_tower(replica, {name: np.eye(DIMENSION)[0] for name in replica.items.ids})
    for told in (known, _told(replica, request())):
        assert all(not x[list(TOWER)].any() for x in told.values())


def test_the_text_expert_is_a_distribution_over_the_catalogue() -> None:
    told = _told(shop(), request(profile_of(happened("novel-1"))))
    assert sum(np.exp(x[Feature.TEXT_LIKELY]) for x in told.values()) <= 1.01


def test_neighbours_by_text_lend_their_links() -> None:
    replica = shop()
    crowd(replica, *[("kettle-1", f"novel-{number}") for number in range(6)])
    told = _told(replica, request(profile_of(happened("kettle-1"))))
    assert told["novel-11"][Feature.LINKED] == pytest.approx(np.log(1e-4))
    assert told["novel-11"][Feature.NEAR_LINKED] > np.log(1e-2)


def test_shared_words_and_labels_are_liked() -> None:
    told = _told(shop(), request(profile_of(happened("novel-1"))))
    assert told["novel-5"][Feature.TOKENS_LIKED] > told["novel-2"][Feature.TOKENS_LIKED]


def test_own_items_tell_how_often_and_how_lately() -> None:
    past = [happened("novel-1"), happened("novel-1"), happened("kettle-1")]
    asked = request(profile_of(*past), list={"exclude": {"consumed": False}})
    told = _told(busy_shop(), asked)
    assert told["novel-1"][Feature.OWN_COUNT] == pytest.approx(np.log(3))
    assert told["novel-1"][Feature.OWN_RECENCY] == pytest.approx(1 / 2)
    assert told["kettle-1"][Feature.OWN_RECENCY] == 1
    assert told["novel-2"][Feature.OWN_COUNT] == 0


@pytest.mark.parametrize(
    ("length", "segment"),
    [(0, "NONE"), (1, "SHORT"), (2, "SHORT"), (3, "MIDDLE"), (9, "MIDDLE"), (10, "LONG")],
)
def test_the_length_of_the_history_is_told_in_segments(length: int, segment: str) -> None:
    past = [happened(f"novel-{number}") for number in range(length)]
    x = next(iter(_told(busy_shop(), request(profile_of(*past))).values()))
    names = ("NONE", "SHORT", "MIDDLE", "LONG")
    assert [x[Feature[f"HISTORY_{name}"]] for name in names] == [name == segment for name in names]
