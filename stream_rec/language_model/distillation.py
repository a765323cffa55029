"""Teach a small model the neighbourhoods that a larger one sees, through an adapter.

The lesson is that of ``lora``, with a larger model's text vectors in the place of the tower's:
which other texts stand near a text, not where it stands, so the two may differ in dimension. It
needs no feedback. It does not know topics, checkpoints or which models are worth it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_rec.adapters.tower import centre_texts
from stream_rec.errors import TrainingFailed
from stream_rec.language_model.adapter import merge_adapter
from stream_rec.language_model.backbone import Backbone
from stream_rec.language_model.encoding import encode
from stream_rec.language_model.lesson import Lesson, LoraSettings, Step, Trained
from stream_rec.language_model.lora import train_adapter


@dataclass(frozen=True, slots=True, kw_only=True)
class Distilled:
    """An adapter and what it brought, on texts that were kept out of the lesson."""

    trained: Trained
    agreement_before: float  # share of the teacher's ten nearest that the student has among its own
    agreement: float
    texts: int


def distil(
    student: Backbone,
    teacher: Backbone,
    texts: Sequence[str],
    settings: LoraSettings,
    *,
    seed: int,
    monotonic: Callable[[], float],
    progress: Callable[[Step], None] | None = None,
) -> Distilled:
    """Train an adapter of the student on distinct texts; a tenth of them is kept to judge it.

    Raises:
        TrainingFailed: too few texts, or NaN or Inf on the way.
    """
    distinct = list(dict.fromkeys(text for text in texts if text.strip()))
    if len(distinct) < _FEWEST:
        message = f"{len(distinct)} texts, at least {_FEWEST} are needed"
        raise TrainingFailed(message)
    wanted = _centred(encode(teacher, distinct))
    order = np.random.default_rng(seed).permutation(len(distinct))
    kept, pupils = np.split(order, [max(1, min(_MOST_KEPT, len(distinct) // 10))])
    lesson = Lesson(
        texts=[distinct[int(i)] for i in pupils],
        teacher=wanted[pupils],
        weight=np.ones(len(pupils), np.float32),
    )
    trained = train_adapter(
        student, lesson, settings, seed=seed, monotonic=monotonic, progress=progress
    )
    after = _centred(encode(merge_adapter(student, trained.arrays), distinct))
    return Distilled(
        trained=trained,
        agreement_before=neighbours_shared(wanted, _centred(encode(student, distinct)), kept),
        agreement=neighbours_shared(wanted, after, kept),
        texts=len(distinct),
    )


def neighbours_shared(
    one: NDArray[np.float32], other: NDArray[np.float32], rows: NDArray[np.int64], count: int = 10
) -> float:
    """Return the mean share of the nearest ``count`` rows that two spaces have in common.

    Both are unit vectors ``(items, …)`` of the same items; of any dimension.
    """
    count = min(count, len(one) - 1)
    shared = 0
    for row in rows:
        nearest = []
        for vectors in (one, other):
            scores = vectors @ vectors[row]
            scores[row] = -np.inf
            nearest.append(set(np.argpartition(-scores, count - 1)[:count].tolist()))
        shared += len(nearest[0] & nearest[1])
    return shared / (count * max(1, len(rows)))


def _centred(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    centred: NDArray[np.float32] = centre_texts(vectors, vectors.mean(axis=0))
    return centred


_FEWEST = 32
_MOST_KEPT = 500
