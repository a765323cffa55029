"""Which items are candidates, and which must not be."""

import numpy as np
import pytest

from stream_rec.experts.trust import credits_of
from stream_rec.items import Item
from stream_rec.ranking.exclusions import showable
from stream_rec.ranking.features import Feature
from stream_rec.ranking.scoring import score
from stream_rec.ranking.users import Request
from stream_rec.replica import Replica
from stream_rec.statistics.facts import ESTABLISHED_MS, FactsBuilder
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


def _candidates(replica: Replica, asked: Request) -> set[str]:
    scored = score(replica, [asked], now_ms=NOW_MS)[0]
    names = [replica.items.ids[row] for row in scored.rows]
    assert len(names) == len(set(names))
    return set(names)


def test_newcomers_get_what_is_popular() -> None:
    replica = shop()
    crowd(replica, ("novel-1", "novel-2"), ("novel-1",))
    assert _candidates(replica, request()) == {"novel-1", "novel-2"}


def test_what_others_took_next_is_a_candidate_without_any_text() -> None:
    replica = shop(vectors=False)
    crowd(replica, ("novel-1", "kettle-5"), *[("monitor-1",)] * 100)
    assert "kettle-5" in _candidates(replica, request(profile_of(happened("novel-1"))))


def test_an_item_nobody_took_is_a_candidate_by_its_text() -> None:
    found = _candidates(shop(), request(profile_of(happened("novel-1"))))
    assert {f"novel-{number}" for number in range(12)} - found == {"novel-1"}


def test_what_the_tower_puts_near_is_a_candidate_when_anybody_took_it() -> None:
    replica = shop(100)
    crowd(replica, ("kettle-77",), *[(f"novel-{number}",) for number in range(100)] * 3)
    asked = request(profile_of(happened("novel-1")))
    assert not {"kettle-77", "kettle-78"} & _candidates(replica, asked)
    near, far = np.eye(DIMENSION)[:2]
    beside = ("novel-1", "kettle-77", "kettle-78")
    put_tower(replica, {name: near if name in beside else far for name in replica.items.ids})
    assert {"kettle-77", "kettle-78"} & _candidates(replica, asked) == {"kettle-77"}


@pytest.mark.parametrize("exclude", [True, False])
def test_own_items_come_again_only_where_the_policy_says_so(exclude: bool) -> None:
    asked = request(profile_of(happened("novel-1")), list={"exclude": {"consumed": exclude}})
    assert ("novel-1" in _candidates(busy_shop(), asked)) is not exclude


def test_nothing_disliked_unavailable_withdrawn_or_unknown_is_a_candidate() -> None:
    replica = busy_shop()
    crowd(replica, *[("stranger", "novel-2", "novel-3", "novel-4")] * 5)
    replica.put_item(Item(item_id="novel-3", available=False))
    replica.withdraw_item("novel-4")
    asked = request(
        profile_of(happened("novel-2", "dislike"), happened("novel-1")),
        list={"exclude": {"consumed": False}},
    )
    found = _candidates(replica, asked)
    assert "novel-5" in found
    assert not found & {"stranger", "novel-2", "novel-3", "novel-4"}


@pytest.mark.parametrize("history", [5, 50])
@pytest.mark.parametrize("event_type", ["click", "skip"])
def test_a_cooldown_or_a_refusal_holds_for_all_that_is_remembered(
    history: int, event_type: str
) -> None:
    replica = shop(30)
    past = [happened(item_id, event_type) for item_id in replica.items.ids[:60]]
    crowd(replica, *[tuple(replica.items.ids)] * 2)
    asked = request(
        profile_of(*past),
        profile={"history": history},
        list={"exclude": {"cooldown_days": 30}},
    )
    assert _candidates(replica, asked) == set(replica.items.ids[60:])
    rows = np.arange(90, dtype=np.int32)
    assert showable(replica.catalogue, asked, rows, now_ms=NOW_MS).tolist() == [*(rows >= 60)]


