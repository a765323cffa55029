from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_rec.items import Item
from stream_rec.profiles.profile import Profile
from stream_rec.ranking.draft import Drafting, Place
from stream_rec.replica import Replica
from tests.ranking.shop import NOW_MS, busy_shop, happened, profile_of, request

BAD = happened("monitor-1", "review", rating=1)


@pytest.fixture
def replica() -> Replica:
    return busy_shop()


def draft(
    replica: Replica,
    profile: Profile | None = None,
    *,
    candidates: int = 36,
    slope: float = 0.3,
    seed: int = 0,
    **patch: Any,
) -> list[Place]:
    """Draft from candidates whose scores fall with their row."""
    rows = np.arange(candidates, dtype=np.int32)
    logits = -slope * np.arange(candidates, dtype=np.float32)
    drafting = Drafting(replica, request(profile, **patch), NOW_MS)
    return drafting.draft(rows, logits, np.random.default_rng(seed))


def names(replica: Replica, places: list[Place]) -> list[str]:
    return [replica.items.ids[place.row] for place in places]


def test_a_list_is_the_best_candidates_with_their_probabilities(replica: Replica) -> None:
    places = draft(replica, list={"size": 5})
    assert [place.row for place in places] == [0, 1, 2, 3, 4]
    assert [place.candidate for place in places] == [0, 1, 2, 3, 4]
    whole = draft(replica, list={"size": 36})
    assert sum(place.score for place in whole) == pytest.approx(1.0)
    assert places[0].score / places[1].score == pytest.approx(np.exp(0.3), rel=1e-5)


def test_a_blocked_item_is_not_shown_and_a_boost_multiplies_the_score(replica: Replica) -> None:
    before = {place.row: place.score for place in draft(replica, list={"size": 36})}
    rules = [
        {"do": "block", "where": {"item_id": "monitor-0"}},
        {"do": "boost", "factor": 2, "where": {"item_id": "monitor-3"}},
    ]
    after = draft(replica, list={"size": 36}, rules=rules)
    assert 0 not in [place.row for place in after]
    rest = 1 - before[0]
    found = {place.row: place.score for place in after}
    assert found[3] == pytest.approx(2 * before[3] / rest)
    assert found[1] == pytest.approx(before[1] / rest)
    assert [place.row for place in after[:3]] == [3, 1, 2]


