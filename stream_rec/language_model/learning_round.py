"""One round of learning, from feedback to a judged candidate: start reading the package here.

Order of steps: 1 examples from histories, the newest kept for the gate; 2 a tower on the text
vectors of the last adapter; 3 a LoRA update towards the tower's neighbourhoods; 4 the catalogue
encoded with it; 5 a tower on those vectors; 6 the gate, on events later than all that was learned
from; 7 the tower once more with those events too, which are worth most, and with what came since.

What is judged is what would be served, but for the last step. It does not know Kafka, files or
clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rec.adapters.checkpoint import Checkpoint
from stream_rec.language_model.adapter import merge_adapter
from stream_rec.language_model.backbone import Backbone
from stream_rec.language_model.encoding import encode
from stream_rec.language_model.gate import Space, Verdict, offline_gate
from stream_rec.language_model.gradient_exchange import processes
from stream_rec.language_model.lesson import LoraSettings, Step, Trained
from stream_rec.language_model.lesson_exchange import hand_out
from stream_rec.language_model.lesson_making import how_often_asked, lesson_of, reviews_of
from stream_rec.language_model.lora import train_adapter
from stream_rec.language_model.next_item_examples import (
    NextItems,
    clip_users,
    decayed_recency,
    next_items,
)
from stream_rec.language_model.replay_buffer import Feedback
from stream_rec.language_model.scenario_tasks import (
    Histories,
    Shared,
    heads_of,
    scenario_tasks,
)
from stream_rec.language_model.stored_adapter import served_adapter, start_of, stored_adapter
from stream_rec.language_model.tower_training import (
    Tower,
    TowerSettings,
    refit_tower,
    tower_arrays,
    tower_vectors,
    train_tower,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Item ids and what the model reads of each; an empty text is allowed.

    ``text`` ``(items, dimension)`` holds their vectors under the adapter that learning goes on
    from, where the caller has them already.
    """

    item_ids: Sequence[str]
    texts: Sequence[str]
    text: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How a round runs: settings of both learners, the gate's bar, the seed and the clock."""

    lora: LoraSettings | None  # None: the tower alone learns
    tower: TowerSettings
    min_gain: float
    confidence: float
    seed: int
    monotonic: Callable[[], float]
    progress: Callable[[Step], None] | None = None
    held_out: float = 0.15
    most_held_out: int = 3000
    needed_z: float | None = None  # None: proof by the confidence, before any live event
    since_ms: int = -1  # events after it are new since the last round
    phase: Callable[[str], None] | None = None  # told what was done, when it is
    replay_ratio: float = 1.0  # how much the older ones count in what the adapter is asked
    latest: Callable[[], Histories] | None = None  # asked for what came since, for step 7
    pause: Callable[[], None] = lambda: None  # called often in long work; may wait, or raise


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What a round made; arrays as a checkpoint stores them, vectors row for row the catalogue."""

    adapter: dict[str, NDArray[Any]]
    tower: dict[str, NDArray[Any]]
    vectors: NDArray[np.float16]  # (items, dimension), where the tower puts the texts
    text: NDArray[np.float16]  # (items, dimension), the texts under the adapter alone
    verdict: Verdict
    metrics: dict[str, float]


def learning_round(
    backbone: Backbone,
    catalogue: Catalogue,
    histories: Mapping[str, Sequence[Feedback]],
    conditions: Conditions,
    *,
    last: Checkpoint | None = None,
    champion: Checkpoint | None = None,
    scenarios: Mapping[str, Histories] | None = None,
) -> Candidate:
    """Learn from histories (oldest first), going on from ``last``, and judge the outcome.

    ``scenarios`` holds the histories of others that share the adapter: each teaches it by a head
    and a loss of its own.
    ``champion`` is what serves now, ``last`` unless given: the two differ after what serves learned
    from users who were erased since.

    Raises:
        TrainingFailed: too little to learn from, NaN or Inf. What is served stays.
        CheckpointRejected: the last adapter does not fit the backbone or the policy's rank.
    """
    tell = conditions.phase or (lambda _: None)
    rows = {item_id: row for row, item_id in enumerate(catalogue.item_ids)}
    examples = clip_users(next_items(histories, rows), _MOST_OF_A_USER)
    past, later = examples.split_newest(_held_out(conditions, len(examples)))
    text = catalogue.text
    if text is None:
        text = _read(backbone, served_adapter(last), catalogue, conditions)
        tell("texts read")
    tower = _tower(text, past, conditions)
    tell("tower trained")
    judged_against = _champion(
        backbone, last, champion, catalogue, _Past(text, tower, past, conditions)
    )
    adapter = dict(last.adapter) if last else {}
    metrics: dict[str, float] = {"past_examples": len(past), "later_examples": len(later)}
    if conditions.lora is not None:
        reviews = reviews_of(histories, int(past.timestamp.max()))
        weights = how_often_asked(
            past,
            len(catalogue.texts),
            since_ms=conditions.since_ms,
            replay_ratio=conditions.replay_ratio,
        )
        lesson, chosen = lesson_of(catalogue.texts, text, tower_vectors(tower, text), weights)
        shared = Shared(
            text=text,
            rows=rows,
            chosen=chosen,
            until_ms=int(past.timestamp.max()),
            most_of_a_user=_MOST_OF_A_USER,
            heads=heads_of(last.adapter if last else {}),
        )
        tasks = scenario_tasks(
            scenarios or {},
            shared,
            conditions.tower,
            seed=conditions.seed,
            monotonic=conditions.monotonic,
        )
        lesson = replace(lesson, reviews=reviews, scenarios=tasks)
        start = start_of(last.adapter if last else {}, conditions.lora.method)
        hand_out(backbone, lesson, conditions.lora, start=start, seed=conditions.seed)
        trained = train_adapter(
            backbone,
            lesson,
            conditions.lora,
            start=start,
            # long_short goes on from other weights than those that the text was read with
            known=None if conditions.lora.method == "long_short" else text[chosen],
            seed=conditions.seed,
            monotonic=conditions.monotonic,
            progress=conditions.progress,
        )
        tell("adapter trained")
        text = _read(backbone, trained.arrays, catalogue, conditions)
        tell("catalogue encoded")
        tower = _tower(text, past, conditions)
        adapter = stored_adapter(trained)
        metrics |= _metrics_of(trained)
    verdict = offline_gate(
        judged_against,
        Space(vectors=_served(text, tower_vectors(tower, text)), recency=tower.recency),
        later,
        np.bincount(past.target, minlength=len(rows)),
        min_gain=conditions.min_gain,
        confidence=conditions.confidence,
        needed_z=conditions.needed_z,
    )
    tell("judged")
    if verdict.decision == "shadow":
        if conditions.latest is not None:
            examples = clip_users(next_items(conditions.latest(), rows), _MOST_OF_A_USER)
        tower = refit_tower(tower, text, examples, conditions.tower, seed=conditions.seed)
        tell("tower fitted to all")
    return Candidate(
        adapter=adapter,
        tower=tower_arrays(tower),
        vectors=tower_vectors(tower, text).astype(np.float16),
        text=text.astype(np.float16),
        verdict=verdict,
        metrics=metrics | {"tower_steps": tower.steps, "tower_loss": tower.held_out_loss},
    )


def _read(
    backbone: Backbone,
    adapter: Mapping[str, NDArray[Any]],
    catalogue: Catalogue,
    conditions: Conditions,
) -> NDArray[np.float32]:
    """Return the catalogue's text vectors under an adapter."""
    return encode(
        merge_adapter(backbone, adapter),
        catalogue.texts,
        progress=lambda *_: conditions.pause(),
    )


