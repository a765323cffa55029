from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_rec.items import Item
from stream_rec.profiles.profile import Profile
from stream_rec.ranking.rank import Ranked, rank
from stream_rec.ranking.reasons import KINDS
from stream_rec.ranking.scoring import EXPERTS
from stream_rec.replica import Replica
from tests.ranking.shop import (
    DIMENSION,
    NOW_MS,
    busy_shop,
    happened,
    profile_of,
    request,
    shop,
)
from tests.ranking.shop import (
    KINDS as SORTS,
)


@pytest.fixture(scope="module")
def replica() -> Replica:
    return busy_shop()


def ranked(
    replica: Replica, profile: Profile | None = None, *, seed: int = 0, **patch: Any
) -> Ranked:
    requests = [request(profile, **patch)]
    [found] = rank(replica, requests, now_ms=NOW_MS, rng=np.random.default_rng(seed))
    return found


def names(found: Ranked) -> list[str]:
    return [item.item_id for item in found.items]


def test_no_requests_give_no_lists(replica: Replica) -> None:
    assert rank(replica, [], now_ms=NOW_MS, rng=np.random.default_rng(0)) == []


def test_the_default_list_is_what_is_popular(replica: Replica) -> None:
    found = ranked(replica)
    assert found.tier == "popular"
    assert len(found.items) == 10
    assert [item.rank for item in found.items] == list(range(1, 11))
    assert {item.reason.kind for item in found.items} == {"popular_now"}
    assert all(item.reason.evidence == () for item in found.items)


def test_one_event_gives_a_new_user_a_list_of_their_own(replica: Replica) -> None:
    found = ranked(replica, profile_of(happened("novel-4")))
    assert names(found) != names(ranked(replica))
    assert sum(name.startswith("novel") for name in names(found)) >= 5
    assert "novel-4" not in names(found)


def test_an_item_no_one_has_taken_is_listed_from_its_text_alone() -> None:
    replica = busy_shop()
    replica.put_item(Item(item_id="novel-new", title="A new novel", categories=("novel",)))
    vector = np.zeros(DIMENSION, np.float32)
    vector[1] = 1.0
    replica.put_text_vector("novel-new", 1, vector)
    history = [happened(f"novel-{number}") for number in range(8)]
    assert "novel-new" in names(ranked(replica, profile_of(*history)))


@pytest.mark.parametrize(
    ("make", "past", "version", "tier"),
    [
        (busy_shop, [happened("novel-4")], 0, "lm"),
        (busy_shop, [happened("novel-4")], 3, "adapted"),
        (lambda: busy_shop(vectors=False), [happened("novel-4")], 3, "statistics"),
        (lambda: busy_shop(vectors=False), None, 3, "popular"),
        (lambda: shop(vectors=False), [happened("novel-4")], 0, "popular"),
    ],
)
def test_the_tier_names_the_best_evidence_used(
    make: Any, past: list[dict[str, Any]] | None, version: int, tier: str
) -> None:
    replica = make()
    replica.adapter_version = version
    assert ranked(replica, None if past is None else profile_of(*past)).tier == tier


def test_a_bad_review_changes_the_next_list_and_the_list_says_why(replica: Replica) -> None:
    before = [happened("novel-3"), happened("monitor-1", "purchase")]
    review = happened("monitor-1", "review", rating=1, phrase="the fan is unbearable")
    praise = happened("monitor-1", "review", rating=5, phrase="what a picture")
    bad, good = (ranked(replica, profile_of(*before, last)) for last in (review, praise))
    assert names(bad) != names(good)
    said = [item for item in bad.items if item.reason.kind == "alternative_after_bad_review"]
    assert len(said) == 3
    for item in said:
        assert item.item_id.startswith("monitor-")
        assert item.reason.evidence == ("monitor-1",)
        assert item.reason.text == (
            'An alternative to "Loud monitor 1": you wrote "the fan is unbearable"'
        )
    assert not any(item.reason.kind.startswith("alternative") for item in good.items)


def test_a_pin_and_an_explored_place_say_so(replica: Replica) -> None:
    rules = [{"do": "pin", "rank": 1, "item_id": "kettle-5"}]
    found = ranked(replica, profile_of(happened("novel-1")), rules=rules, list={"exploration": 1})
    assert found.items[0].item_id == "kettle-5"
    assert found.items[0].reason.kind == "pinned"
    assert not found.items[0].explored
    explored = [item for item in found.items if item.explored]
    assert explored
    assert {item.reason.kind for item in explored} == {"explored"}
    assert set(found.arms) == {item.rank for item in explored}
    assert all(0 < item.propensity < 1 for item in explored)


def test_sources_name_experts_and_sum_to_about_one(replica: Replica) -> None:
    rules = [{"do": "pin", "rank": 1, "item_id": "kettle-5"}]
    past = profile_of(happened("novel-1"), happened("monitor-2", "review", rating=1))
    for item in ranked(replica, past, rules=rules, list={"size": 36}).items:
        assert set(item.sources) <= {*EXPERTS, "rules", "alternatives", "catalogue"}
        assert sum(item.sources.values()) == pytest.approx(1.0, abs=0.01)