def test_a_boost_below_one_takes_items_down(replica: Replica) -> None:
    rules = [{"do": "boost", "factor": 0.001, "where": {"category": "monitor"}}]
    assert {place.row // 12 for place in draft(replica, list={"size": 5}, rules=rules)} == {1}


def test_a_pin_stands_at_its_rank_and_the_others_move_down(replica: Replica) -> None:
    pin = {"do": "pin", "rank": 2, "item_id": "kettle-5"}
    found = names(replica, draft(replica, list={"size": 4}, rules=[pin]))
    assert found == ["monitor-0", "kettle-5", "monitor-1", "monitor-2"]


def test_a_pinned_item_is_not_listed_twice(replica: Replica) -> None:
    pin = {"do": "pin", "rank": 3, "item_id": "monitor-0"}
    found = names(replica, draft(replica, list={"size": 4}, rules=[pin, pin]))
    assert found == ["monitor-1", "monitor-2", "monitor-0", "monitor-3"]


def test_two_pins_of_one_rank_take_that_rank_and_the_next(replica: Replica) -> None:
    pins = [
        {"do": "pin", "rank": 2, "item_id": "kettle-5"},
        {"do": "pin", "rank": 2, "item_id": "kettle-7"},
        {"do": "pin", "rank": 1, "item_id": "kettle-9"},
        {"do": "pin", "rank": 5, "item_id": "kettle-3"},
    ]
    found = names(replica, draft(replica, list={"size": 4}, rules=pins))
    assert found == ["kettle-9", "kettle-5", "kettle-7", "monitor-0"]


def test_a_pin_yields_to_what_the_policy_excludes_for_the_user(replica: Replica) -> None:
    pin = {"do": "pin", "rank": 1, "item_id": "kettle-5"}
    took, hid = (profile_of(happened("kettle-5", what)) for what in ("purchase", "hide"))
    for profile in (took, hid):
        assert "kettle-5" not in names(replica, draft(replica, profile, rules=[pin]))
    again = {"exclude": {"consumed": False, "disliked": False}}
    for profile in (took, hid):
        assert names(replica, draft(replica, profile, rules=[pin], list=again))[0] == "kettle-5"


def test_pins_may_fill_the_whole_list(replica: Replica) -> None:
    pins = [{"do": "pin", "rank": rank, "item_id": f"novel-{9 - rank}"} for rank in range(1, 4)]
    found = names(replica, draft(replica, list={"size": 3}, rules=pins))
    assert found == ["novel-8", "novel-7", "novel-6"]


def test_a_list_without_enough_candidates_is_filled_with_the_most_popular(
    replica: Replica,
) -> None:
    places = draft(replica, candidates=2)
    assert len(places) == 10
    filled = places[2:]
    counts = [int(replica.statistics.counts[place.row]) for place in filled]
    assert counts == sorted(counts, reverse=True)
    assert all(place.candidate == -1 and place.score == 0.0 for place in filled)
    assert len({place.row for place in places}) == 10


def test_back_fill_keeps_to_rules_and_exclusions(replica: Replica) -> None:
    profile = profile_of(*(happened(f"novel-{number}") for number in range(12)))
    rules = [{"do": "block", "where": {"category": "kettle"}}]
    places = draft(replica, profile, candidates=2, rules=rules, list={"size": 30})
    assert sorted(names(replica, places)) == sorted(f"monitor-{number}" for number in range(12))


def test_an_empty_shop_gives_an_empty_list() -> None:
    assert draft(Replica(), candidates=0) == []


def test_a_shop_without_any_event_still_fills_a_list() -> None:
    replica = Replica()
    for number in range(12):
        replica.put_item(Item(item_id=f"i{number}", available=number != 3))
    found = names(replica, draft(replica, candidates=0))
    assert len(found) == 10
    assert "i3" not in found


def test_variety_chooses_among_the_best_and_keeps_their_order(replica: Replica) -> None:
    plain = draft(replica, slope=0.1, list={"size": 6})
    mixed = draft(replica, slope=0.1, list={"size": 6, "diversity": 0.8})
    assert {place.row // 12 for place in plain} == {0}
    assert {place.row // 12 for place in mixed} == {0, 1, 2}
    scores = [place.score for place in mixed]
    assert scores == sorted(scores, reverse=True)


def test_a_bad_review_gives_three_places_to_other_items_of_the_same_need(
    replica: Replica,
) -> None:
    profile = profile_of(happened("novel-1"), BAD)
    # Candidates are novels and kettles alone: the need is met from outside of them.
    rows = np.arange(12, 36, dtype=np.int32)
    drafting = Drafting(replica, request(profile), NOW_MS)
    places = drafting.draft(rows, -np.arange(24, dtype=np.float32), np.random.default_rng(0))
    offered = [at for at, place in enumerate(places, 1) if place.instead is not None]
    assert offered == [2, 4, 6]
    for at in offered:
        name = replica.items.ids[places[at - 1].row]
        assert name.startswith("monitor-")
        assert name != "monitor-1"
    scores = [place.score for place in places]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(("later", "places"), [(0, 3), (1, 2), (2, 1), (3, 0)])
def test_what_a_bad_review_changes_fades_with_each_further_interaction(
    replica: Replica, later: int, places: int
) -> None:
    profile = profile_of(BAD, *(happened(f"novel-{number}") for number in range(later)))
    offered = [place for place in draft(replica, profile) if place.instead is not None]
    assert len(offered) == places


def test_an_alternative_is_never_one_the_user_knows_or_a_rule_blocks(replica: Replica) -> None:
    known = [happened(f"monitor-{number}") for number in range(2, 6)]
    rules = [{"do": "block", "where": {"category": "monitor", "price_above": 100}}]
    profile = profile_of(*known, BAD)
    places = draft(replica, profile, rules=rules)
    offered = {replica.items.ids[place.row] for place in places if place.instead is not None}
    assert len(offered) == 3
    assert offered <= {"monitor-0", "monitor-6", "monitor-7", "monitor-8", "monitor-9"}


def test_the_words_of_the_complaint_decide_which_alternatives_are_offered(
    replica: Replica,
) -> None:
    moods = {}
    for phrase in ("the fan is so loud", "it feels cheap"):
        review = happened("monitor-2", "review", rating=1, phrase=phrase)
        places = draft(replica, profile_of(review), candidates=12)
        moods[phrase] = [
            replica.catalogue.tags.names_of(place.row)[0] for place in places if place.instead
        ]
    assert moods["the fan is so loud"].count("quiet") >= 2
    assert "loud" not in moods["the fan is so loud"]
    assert moods["it feels cheap"].count("fancy") >= 2


def test_avoid_pushes_what_resembles_the_item_down_the_list(replica: Replica) -> None:
    profile = profile_of(happened("novel-1"), BAD)
    signals = {"negative_review": "avoid"}
    offered = draft(replica, profile, slope=0.05)
    avoided = draft(replica, profile, slope=0.05, signals=signals)
    assert any(place.row < 12 for place in offered[:6])
    assert not any(place.row < 12 for place in avoided[:6])
    assert all(place.instead is None for place in avoided)
    scores = [place.score for place in avoided]
    assert scores == sorted(scores, reverse=True)


def test_a_list_of_one_shows_the_alternative_itself(replica: Replica) -> None:
    places = draft(replica, profile_of(BAD), list={"size": 1})
    assert len(places) == 1
    assert places[0].instead is not None


PAST = st.lists(
    st.builds(
        happened,
        st.sampled_from(
            [f"{kind}-{number}" for kind in ("monitor", "novel") for number in range(9)]
        ),
        st.sampled_from(["click", "purchase", "review", "dislike", "hide", "skip"]),
        rating=st.none() | st.integers(1, 5),
        phrase=st.none() | st.just("too loud"),
    ),
    max_size=8,
)
RULES = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {
                "do": st.just("block"),
                "where": st.fixed_dictionaries(
                    {},
                    optional={
                        "tag": st.sampled_from(["loud", "quiet", "none"]),
                        "category": st.sampled_from(["novel", "kettle"]),
                        "price_above": st.integers(0, 100),
                        "older_than_days": st.integers(0, 100),
                    },
                ).filter(bool),
            }
        ),
        st.fixed_dictionaries(
            {
                "do": st.just("boost"),
                "factor": st.sampled_from([0.01, 2.0, 1000.0]),
                "where": st.fixed_dictionaries({"tag": st.sampled_from(["loud", "fancy"])}),
            }
        ),
        st.fixed_dictionaries(
            {
                "do": st.just("pin"),
                "rank": st.integers(1, 12),
                "item_id": st.sampled_from(["monitor-0", "novel-3", "kettle-11", "unknown"]),
            }
        ),
    ),
    max_size=4,
)
SHOP = busy_shop()


