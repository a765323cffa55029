"""Scores of a batch, and learning from what was taken."""

import numpy as np
import pytest

from stream_rec.ranking.scoring import EXPERTS, Example, expert_scores, learn, score, shares_of
from stream_rec.replica import Replica
from tests.ranking.shop import NOW_MS, busy_shop, happened, profile_of, request


def _worth(replica: Replica, *past: dict[str, object], **patch: object) -> dict[str, float]:
    scored = score(replica, [request(profile_of(*past), **patch)], now_ms=NOW_MS)[0]
    names = [replica.items.ids[row] for row in scored.rows]
    return dict(zip(names, scored.scores.tolist(), strict=True))


def test_a_user_of_novels_is_offered_novels_first() -> None:
    worth = _worth(busy_shop(), happened("novel-1"), happened("novel-2"))
    best = sorted(worth, key=lambda name: -worth[name])[:5]
    assert all(name.startswith("novel") for name in best)


def test_scoring_changes_nothing() -> None:
    replica = busy_shop()
    learn(replica, [_example("novel-2")], now_ms=NOW_MS)
    before = (replica.statistics.to_bytes(), replica.rerankers["default"].to_bytes())
    _worth(replica, happened("novel-1"))
    score(replica, [request(), request(profile_of(happened("nobody named it")))], now_ms=NOW_MS)
    assert (replica.statistics.to_bytes(), replica.rerankers["default"].to_bytes()) == before
    assert list(replica.rerankers) == ["default"]


def test_no_request_is_no_list() -> None:
    assert score(busy_shop(), [], now_ms=NOW_MS) == []
    learn(busy_shop(), [], now_ms=NOW_MS)


def test_a_shop_without_items_has_empty_lists() -> None:
    scored = score(Replica(), [request(), request(profile_of(happened("x")))], now_ms=NOW_MS)
    assert [len(one.rows) for one in scored] == [0, 0]


def test_what_resembles_a_refused_item_falls() -> None:
    replica = busy_shop()
    liked = _worth(replica, happened("novel-1"), happened("kettle-1"))
    refused = _worth(replica, happened("novel-1", "dislike"), happened("kettle-1"))
    kettles = {name for name in liked if name.startswith("kettle")} & refused.keys()
    novels = {name for name in liked if name.startswith("novel")} & refused.keys()
    assert novels
    fall = {name: liked[name] - refused[name] for name in novels | kettles}
    assert min(fall[name] for name in novels) > max(fall[name] for name in kettles)


def _example(item_id: str, scenario: str = "default") -> Example:
    asked = request(profile_of(happened("novel-1")))
    return Example(
        profile=asked.profile,
        scenario=scenario,
        policy=asked.policy,
        item_id=item_id,
        timestamp=NOW_MS,
    )


def test_what_is_taken_again_and_again_rises() -> None:
    replica = busy_shop()
    before = _worth(replica, happened("novel-1"))
    learn(replica, [_example("kettle-3")] * 60, now_ms=NOW_MS)
    after = _worth(replica, happened("novel-1"))
    rank = [
        sorted(worth, key=lambda name: -worth[name]).index("kettle-3") for worth in (before, after)
    ]
    assert rank[1] < rank[0]
    assert replica.rerankers["default"].examples == 60


def test_each_scenario_learns_for_itself() -> None:
    replica = busy_shop()
    learn(replica, [_example("novel-3", "evening")], now_ms=NOW_MS)
    assert list(replica.rerankers) == ["evening"]


@pytest.mark.parametrize("item_id", ["novel-1", "nobody named it"])
def test_an_item_that_was_no_candidate_teaches_nothing(item_id: str) -> None:
    replica = busy_shop()
    learn(replica, [_example(item_id)], now_ms=NOW_MS)
    assert not any(network.examples for network in replica.rerankers.values())


def test_scenarios_in_one_batch_are_scored_by_their_own_networks() -> None:
    replica = busy_shop()
    learn(replica, [_example("kettle-3", "evening")] * 30, now_ms=NOW_MS)
    plain = request(profile_of(happened("novel-1")))
    evening = type(plain)(profile=plain.profile, scenario="evening", policy=plain.policy)
    mixed = score(replica, [plain, evening, plain], now_ms=NOW_MS)
    alone = score(replica, [evening], now_ms=NOW_MS)[0]
    assert mixed[1].scores == pytest.approx(alone.scores, abs=1e-4)
    assert mixed[0].scores == pytest.approx(mixed[2].scores, abs=1e-4)
    assert not np.allclose(mixed[0].scores, mixed[1].scores)


def test_experts_are_distributions_and_shares_sum_to_one() -> None:
    scored = score(busy_shop(), [request(profile_of(happened("novel-1")))], now_ms=NOW_MS)[0]
    sums = expert_scores(scored.features).sum(0)
    assert all(total == pytest.approx(1.0, abs=1e-3) or total == 0 for total in sums)
    shares = shares_of(scored, np.arange(3))
    assert shares.shape == (3, len(EXPERTS))
    assert shares.sum(1) == pytest.approx(1.0, abs=1e-5)


def test_a_newcomers_list_is_popularity_alone() -> None:
    scored = score(busy_shop(), [request()], now_ms=NOW_MS)[0]
    assert shares_of(scored, np.arange(2))[:, 0] == pytest.approx(1.0)
