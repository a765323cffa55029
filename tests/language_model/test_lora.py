"""The adapter: it learns neighbourhoods, generalises to new texts, and never escapes its bounds."""

from dataclasses import replace
from itertools import chain, count
from pathlib import Path

import numpy as np
import pytest
import torch

from stream_rec.errors import CheckpointRejected, TrainingFailed
from stream_rec.language_model.adapter import (
    adapted_linears,
    adapter_arrays,
    adapter_rank,
    attach_adapter,
    first_adapted_layer,
    merge_adapter,
    set_adapter,
)
from stream_rec.language_model.adapter_methods import Anchor
from stream_rec.language_model.backbone import Backbone, load_backbone
from stream_rec.language_model.encoding import encode
from stream_rec.language_model.gate import Space, offline_gate
from stream_rec.language_model.lesson import Lesson, LoraSettings, Step, Trained
from stream_rec.language_model.lora import train_adapter
from stream_rec.language_model.next_item_examples import decayed_recency, next_items
from stream_rec.language_model.rating_task import Reviews, estimated_ratings
from stream_rec.language_model.replay_buffer import Feedback
from stream_rec.language_model.text_states import TextStates

FIRST = ["quiet", "loud", "a", "the", "of", "for"]
NEED = {"fan": 0, "guitar": 0, "monitor": 1, "cable": 1, "game": 2, "case": 2}
"""Behaviour joins words that no text model would: fans with guitars, and so on."""

TEXTS = [f"{adjective} {noun}" for adjective in FIRST for noun in NEED]
NEEDS = np.array([NEED[text.split()[1]] for text in TEXTS])
TEACHER = np.eye(3, dtype=np.float32)[NEEDS] @ np.eye(3, 32, dtype=np.float32)
FAST = LoraSettings(
    rank=4, learning_rate=0.02, max_steps=60, batch=24, micro_batch=12, warmup_steps=3, held_out=0.2
)


def lesson(rows: np.ndarray | None = None) -> Lesson:
    chosen = np.arange(len(TEXTS)) if rows is None else rows
    return Lesson(
        texts=[TEXTS[i] for i in chosen],
        teacher=TEACHER[chosen],
        weight=np.ones(len(chosen), np.float32),
    )


def train(backbone: Backbone, settings: LoraSettings = FAST, **changes: object) -> Trained:
    arguments = {"seed": 1, "monotonic": lambda: 0.0} | changes
    return train_adapter(backbone, arguments.pop("lesson", lesson()), settings, **arguments)


def separation(vectors: np.ndarray, rows: np.ndarray | None = None) -> float:
    """Mean similarity of items of one need, minus that of items of different needs."""
    chosen = np.arange(len(TEXTS)) if rows is None else rows
    similar = vectors[chosen] @ vectors.T
    same = NEEDS[chosen, None] == NEEDS[None]
    return float(similar[same].mean() - similar[~same].mean())


@pytest.fixture(scope="module")
def learned(causal: Backbone) -> Trained:
    return train(causal)


def test_adapter_brings_behaviour_s_neighbours_together(causal: Backbone, learned: Trained) -> None:
    before, after = encode(causal, TEXTS), encode(merge_adapter(causal, learned.arrays), TEXTS)
    assert learned.loss < learned.loss_before - 0.1
    assert separation(after) > separation(before) + 0.2


def test_texts_that_were_withheld_gain_too(causal: Backbone) -> None:
    withheld = np.array([i for i, text in enumerate(TEXTS) if text.startswith(("of", "loud"))])
    kept = np.setdiff1d(np.arange(len(TEXTS)), withheld)
    trained = train(causal, lesson=lesson(kept))
    after = encode(merge_adapter(causal, trained.arrays), TEXTS)
    assert separation(after, withheld) > separation(encode(causal, TEXTS), withheld) + 0.1


def test_small_encoder_learns_with_its_top_layers_only(minilm: Backbone) -> None:
    names = adapted_linears(minilm)
    assert first_adapted_layer(minilm) == 3
    assert {name.split(".")[2] for name in names} == {"3", "4", "5"}
    assert len(names) == 3 * 6
    trained = train(
        minilm,
        replace(FAST, learning_rate=0.005, max_steps=12, check_every=4),
        lesson=Lesson(
            texts=TEXTS,
            teacher=np.pad(TEACHER, ((0, 0), (0, 384 - 32))),
            weight=np.ones(len(TEXTS), np.float32),
        ),
    )
    assert trained.loss < trained.loss_before


def test_causal_model_learns_with_all_layers(causal: Backbone) -> None:
    assert first_adapted_layer(causal) == 0
    assert len(adapted_linears(causal)) == 2 * 7