def test_lists_of_one_batch_do_not_touch_each_other(replica: Replica) -> None:
    profiles = [None, profile_of(happened("novel-1")), profile_of(happened("kettle-2", "hide"))]
    requests = [
        request(profile, list={"size": size}) for profile in profiles for size in (3, 10, 36)
    ]
    together = rank(replica, requests, now_ms=NOW_MS, rng=np.random.default_rng(0))
    for one, found in zip(requests, together, strict=True):
        [alone] = rank(replica, [one], now_ms=NOW_MS, rng=np.random.default_rng(0))
        assert names(alone) == names(found)
        assert [item.reason for item in alone.items] == [item.reason for item in found.items]
        # One user's product with the catalogue rounds differently from that of many.
        scores = [item.score for item in found.items]
        assert [item.score for item in alone.items] == pytest.approx(scores, abs=1e-6)


def test_the_same_seed_gives_the_same_lists(replica: Replica) -> None:
    past = profile_of(happened("novel-1"))
    wanted = {"exploration": 0.5, "diversity": 0.5}
    one, again = (ranked(replica, past, seed=4, list=wanted) for _ in range(2))
    assert one == again
    others = [ranked(replica, past, seed=seed, list=wanted) for seed in range(10)]
    assert any(other != one for other in others)


def test_ranking_changes_nothing_that_is_kept() -> None:
    replica = busy_shop()
    past = profile_of(happened("novel-1"), happened("monitor-2", "review", rating=1))

    def kept() -> tuple[object, ...]:
        return (
            replica.statistics.to_bytes(),
            replica.exploration.to_bytes(),
            replica.catalogue.changes,
            replica.vectors["text"].changes,
            replica.items.ids.copy(),
            dict(replica.rerankers),
        )

    before = kept()
    rules = [{"do": "boost", "factor": 2, "where": {"tag": "loud"}}]
    for profile in (None, past, Profile("nobody")):
        ranked(replica, profile, rules=rules, list={"exploration": 0.5, "diversity": 0.5})
    assert kept() == before


def test_a_tiny_or_empty_shop_gives_what_there_is() -> None:
    assert ranked(Replica()).items == ()
    found = ranked(shop(1), profile_of(happened("novel-0")))
    assert sorted(names(found)) == ["kettle-0", "monitor-0"]


def test_an_item_sold_out_or_withdrawn_is_in_no_list() -> None:
    replica = busy_shop()
    replica.withdraw_item("novel-1")
    replica.put_item(Item(item_id="novel-2", categories=("novel",), available=False))
    pins = [{"do": "pin", "rank": 1, "item_id": name} for name in ("novel-1", "novel-2")]
    for profile in (None, profile_of(happened("novel-3"))):
        found = names(ranked(replica, profile, rules=pins, list={"size": 36}))
        assert not {"novel-1", "novel-2"} & set(found)
        assert len(found) == 34 - (profile is not None)


PAST = st.lists(
    st.builds(
        happened,
        st.sampled_from([f"{sort}-{number}" for sort in SORTS for number in range(12)] + ["x"]),
        st.sampled_from(["click", "purchase", "review", "dislike", "skip", "like", "played"]),
        rating=st.none() | st.integers(1, 5),
        phrase=st.none() | st.just("too loud"),
    ),
    max_size=12,
)
SHOP = busy_shop()


@settings(max_examples=60, deadline=None)
@given(
    past=PAST,
    wanted=st.fixed_dictionaries(
        {
            "size": st.integers(1, 30),
            "diversity": st.sampled_from([0.0, 0.7]),
            "exploration": st.sampled_from([0.0, 0.3]),
            "exclude": st.fixed_dictionaries({"consumed": st.booleans()}),
        }
    ),
    mode=st.sampled_from(["alternatives", "avoid"]),
)
def test_every_reason_is_of_a_known_kind_and_rests_on_what_the_user_did(
    past: list[dict[str, Any]], wanted: dict[str, Any], mode: str
) -> None:
    profile = profile_of(*past)
    found = ranked(SHOP, profile, list=wanted, signals={"negative_review": mode})
    did = {interaction.item_id for interaction in profile.history}
    for item in found.items:
        assert item.reason.kind in KINDS
        assert item.reason.text
        assert set(item.reason.evidence) <= did
        personal = item.reason.kind.startswith(("because", "again", "alternative"))
        assert bool(item.reason.evidence) == personal
    assert len(set(names(found))) == len(found.items)
    plain = [item.score for item in found.items if not item.explored]
    assert plain == sorted(plain, reverse=True)
    if wanted["exclude"]["consumed"]:
        taken = {one.item_id for one in profile.history if one.consuming}
        assert not taken & set(names(found))
