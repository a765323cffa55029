"""What an adapter is asked: items that were taken, and what people wrote, as a tower teaches them.

It does not know how an adapter learns, nor who judges it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stream_rec.errors import TrainingFailed
from stream_rec.language_model.lesson import Lesson, asked_weights
from stream_rec.language_model.next_item_examples import NextItems, how_much_taken
from stream_rec.language_model.rating_task import Reviews
from stream_rec.language_model.replay_buffer import Feedback


def how_often_asked(
    past: NextItems, items: int, *, since_ms: int, replay_ratio: float
) -> NDArray[np.float32]:
    """Return the weight of each item ``(items,)``: what was taken after a time, and before it.

    ``replay_ratio`` is how much the older ones count, see ``asked_weights``.
    """
    fresh = past.timestamp > since_ms
    lately, before = (how_much_taken(past.select(part), items) for part in (fresh, ~fresh))
    return asked_weights(lately, before, replay_ratio)


def lesson_of(
    texts: Sequence[str],
    text: NDArray[np.float32],
    teacher: NDArray[np.float32],
    weights: NDArray[np.float32],
) -> tuple[Lesson, NDArray[np.int64]]:
    """Ask for the items of some weight that have words; return the rows that are asked, too.

    ``text`` and ``teacher`` are ``(items, dimension)``: what the model reads now, and where the
    tower puts it. What reviews say of an item without words is for the tower alone: an adapter
    would be asked for many targets of one and the same empty text.

    Raises:
        TrainingFailed: no item that was taken has words.
    """
    worded = np.array([bool(words.strip()) for words in texts], np.bool_)
    chosen = np.flatnonzero((weights > 0) & worded & text.any(axis=1))
    if not len(chosen):
        message = "no item that was taken has a text"
        raise TrainingFailed(message)
    lesson = Lesson(
        texts=[texts[int(i)] for i in chosen], teacher=teacher[chosen], weight=weights[chosen]
    )
    return lesson, chosen


def reviews_of(histories: Mapping[str, Sequence[Feedback]], until: int) -> Reviews | None:
    """Return the newest rated reviews up to a time."""
    rated = sorted(
        (f.timestamp, f.text, f.rating)
        for history in histories.values()
        for f in history
        if f.rating is not None and f.text.strip() and f.timestamp <= until
    )[-_MOST_REVIEWS:]
    if not rated:
        return None
    return Reviews(
        texts=[text for _, text, _ in rated],
        ratings=np.array([rating for _, _, rating in rated], np.float32),
    )


_MOST_REVIEWS = 5000