def test_a_dislike_long_past_still_bars() -> None:
    past = [happened("novel-2", "dislike"), *[happened("kettle-1")] * 70]
    asked = request(profile_of(*past), list={"exclude": {"consumed": False}})
    assert "novel-2" not in _candidates(busy_shop(), asked)


def test_items_that_only_the_filter_remembers_stay_excluded() -> None:
    replica = shop(items_of_a_kind=100)
    past = [happened(f"{kind}-{number}") for kind in ("monitor", "novel") for number in range(100)]
    profile = profile_of(*past)
    assert profile.consumed.bloom
    taken = {one["item_id"] for one in past}
    assert not _candidates(replica, request(profile)) & taken


def test_choosing_leaves_no_trace_for_the_next_user() -> None:
    replica = busy_shop()
    asked = [
        request(profile_of(happened("novel-1"), happened("kettle-2", "dislike"))),
        request(),
        request(profile_of(happened("monitor-3"))),
    ]
    replica.views.catch_up(replica, most=1000)
    together = score(replica, asked, now_ms=NOW_MS)
    for one, among in zip(asked, together, strict=True):
        alone = score(replica, [one], now_ms=NOW_MS)[0]
        assert alone.rows.tolist() == among.rows.tolist()
        assert alone.features == pytest.approx(among.features, abs=1e-5)
    dense = replica.views.scratch.dense(1, 1)
    assert not any(
        array.any() for array in (dense.linked, dense.following, dense.mark, dense.liking)
    )


def test_candidates_of_another_modality_are_found() -> None:
    replica = shop(vectors=False)
    for number in range(12):
        side = [1.0, 0.1 * number] if number % 2 else [-1.0, 0.1 * number]
        replica.put_item(Item(item_id=f"novel-{number}", vectors={"image": side}))
    crowd(replica, *[("kettle-1",)] * 3)
    scored = score(replica, [request(profile_of(happened("novel-1")))], now_ms=NOW_MS)[0]
    names = [replica.items.ids[row] for row in scored.rows]
    worth = dict(zip(names, scored.scores.tolist(), strict=True))
    assert worth["novel-3"] > worth["novel-2"]


def test_links_by_newcomers_to_what_they_push_lead_nowhere_and_those_by_others_do() -> None:
    """Newcomers' part of both tables and the right credits reach the lists."""
    replica = shop(vectors=False)
    facts, hour_ms = FactsBuilder(), 3_600_000
    for number in range(2_000):  # established users and newcomers take these alike
        tenure_ms = ESTABLISHED_MS if number % 2 else 0
        at_ms = NOW_MS - hour_ms + number
        facts.count(f"novel-{number % 9}", at_ms, None, False, tenure_ms=tenure_ms)
    told = (("kettle-1", 0, 200), ("kettle-2", ESTABLISHED_MS, 200))
    mixed = (("kettle-3", 0, 200), ("kettle-3", ESTABLISHED_MS, 20))
    for item, tenure_ms, times in told + mixed:
        for _ in range(times):
            facts.count(item, NOW_MS, None, False, tenure_ms=tenure_ms)
        facts.link([(1, item, ["novel-1"], tenure_ms == 0)] * times)
    replica.statistics.fold(facts.build("w"))
    replica.put_policy("*", 0, {"trust": {"tenure_events": 300}})
    asked = request(profile_of(happened("novel-1")))
    scored = score(replica, [asked], now_ms=NOW_MS)[0]
    named = dict(zip([replica.items.ids[row] for row in scored.rows], scored.features, strict=True))
    for feature, nothing in ((Feature.LINKED, 1e-4), (Feature.FOLLOWING, 1e-3)):
        assert named["kettle-2"][feature] > np.log(1e-2)
        pushed = named["kettle-1"][feature] if "kettle-1" in named else np.log(nothing)
        assert pushed == pytest.approx(np.log(nothing), abs=1e-2)
    credits = credits_of(replica.statistics, replica.trust, now_ms=NOW_MS)
    seen = replica.views.items(replica, now_ms=NOW_MS).newcomers_credits
    assert np.array_equal(seen, credits.newcomers)
    assert not np.array_equal(seen, credits.everybody)
