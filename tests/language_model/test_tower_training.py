"""The tower: it learns behaviour, stops in time, and gives up cleanly."""

from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from stream_rec.adapters.tower import centre_texts
from stream_rec.errors import TrainingFailed
from stream_rec.language_model.gate import Space, rank_next_items
from stream_rec.language_model.next_item_examples import NextItems, clip_users, decayed_recency
from stream_rec.language_model.tower_training import (
    TowerSettings,
    tower_vectors,
    train_tower,
)
from tests.language_model.conftest import Shop

SMALL = TowerSettings(low_rank=8, batch=128, max_steps=60, learning_rate=0.02)


def still() -> float:
    return 0.0


def mean_log_rank(shop: Shop, vectors: np.ndarray, rows: np.ndarray | None = None) -> float:
    examples = shop.later if rows is None else shop.later.select(rows)
    space = Space(vectors=vectors, recency=decayed_recency(10))
    ranks = rank_next_items(space, examples, np.zeros(len(shop.text), bool)).rank
    return float(np.log1p(ranks).mean())


def test_tower_ranks_later_events_better_than_text(shop: Shop) -> None:
    tower = train_tower(shop.text, shop.past, SMALL, seed=1, monotonic=still)
    after = tower_vectors(tower, shop.text)
    assert mean_log_rank(shop, after) < mean_log_rank(shop, shop.text) - 0.2
    assert tower.steps > 0


def test_items_never_taken_do_not_get_worse(shop: Shop) -> None:
    new = shop.counts[shop.later.target] == 0
    assert new.sum() > 50
    tower = train_tower(shop.text, shop.past, SMALL, seed=1, monotonic=still)
    after = tower_vectors(tower, shop.text)
    assert mean_log_rank(shop, after, new) < mean_log_rank(shop, shop.text, new) + 0.1
    unseen = np.setdiff1d(np.arange(len(shop.text)), [shop.past.target, *shop.past.context.T])
    assert len(unseen) == 20
    assert not tower.residual[unseen].any()


def test_before_any_step_residuals_pull_towards_what_was_taken_beside(shop: Shop) -> None:
    one = shop.past.select(slice(0, 200))
    settings = TowerSettings(max_steps=0, refit=False, held_out=0.0, pull=4.0)
    tower = train_tower(shop.text, one, settings, seed=1, monotonic=still)
    texts = centre_texts(shop.text, tower.centre)
    total, weight = np.zeros_like(texts), np.full((len(texts), 1), 30.0)
    for target, context in zip(one.target, one.context, strict=True):
        for gap, source in enumerate(context[:3]):
            if source >= 0:
                for here, there in ((target, source), (source, target)):
                    total[here] += 0.7**gap * texts[there]
                    weight[here] += 0.7**gap
    np.testing.assert_allclose(tower.residual, 4.0 * total / weight, atol=1e-4)


def test_user_with_ten_times_the_events_pulls_no_more_than_the_bound(shop: Shop) -> None:
    def fitted(events: int) -> np.ndarray:
        alone = NextItems(
            target=np.full(events, 1),
            context=np.zeros((events, 1), np.int64),
            user=np.zeros(events, np.int64),
            timestamp=np.arange(events),
            weight=np.ones(events, np.float32),
        )
        settings = TowerSettings(max_steps=0, refit=False, held_out=0.0)
        clipped = clip_users(alone, 32.0)
        return train_tower(shop.text, clipped, settings, seed=1, monotonic=still).residual

    np.testing.assert_allclose(fitted(320), fitted(32), atol=1e-4)


@pytest.mark.parametrize("pull", [0.0, 8.0])
def test_items_without_any_text_are_placed_by_behaviour(shop: Shop, pull: float) -> None:
    text = shop.text.copy()
    text[::3] = 0.0
    tower = train_tower(text, shop.past, replace(SMALL, pull=pull), seed=1, monotonic=still)
    assert np.isfinite(tower.residual).all()
    silent = shop.later.target % 3 == 0
    after = tower_vectors(tower, text)
    assert mean_log_rank(shop, after, silent) < mean_log_rank(shop, text, silent) - 0.1


def test_steps_that_rank_later_events_worse_are_taken_back(shop: Shop) -> None:
    wild = TowerSettings(low_rank=8, batch=128, max_steps=40, learning_rate=5.0, refit=False)
    tower = train_tower(shop.text, shop.past, wild, seed=1, monotonic=still)
    still_there = train_tower(
        shop.text, shop.past, replace(wild, max_steps=0), seed=1, monotonic=still
    )
    assert tower.steps == 0
    np.testing.assert_array_equal(tower.residual, still_there.residual)


def test_same_seed_gives_the_same_tower(shop: Shop) -> None:
    one = train_tower(shop.text, shop.past, SMALL, seed=1, monotonic=still)
    two = train_tower(shop.text, shop.past, SMALL, seed=1, monotonic=still)
    np.testing.assert_allclose(one.residual, two.residual, atol=1e-5)


def test_vectors_have_length_one_for_items_unknown_at_training_too(shop: Shop) -> None:
    tower = train_tower(shop.text, shop.past, SMALL, seed=1, monotonic=still)
    grown = np.vstack([shop.text, shop.text[:3], np.zeros((1, 16), np.float32)])
    vectors = tower_vectors(tower, grown)
    np.testing.assert_allclose(np.linalg.norm(vectors[:-1], axis=1), 1, atol=1e-5)
    assert not vectors[-1].any()


def test_behaviour_without_structure_stops_early(shop: Shop) -> None:
    rng = np.random.default_rng(2)
    noise = type(shop.past)(
        target=rng.integers(0, len(shop.text), len(shop.past)),
        context=shop.past.context,
        user=shop.past.user,
        timestamp=shop.past.timestamp,
        weight=shop.past.weight,
    )
    tower = train_tower(shop.text, noise, SMALL, seed=1, monotonic=still)
    learned = train_tower(shop.text, shop.past, SMALL, seed=1, monotonic=still)
    assert tower.held_out_loss > learned.held_out_loss + 0.5


def test_time_budget_ends_training(shop: Shop) -> None:
    ticks = count()
    tower = train_tower(
        shop.text,
        shop.past,
        TowerSettings(low_rank=8, max_steps=10_000, patience=10_000, max_s=3),
        seed=1,
        monotonic=lambda: float(next(ticks)),
    )
    assert tower.steps <= 60


def test_too_few_examples_are_refused(shop: Shop) -> None:
    with pytest.raises(TrainingFailed, match="examples"):
        train_tower(shop.text, shop.past.select(slice(0, 5)), SMALL, seed=1, monotonic=still)


def test_nan_in_the_texts_aborts(shop: Shop) -> None:
    poisoned = shop.text.copy()
    poisoned[3] = np.nan
    with pytest.raises(TrainingFailed, match="nan"):
        train_tower(poisoned, shop.past, SMALL, seed=1, monotonic=still)
