"""The offline gate: a good candidate may be shadowed, a poisoned one never."""

from dataclasses import replace

import numpy as np
import pytest

from stream_rec.language_model.gate import (
    Space,
    most_popular,
    offline_gate,
    paired_by_user,
    rank_next_items,
)
from stream_rec.language_model.next_item_examples import NextItems, decayed_recency
from stream_rec.language_model.tower_training import TowerSettings, tower_vectors, train_tower
from tests.language_model.conftest import Shop

RECENCY = decayed_recency(10)
SMALL = TowerSettings(low_rank=8, batch=128, max_steps=60, learning_rate=0.02)


def space(vectors: np.ndarray) -> Space:
    return Space(vectors=vectors.astype(np.float32), recency=RECENCY)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def learned(shop: Shop) -> np.ndarray:
    tower = train_tower(shop.text, shop.past, SMALL, seed=1, monotonic=lambda: 0.0)
    return tower_vectors(tower, shop.text)


def test_good_candidate_passes(shop: Shop, learned: np.ndarray) -> None:
    verdict = offline_gate(space(shop.text), space(learned), shop.later, shop.counts)
    assert verdict.decision == "shadow", verdict
    assert verdict.figures["log_rank_z"] > 3
    assert verdict.figures["challenger_ndcg"] > verdict.figures["champion_ndcg"]


@pytest.mark.parametrize("seed", range(8))
def test_random_vectors_are_rejected(shop: Shop, seed: int) -> None:
    random = unit(np.random.default_rng(seed).normal(size=shop.text.shape))
    verdict = offline_gate(space(shop.text), space(random), shop.later, shop.counts)
    assert verdict.decision == "reject"
    assert "gain" in verdict.reasons[0]


@pytest.mark.parametrize("seed", range(4))
def test_candidate_trained_on_shuffled_labels_is_rejected(shop: Shop, seed: int) -> None:
    past = shop.past
    shuffled = NextItems(
        target=np.random.default_rng(seed).permutation(past.target),
        context=past.context,
        user=past.user,
        timestamp=past.timestamp,
        weight=past.weight,
    )
    settings = TowerSettings(low_rank=8, batch=128, max_steps=60, learning_rate=0.02, patience=99)
    tower = train_tower(shop.text, shuffled, settings, seed=seed, monotonic=lambda: 0.0)
    poisoned = tower_vectors(tower, shop.text)
    verdict = offline_gate(space(shop.text), space(poisoned), shop.later, shop.counts)
    assert verdict.decision == "reject"


def test_champion_against_itself_is_rejected(shop: Shop) -> None:
    verdict = offline_gate(space(shop.text), space(shop.text), shop.later, shop.counts)
    assert verdict.decision == "reject"


def test_gain_below_the_wanted_one_is_rejected(shop: Shop, learned: np.ndarray) -> None:
    verdict = offline_gate(space(shop.text), space(learned), shop.later, shop.counts, min_gain=0.5)
    assert verdict.decision == "reject"


def test_gain_paid_for_by_new_items_is_rejected(shop: Shop, learned: np.ndarray) -> None:
    away = learned.copy()
    away[shop.counts == 0] = -learned.mean(axis=0)
    verdict = offline_gate(space(shop.text), space(unit(away)), shop.later, shop.counts)
    assert verdict.decision == "reject"
    assert any("never_seen" in reason for reason in verdict.reasons)


def in_order(places: dict[int, int], *, items: int = 300) -> Space:
    """Some items at wanted places of every user's list, the others after each other in the gaps."""
    others = (item for item in range(1, items) if item not in places)
    listed = {place: item for item, place in places.items()}
    order = [0] + [listed[at] if at in listed else next(others) for at in range(items - 1)]
    angle = np.empty(items)
    angle[order] = np.arange(items) * (np.pi / 2 / items)
    return Space(
        vectors=np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32),
        recency=np.ones(1, np.float32),
    )


# Half of the users take item 298 next, half 299. Each case: how often they were taken before, where
# they stand in the champion's list and in the challenger's. Of 300 items the popular are 1, 2, 3.
GUARDED = {
    "ndcg": ((3, 3), (0, 250), (3, 20)),
    "never_seen": ((0, 3), (20, 250), (40, 50)),
    "warm": ((5, 3), (20, 250), (40, 50)),
    "popular": ((3, 3), (250, 251), (50, 51)),
    None: ((3, 3), (20, 250), (40, 50)),
}


@pytest.mark.parametrize("guard", GUARDED)
def test_each_guard_alone_rejects_what_ranks_better_in_all(guard: str | None) -> None:
    taken, before, after = GUARDED[guard]
    users, at = 200, np.arange(200)
    examples = NextItems(
        target=298 + at % 2,
        context=np.zeros((users, 1), np.int64),
        user=at,
        timestamp=at,
        weight=np.ones(users, np.float32),
    )
    counts = np.zeros(300, np.int64)
    counts[1:4], counts[298:] = 9, taken
    popular_last = {1: 290, 2: 291, 3: 292}
    places = [dict(zip((298, 299), where, strict=True)) for where in (before, after)]
    champion = in_order(places[0] | popular_last)
    challenger = in_order(places[1] | ({} if guard == "popular" else popular_last))
    verdict = offline_gate(champion, challenger, examples, counts)
    assert verdict.figures["log_rank_z"] > 2
    if guard is None:
        assert verdict.decision == "shadow", verdict
        return
    assert verdict.decision == "reject"
    [reason] = verdict.reasons
    assert reason.startswith(guard)


def test_candidate_that_only_lists_popular_items_is_rejected(shop: Shop) -> None:
    popular = most_popular(shop.counts)
    pulled = shop.text + 5 * popular[:, None] * shop.text.mean(axis=0) / 0.1
    verdict = offline_gate(space(shop.text), space(unit(pulled)), shop.later, shop.counts)
    assert verdict.decision == "reject"


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_vectors_that_are_no_numbers_are_rejected(shop: Shop, value: float) -> None:
    broken = np.full_like(shop.text, value)
    verdict = offline_gate(space(shop.text), space(broken), shop.later, shop.counts)
    assert verdict.decision == "reject"


def test_few_held_out_events_prove_nothing(shop: Shop, learned: np.ndarray) -> None:
    few = shop.later.select(slice(0, 50))
    verdict = offline_gate(space(shop.text), space(learned), few, shop.counts)
    assert "at least" in verdict.reasons[0]


def test_one_user_proves_nothing(shop: Shop, learned: np.ndarray) -> None:
    alone = replace(shop.later, user=np.zeros(len(shop.later), np.int64))
    verdict = offline_gate(space(shop.text), space(learned), alone, shop.counts)
    assert verdict.decision == "reject"


def test_events_of_one_user_are_not_independent_evidence() -> None:
    rng = np.random.default_rng(1)
    taste = rng.normal(size=40)
    spread = paired_by_user(np.repeat(taste, 50), np.repeat(np.arange(40), 50))
    alone = paired_by_user(np.repeat(taste, 50), np.arange(2000))
    assert spread.error > 5 * alone.error


def test_what_the_user_has_is_not_ranked_and_ties_count_half() -> None:
    vectors = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], np.float32)
    examples = NextItems(
        target=np.array([1]),
        context=np.array([[0, -1]]),
        user=np.array([0]),
        timestamp=np.array([1]),
        weight=np.ones(1, np.float32),
    )
    found = rank_next_items(
        Space(vectors=vectors, recency=np.ones(2, np.float32)), examples, np.zeros(4, bool)
    )
    assert found.rank.tolist() == [0.5]