def test_fresh_adapter_changes_nothing(backbone: Backbone) -> None:
    model = attach_adapter(backbone, rank=4)
    untouched = merge_adapter(backbone, adapter_arrays(model))
    np.testing.assert_allclose(encode(untouched, TEXTS), encode(backbone, TEXTS), atol=1e-5)


def test_training_leaves_the_backbone_as_it_was(causal: Backbone, causal_folder: Path) -> None:
    train(causal, replace(FAST, max_steps=3))
    fresh = load_backbone(causal_folder, device="cpu", precision="float32")
    np.testing.assert_array_equal(encode(causal, TEXTS), encode(fresh, TEXTS))


def test_cached_lower_layers_give_the_vectors_of_the_whole_model(minilm: Backbone) -> None:
    model = attach_adapter(minilm, rank=4)
    arrays = {k: v + 0.02 for k, v in adapter_arrays(model).items()}
    set_adapter(model, arrays)
    cached = TextStates(minilm, model, TEXTS, max_tokens=64, max_bytes=1 << 30)
    plain = TextStates(minilm, model, TEXTS, max_tokens=64, max_bytes=0)
    assert cached.cached
    assert not plain.cached
    whole = encode(merge_adapter(minilm, arrays), TEXTS)
    np.testing.assert_allclose(plain.all_vectors(64).numpy(), whole, atol=1e-4)
    np.testing.assert_allclose(cached.all_vectors(500).numpy(), whole, atol=3e-3)
    assert not np.allclose(whole, encode(minilm, TEXTS), atol=1e-2)


def test_stored_adapter_is_the_same_after_a_round_trip(causal: Backbone, learned: Trained) -> None:
    model = attach_adapter(causal, rank=adapter_rank(learned.arrays))
    set_adapter(model, learned.arrays)
    for name, array in adapter_arrays(model).items():
        np.testing.assert_array_equal(array, learned.arrays[name])


def test_adapter_of_another_model_or_rank_is_refused(minilm: Backbone, learned: Trained) -> None:
    with pytest.raises(CheckpointRejected, match="does not fit"):
        merge_adapter(minilm, learned.arrays)
    with pytest.raises(CheckpointRejected, match="no LoRA weights"):
        merge_adapter(minilm, {"tower": np.zeros((2, 2), np.float32)})


def test_start_of_another_rank_is_refused(causal: Backbone, learned: Trained) -> None:
    with pytest.raises(CheckpointRejected, match="does not fit"):
        train(causal, replace(FAST, rank=8), start=learned.arrays)


def test_proximal_stays_nearer_the_last_adapter_than_fine_tune(
    causal: Backbone, learned: Trained
) -> None:
    settings = replace(FAST, max_steps=20, check_every=20, method="fine_tune")
    other = Lesson(texts=TEXTS, teacher=TEACHER[::-1].copy(), weight=np.ones(len(TEXTS), "f4"))
    arguments = {"start": learned.arrays, "lesson": other, "seed": 5}
    distances = []
    for chosen in (settings, replace(settings, method="proximal", proximal_weight=5.0)):
        trained = train(causal, chosen, **arguments)
        model = attach_adapter(causal, rank=4)
        set_adapter(model, learned.arrays)
        anchor = Anchor(model)
        set_adapter(model, trained.arrays)
        distances.append(float(anchor.distance().detach()))
    assert distances[1] > 0
    assert distances[1] < 0.7 * distances[0]


def test_long_short_serves_the_mean_and_hands_on_the_slow_one(causal: Backbone) -> None:
    first = train(causal, replace(FAST, max_steps=20, method="fine_tune"))
    second = train(causal, replace(FAST, max_steps=20, method="long_short"))
    for name, fast in first.arrays.items():
        start = second.slow[name] - 0.3 * (fast - second.slow[name]) / 0.7
        np.testing.assert_allclose(second.arrays[name], (fast + start) / 2, atol=1e-5)
    again = train(causal, replace(FAST, max_steps=5, method="long_short"), start=second.slow)
    assert again.loss_before < second.loss_before


def test_same_seed_gives_the_same_adapter(causal: Backbone) -> None:
    short = replace(FAST, max_steps=5, check_every=5)
    one, two = train(causal, short), train(causal, short)
    for name in one.arrays:
        np.testing.assert_allclose(one.arrays[name], two.arrays[name], atol=1e-6)


def test_vectors_that_are_known_need_not_be_computed_again(causal: Backbone) -> None:
    few = replace(FAST, max_steps=5, check_every=5)
    again, known = train(causal, few), train(causal, few, known=encode(causal, TEXTS))
    assert known.loss_before == pytest.approx(again.loss_before, abs=1e-3)
    assert known.loss == pytest.approx(again.loss, abs=1e-2)
    elsewhere = train(causal, few, known=np.roll(encode(causal, TEXTS), 7, axis=0))
    assert abs(elsewhere.loss_before - again.loss_before) > 0.01, "what is given is not used"