def _held_out(conditions: Conditions, examples: int) -> float:
    return min(conditions.held_out, conditions.most_held_out / max(1, examples))


def _metrics_of(trained: Trained) -> dict[str, float]:
    of_scenarios = {
        f"lora_loss_of_{name}{when}": loss
        for name, losses in trained.scenario_losses.items()
        for when, loss in zip(("_before", ""), losses, strict=True)
    }
    return of_scenarios | {
        "lora_steps": trained.steps,
        "lora_loss_before": trained.loss_before,
        "lora_loss": trained.loss,
        "lora_texts_per_s": trained.texts_per_s,
        "lora_processes": processes(),
    }


@dataclass(frozen=True, slots=True)
class _Past:
    """What was learned from the past events on the texts that learning goes on from."""

    text: NDArray[np.float32]
    tower: Tower
    examples: NextItems
    conditions: Conditions


def _champion(
    backbone: Backbone,
    last: Checkpoint | None,
    champion: Checkpoint | None,
    catalogue: Catalogue,
    past: _Past,
) -> Space:
    """Return what the outcome is judged against, knowing the past events and none of the later.

    What serves was fitted to all events at the end of its round, the later ones of this round among
    them. So an adapter is judged against a tower of the past on the champion's texts, and a tower,
    or an adapter where nothing but the frozen model serves, against texts alone.
    """
    if past.conditions.lora is None or (last is None and champion is None):
        return Space(vectors=_served(past.text, past.text), recency=decayed_recency(10))
    text, tower = past.text, past.tower
    if champion is not None:
        text = _read(backbone, served_adapter(champion), catalogue, past.conditions)
        tower = _tower(text, past.examples, past.conditions)
    return Space(vectors=_served(text, tower_vectors(tower, text)), recency=tower.recency)


def _served(text: NDArray[np.float32], placed: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return unit vectors whose cosine is the mean of both: lists are made from text and tower."""
    both = np.concatenate((text, placed), axis=1)
    norms = np.linalg.norm(both, axis=1, keepdims=True)
    return (both / np.where(norms > 0, norms, 1.0)).astype(np.float32)


def _tower(text: NDArray[np.float32], past: NextItems, conditions: Conditions) -> Tower:
    return train_tower(
        text, past, conditions.tower, seed=conditions.seed, monotonic=conditions.monotonic
    )


_MOST_OF_A_USER = 32.0  # weight of all of a user's examples together
