"""A whole round: from what users did to a checkpoint that is judged, stored and served."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from stream_rec.adapters.checkpoint import (
    FORMAT,
    Checkpoint,
    Manifest,
    read_checkpoint,
    write_checkpoint,
)
from stream_rec.errors import CheckpointRejected, TrainingFailed
from stream_rec.items import text_hash
from stream_rec.language_model import learning_round as rounds
from stream_rec.language_model.adapter import adapter_arrays, attach_adapter
from stream_rec.language_model.adapter_methods import Method
from stream_rec.language_model.backbone import Backbone
from stream_rec.language_model.encoding import encode
from stream_rec.language_model.learning_round import (
    Candidate,
    Catalogue,
    Conditions,
    learning_round,
)
from stream_rec.language_model.lesson import Lesson, LoraSettings, Trained
from stream_rec.language_model.replay_buffer import Feedback
from stream_rec.language_model.stored_adapter import start_of
from stream_rec.language_model.tower_training import TowerSettings, tower_of_arrays
from tests.language_model.serving_encoder import ServingEncoder

NOUNS = {"fan": 0, "guitar": 0, "monitor": 1, "cable": 1, "game": 2, "case": 2}
TEXTS = [f"{word} {noun}" for word in ("quiet", "loud", "a", "the", "of", "for") for noun in NOUNS]
NEEDS = np.array([NOUNS[text.split()[1]] for text in TEXTS])
SHOP = Catalogue(item_ids=[f"i{i}" for i in range(len(TEXTS))], texts=TEXTS)
LORA = LoraSettings(
    method="fine_tune",
    rank=4,
    learning_rate=0.02,
    max_steps=30,
    batch=24,
    check_every=10,
    held_out=0.2,
)
CONDITIONS = Conditions(
    lora=LORA,
    tower=TowerSettings(low_rank=8, batch=128, max_steps=40, learning_rate=0.02),
    min_gain=0.0,
    confidence=0.95,
    seed=1,
    monotonic=lambda: 0.0,
)

BRIEF = replace(CONDITIONS, tower=TowerSettings(low_rank=8, batch=128, max_steps=4))
NOTED = "the lesson is noted"


def histories(*, sensible: bool = True) -> dict[str, list[Feedback]]:
    rng = np.random.default_rng(4)
    found = {}
    for user in range(200):
        mine = np.flatnonzero(user % 3 == NEEDS) if sensible else np.arange(len(TEXTS))
        found[f"u{user}"] = [
            Feedback(
                user_id=f"u{user}",
                item_id=f"i{item}",
                timestamp=user * 100 + at,
                rating=1.0 if "quiet" in TEXTS[item] else 0.0,
                text=TEXTS[item],
            )
            for at, item in enumerate(rng.choice(mine, 6, replace=False))
        ]
    return found


def stored(root: Path, backbone: Backbone, candidate: Candidate, version: int = 1) -> Checkpoint:
    manifest = Manifest(
        format=FORMAT,
        scenario="default",
        version=version,
        text_version=version,
        base_model=backbone.name,
        base_model_hash=backbone.model_hash,
        dimension=backbone.dimension,
        items=len(SHOP.item_ids),
        offsets={},
        metrics=candidate.metrics | candidate.verdict.figures,
        policy={},
        code_version="0",
        created_at=1,
    )
    bundle = Checkpoint(
        manifest=manifest,
        item_ids=tuple(SHOP.item_ids),
        vectors=candidate.vectors,
        text=candidate.text,
        text_hash=np.array([text_hash(text) for text in SHOP.texts], np.uint64),
        adapter=candidate.adapter,
        tower=candidate.tower,
    )
    write_checkpoint(str(root), bundle)
    return read_checkpoint(str(root), "default", version, base_model_hash=backbone.model_hash)


@pytest.fixture(scope="module")
def candidate(causal: Backbone) -> Candidate:
    return learning_round(causal, SHOP, histories(), CONDITIONS)


def test_sensible_behaviour_makes_a_candidate_for_the_shadow(candidate: Candidate) -> None:
    assert candidate.verdict.decision == "shadow", candidate.verdict
    assert candidate.vectors.shape == (len(TEXTS), 32)
    assert candidate.metrics["lora_loss"] < candidate.metrics["lora_loss_before"]


def test_behaviour_without_sense_makes_none(causal: Backbone) -> None:
    found = learning_round(causal, SHOP, histories(sensible=False), CONDITIONS)
    assert found.verdict.decision == "reject"


def test_stored_candidate_encodes_new_items_into_the_space_of_the_catalogue(
    causal: Backbone, candidate: Candidate, tmp_path: Path
) -> None:
    serving = ServingEncoder(causal, stored(tmp_path, causal, candidate))
    # Texts the round never saw, all of them together: one text of a tiny random model is chance.
    new = [f"{word} quiet {noun}" for word in ("the", "of", "a") for noun in NOUNS]
    needs = np.array([NOUNS[text.split()[-1]] for text in new])
    similar = serving.encode(new) @ candidate.vectors.astype(np.float32).T
    same = needs[:, None] == NEEDS
    assert similar[same].mean() > similar[~same].mean() + 0.2
    assert not serving.encode([""]).any()


def test_next_round_starts_from_the_promoted_one_and_must_beat_it(
    causal: Backbone, candidate: Candidate, tmp_path: Path
) -> None:
    last = stored(tmp_path, causal, candidate)
    again = learning_round(causal, SHOP, histories(), CONDITIONS, last=last)
    assert again.metrics["lora_loss_before"] < candidate.metrics["lora_loss_before"]
    gain = again.verdict.figures["log_rank_gain"]
    assert gain < candidate.verdict.figures["log_rank_gain"] / 2


def test_slow_adapter_travels_in_the_checkpoint(causal: Backbone, tmp_path: Path) -> None:
    conditions = replace(CONDITIONS, lora=replace(LORA, method="long_short", max_steps=20))
    last = stored(tmp_path, causal, learning_round(causal, SHOP, histories(), conditions))
    slow = [name for name in last.adapter if name.startswith("slow.")]
    assert len(slow) == sum(name.startswith("base_model") for name in last.adapter)
    again = learning_round(causal, SHOP, histories(), conditions, last=last)
    assert np.isfinite(again.metrics["lora_loss"])


@pytest.mark.parametrize(
    ("method", "start"), [("long_short", 2.0), ("proximal", 1.0), ("fine_tune", 1.0)]
)
def test_only_long_short_goes_on_from_the_slow_adapter(method: Method, start: float) -> None:
    fast, slow = np.full(1, 1.0, np.float32), np.full(1, 2.0, np.float32)
    assert start_of({"a": fast, "slow.a": slow}, method) == {"a": start}
    assert start_of({"a": fast}, method) == {"a": fast}
    assert start_of({}, method) is None


def test_user_with_ten_times_the_events_asks_no_more_than_the_bound(
    causal: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Lesson] = []

    def noted(_: Backbone, lesson: Lesson, *__: object, **___: object) -> Trained:
        asked.append(lesson)
        raise TrainingFailed

    def alternating(user: str, first: int, events: int) -> list[Feedback]:
        return [
            Feedback(user_id=user, item_id=f"i{first + at % 2}", timestamp=at)
            for at in range(events)
        ]

    monkeypatch.setattr(rounds, "train_adapter", noted)
    text = np.random.default_rng(1).normal(size=(len(TEXTS), 32)).astype(np.float32)
    taken = {"heavy": alternating("heavy", 0, 330), "light": alternating("light", 2, 33)}
    with pytest.raises(TrainingFailed):
        learning_round(causal, replace(SHOP, text=text), taken, replace(CONDITIONS, held_out=0.0))
    heavy = float((asked[0].weight[:2] ** 2).sum())
    light = float((asked[0].weight[2:] ** 2).sum())
    of_an_example = 11  # an item and up to ten before it
    assert light < heavy < 32 * of_an_example


def test_without_lora_only_the_tower_learns(causal: Backbone, tmp_path: Path) -> None:
    found = learning_round(causal, SHOP, histories(), replace(CONDITIONS, lora=None))
    assert not found.adapter
    assert found.verdict.decision == "shadow"
    assert ServingEncoder(causal, stored(tmp_path, causal, found)).encode(["a fan"]).any()


def test_empty_shop_has_nothing_to_learn_from(causal: Backbone) -> None:
    with pytest.raises(TrainingFailed):
        learning_round(causal, Catalogue(item_ids=[], texts=[]), {}, CONDITIONS)


def read_by_reviews(backbone: Backbone, wordless: NDArray[np.bool_]) -> Catalogue:
    """The shop with some items that have no words, and stand where their reviews put them."""
    texts = [" " if bare else text for text, bare in zip(TEXTS, wordless, strict=True)]
    return Catalogue(item_ids=SHOP.item_ids, texts=texts, text=encode(backbone, TEXTS))


def test_item_that_only_reviews_tell_of_is_not_asked_of_the_adapter(
    causal: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def noted(_: Backbone, lesson: Lesson, *__: object, **___: object) -> Trained:
        asked.extend(lesson.texts)
        raise TrainingFailed(NOTED)

    monkeypatch.setattr(rounds, "train_adapter", noted)
    wordless = np.arange(len(TEXTS)) % 3 == 0
    with pytest.raises(TrainingFailed, match=NOTED):
        learning_round(causal, read_by_reviews(causal, wordless), histories(), BRIEF)
    assert sorted(asked) == sorted(np.array(TEXTS)[~wordless])


def test_shop_without_words_has_nothing_for_an_adapter(causal: Backbone) -> None:
    shop = read_by_reviews(causal, np.ones(len(TEXTS), np.bool_))
    with pytest.raises(TrainingFailed, match="no item that was taken has a text"):
        learning_round(causal, shop, histories(), BRIEF)
    assert learning_round(causal, shop, histories(), replace(BRIEF, lora=None)).text.any(1).all()


def test_arrays_that_are_no_tower_are_refused(candidate: Candidate) -> None:
    with pytest.raises(CheckpointRejected, match="no tower"):
        tower_of_arrays({"down": candidate.tower["down"]})
    with pytest.raises(CheckpointRejected, match="do not fit"):
        tower_of_arrays(candidate.tower | {"centre": np.zeros(3, np.float32)})


def with_newcomers() -> dict[str, list[Feedback]]:
    """Late users also take items that nobody took before, of which only texts tell."""
    rng, found = np.random.default_rng(4), {}
    late = np.array([text.startswith("for ") for text in TEXTS])
    for user in range(240):
        mine = user % 3 == NEEDS
        old = rng.choice(np.flatnonzero(mine & ~late), 6 if user < 160 else 4, replace=False)
        new = np.flatnonzero(mine & late) if user >= 160 else np.array([], np.int64)
        found[f"u{user}"] = [
            Feedback(user_id=f"u{user}", item_id=f"i{item}", timestamp=user * 100 + at)
            for at, item in enumerate([*old, *new])
        ]
    return found


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_adapter_of_random_weights_is_refused(
    minilm: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    def poisoned(*_: object, **__: object) -> Trained:
        rng = np.random.default_rng(seed)
        fresh = adapter_arrays(attach_adapter(minilm, rank=4))
        arrays = {
            name: rng.normal(scale=0.3, size=array.shape).astype(np.float32)
            for name, array in fresh.items()
        }
        return Trained(
            arrays=arrays, slow={}, head={}, steps=1, loss_before=1.0, loss=0.1, texts_per_s=1.0
        )

    conditions = replace(CONDITIONS, needed_z=0.0, held_out=0.34)
    shop = with_newcomers()
    last = stored(
        tmp_path, minilm, learning_round(minilm, SHOP, shop, replace(conditions, lora=None))
    )
    monkeypatch.setattr(rounds, "train_adapter", poisoned)
    verdict = learning_round(minilm, SHOP, shop, conditions, last=last).verdict
    assert verdict.decision == "reject", verdict
    assert verdict.figures["never_seen_z"] < -2, verdict


def test_what_serves_knows_the_later_events_and_is_no_unfair_bar(
    causal: Backbone, tmp_path: Path
) -> None:
    conditions = replace(CONDITIONS, lora=None)
    last = stored(tmp_path, causal, learning_round(causal, SHOP, histories(), conditions))
    again = learning_round(causal, SHOP, histories(), conditions, last=last)
    assert again.verdict.decision == "shadow", again.verdict
    assert again.verdict.figures["log_rank_gain"] > 0