def test_time_that_preparing_uses_up_makes_no_adapter(causal: Backbone) -> None:
    ticks = chain([0.0, 8.0], count(9.0))
    with pytest.raises(TrainingFailed, match=r"preparing took 8 of 9 s .*max_s is too short"):
        train(causal, replace(FAST, max_s=9), monotonic=lambda: next(ticks))


def test_time_budget_ends_training(causal: Backbone) -> None:
    ticks, seen = count(), []
    train(
        causal,
        replace(FAST, max_steps=10_000, patience=10_000, max_s=9),
        monotonic=lambda: float(next(ticks)),
        progress=seen.append,
    )
    assert isinstance(seen[-1], Step)
    assert 1 < len(seen) < 15


def test_nothing_to_learn_stops_early_with_the_start(causal: Backbone, learned: Trained) -> None:
    random = np.random.default_rng(3).normal(size=TEACHER.shape).astype(np.float32)
    noise = replace(lesson(), teacher=random / np.linalg.norm(random, axis=1, keepdims=True))
    seen: list[Step] = []
    trained = train(
        causal,
        replace(FAST, max_steps=500, patience=2, check_every=10),
        lesson=noise,
        progress=seen.append,
    )
    assert len(seen) < 200
    assert trained.loss <= trained.loss_before


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_teacher_that_is_no_number_aborts(causal: Backbone, value: float) -> None:
    teacher = TEACHER.copy()
    teacher[4] = value
    with pytest.raises(TrainingFailed, match="loss is nan"):
        train(causal, lesson=replace(lesson(), teacher=teacher))


def test_too_few_items_are_refused(causal: Backbone) -> None:
    with pytest.raises(TrainingFailed, match="items"):
        train(causal, lesson=lesson(np.arange(3)))


def test_gate_passes_the_learned_adapter_and_rejects_poisoned_ones(
    causal: Backbone, learned: Trained
) -> None:
    rng = np.random.default_rng(8)
    histories = {}
    for user in range(150):
        mine = np.flatnonzero(user % 3 == NEEDS)
        taken = rng.choice(mine, 5, replace=False)
        histories[str(user)] = [
            Feedback(user_id=str(user), item_id=str(i), timestamp=at) for at, i in enumerate(taken)
        ]
    later = next_items(histories, {str(i): i for i in range(len(TEXTS))})
    shuffled = train(causal, lesson=replace(lesson(), teacher=rng.permutation(TEACHER)))
    random = {k: rng.normal(size=v.shape).astype("f4") for k, v in learned.arrays.items()}
    decisions = [
        offline_gate(
            Space(vectors=encode(causal, TEXTS), recency=decayed_recency(10)),
            Space(
                vectors=encode(merge_adapter(causal, arrays), TEXTS), recency=decayed_recency(10)
            ),
            later,
            np.ones(len(TEXTS), np.int64),
        ).decision
        for arrays in (learned.arrays, shuffled.arrays, random)
    ]
    assert decisions == ["shadow", "reject", "reject"]


def test_rating_of_a_review_is_learned_beside_the_neighbourhoods(causal: Backbone) -> None:
    written = ["quiet fan", "quiet game", "a quiet case", "loud fan", "loud game", "a loud case"]
    ratings = np.array([1, 1, 1, 0, 0, 0], np.float32)
    taught = replace(lesson(), reviews=Reviews(texts=written, ratings=ratings))
    trained = train(causal, replace(FAST, review_weight=0.5), lesson=taught)
    vectors = encode(merge_adapter(causal, trained.arrays), ["the quiet fan", "the loud fan"])
    good, bad = estimated_ratings(trained.head, vectors)
    assert good > bad + 0.3
    assert trained.loss < trained.loss_before - 0.1


def test_model_in_bfloat16_learns_too(causal_folder: Path) -> None:
    reduced = load_backbone(causal_folder, device="cpu", precision="bfloat16")
    trained = train(reduced, replace(FAST, max_steps=20))
    after = encode(merge_adapter(reduced, trained.arrays), TEXTS)
    assert all(array.dtype == np.float32 for array in trained.arrays.values())
    assert separation(after) > separation(encode(reduced, TEXTS)) + 0.1


def test_small_encoder_in_bfloat16_learns_too() -> None:
    reduced = load_backbone(device="cpu", precision="bfloat16")
    trained = train(
        reduced,
        replace(FAST, learning_rate=0.005, max_steps=6, check_every=3),
        lesson=Lesson(
            texts=TEXTS,
            teacher=np.pad(TEACHER, ((0, 0), (0, 384 - 32))),
            weight=np.ones(len(TEXTS), np.float32),
        ),
    )
    assert trained.loss < trained.loss_before


def test_torch_s_own_randomness_is_left_alone(causal: Backbone) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    train(causal, replace(FAST, max_steps=2))
    assert torch.equal(torch.rand(2), expected)