@settings(max_examples=150, deadline=None)
@given(
    past=PAST,
    rules=RULES,
    size=st.integers(1, 40),
    shares=st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.4, 1.0])),
    mode=st.sampled_from(["alternatives", "avoid"]),
    seed=st.integers(0, 99),
)
def test_whatever_the_policy_a_list_is_full_sound_and_allowed(
    past: list[dict[str, Any]],
    rules: list[dict[str, Any]],
    size: int,
    shares: tuple[float, float],
    mode: str,
    seed: int,
) -> None:
    profile = profile_of(*past)
    known = {fields["item_id"] for fields in past if fields["event_type"] != "skip"}
    wanted = {"size": size, "diversity": shares[0], "exploration": shares[1]}
    policy = {"list": wanted, "rules": rules, "signals": {"negative_review": mode}}
    drafting = Drafting(SHOP, request(profile, **policy), NOW_MS)
    # As scoring does, only items that the user may see are candidates.
    rows = np.array([r for r in range(36) if SHOP.items.ids[r] not in known], np.int32)
    logits = np.random.default_rng(seed).normal(size=len(rows)).astype(np.float32)
    places = drafting.draft(rows, logits, np.random.default_rng(seed))

    shown = [place.row for place in places]
    assert len(set(shown)) == len(shown)
    blocked = (
        np.zeros(36, np.bool_)
        if drafting.rules is None
        else drafting.rules.blocks(np.arange(36, dtype=np.int32), now_ms=NOW_MS)
    )
    assert not blocked[shown].any()
    assert not known & {SHOP.items.ids[row] for row in shown}
    free = [row for row in rows.tolist() if not blocked[row]]
    assert len(shown) == min(size, len(free))
    plain = [place.score for place in places if place.arm < 0 and not place.pinned]
    assert plain == sorted(plain, reverse=True)
    for place in places:
        assert 0.0 <= place.propensity <= 1.0
        for said in (place.score, place.propensity):
            assert type(said) is float, "a list could not be written"
        if place.candidate >= 0:
            assert rows[place.candidate] == place.row
