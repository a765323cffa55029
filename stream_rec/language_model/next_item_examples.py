"""Turn histories into next-item examples: what a user had taken so far, and what came next.

Rows stand for items, as in every matrix of vectors; see ``replay_buffer`` for where histories come
from. It does not know models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from stream_rec.language_model.replay_buffer import Feedback


@dataclass(frozen=True, slots=True, kw_only=True)
class NextItems:
    """Columns of examples, in order of time (ties by user)."""

    target: NDArray[np.int64]  # (examples,) rows
    context: NDArray[np.int64]  # (examples, length) rows, newest first, -1 where there is none
    user: NDArray[np.int64]  # (examples,) a number for each user
    timestamp: NDArray[np.int64]  # (examples,) ms
    weight: NDArray[np.float32]  # (examples,) how much the event counts, positive

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.target)

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.int64] | slice) -> NextItems:
        """Return some of the examples: a mask, positions or a slice."""
        return NextItems(**{f.name: getattr(self, f.name)[chosen] for f in fields(self)})

    def split_newest(self, share: float) -> tuple[NextItems, NextItems]:
        """Return the older examples and the newest ``share`` of them."""
        cut = len(self) - round(share * len(self))
        return self.select(slice(0, cut)), self.select(slice(cut, None))


def next_items(
    histories: Mapping[str, Sequence[Feedback]], rows: Mapping[str, int], *, length: int = 10
) -> NextItems:
    """Make one example of every wanted item that follows another one of the same user.

    Histories are oldest first. Events with a weight of zero or less and items without a row take no
    part.
    """
    targets: list[tuple[int, int, int, float]] = []  # timestamp, user, row, weight
    contexts: list[list[int]] = []
    for user, history in enumerate(histories.values()):
        before: list[int] = []
        for feedback in history:
            row = rows.get(feedback.item_id)
            if row is None or feedback.weight <= 0:
                continue
            if before:
                targets.append((feedback.timestamp, user, row, feedback.weight))
                contexts.append(before + [-1] * (length - len(before)))
            before = [row, *before[: length - 1]]
    order = sorted(range(len(targets)), key=lambda i: targets[i][:2])
    columns = [np.array([targets[i][c] for i in order]) for c in range(4)]
    chosen = [contexts[i] for i in order]
    return NextItems(
        target=columns[2].astype(np.int64),
        context=np.array(chosen, np.int64).reshape(-1, length),
        user=columns[1].astype(np.int64),
        timestamp=columns[0].astype(np.int64),
        weight=columns[3].astype(np.float32),
    )


def clip_users(examples: NextItems, most: float) -> NextItems:
    """Return the examples with weights such that no user's add up to more than ``most``.

    >>> one = np.zeros(3, np.int64)
    >>> whose, weight = np.array([0, 0, 1]), np.array([3, 1, 1], np.float32)
    >>> heavy = NextItems(
    ...     target=one, context=one[:, None], user=whose, timestamp=one, weight=weight
    ... )
    >>> clip_users(heavy, 2.0).weight.tolist()
    [1.5, 0.5, 1.0]
    """
    if not len(examples):
        return examples
    totals = np.bincount(examples.user, weights=examples.weight)
    share = np.minimum(1.0, most / np.maximum(totals, 1e-9))[examples.user]
    return replace(examples, weight=(examples.weight * share).astype(np.float32))


def how_much_taken(examples: NextItems, items: int) -> NDArray[np.float64]:
    """Return the weight of all examples that each item is in, ``(items,)``."""
    taken = np.zeros(items)
    np.add.at(taken, examples.target, examples.weight)
    example, position = np.nonzero(examples.context >= 0)
    np.add.at(taken, examples.context[example, position], examples.weight[example])
    return taken


def user_vectors(
    vectors: NDArray[np.float32], context: NDArray[np.int64], recency: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return unit vectors of users, ``(examples, dimension)``: the weighted sum of what they took.

    ``vectors`` is ``(items, dimension)``, ``recency`` weighs positions, newest first.

    >>> user_vectors(np.eye(2, dtype=np.float32), np.array([[1, -1]]), np.ones(2, np.float32))
    array([[0., 1.]], dtype=float32)
    """
    weights = np.where(context >= 0, recency[: context.shape[1]], 0.0).astype(np.float32)
    users = np.zeros((len(context), vectors.shape[1]), np.float32)
    for position in range(
        context.shape[1]
    ):  # a gather of all positions at once is ten times larger
        users += weights[:, position, None] * vectors[context[:, position]]
    norms = np.linalg.norm(users, axis=1, keepdims=True)
    return (users / np.where(norms > 0, norms, 1.0)).astype(np.float32)


def decayed_recency(length: int, decay: float = 0.8) -> NDArray[np.float32]:
    """Return weights that fall by ``decay`` with each older position.

    >>> decayed_recency(3, 0.5).tolist()
    [1.0, 0.5, 0.25]
    """
    return (decay ** np.arange(length)).astype(np.float32)
