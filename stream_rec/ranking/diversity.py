"""Which of the best items to list together, so that they are good and unlike one another.

A list is chosen greedily for score and for the volume that its vectors span: a determinantal point
process. Knows scores and similarities, nothing of users, items or where similarities come from.
"""

import numpy as np
from numpy.typing import NDArray

from stream_rec.catalogue.catalogue import Catalogue, Labels
from stream_rec.catalogue.vectors import VectorTable
from stream_rec.compiled import kernel

DEPTH = 50  # how far down the ranking a list may reach for variety


def varied(
    log_scores: NDArray[np.floating],
    similarity: NDArray[np.floating],
    *,
    size: int,
    strength: float,
) -> NDArray[np.int64]:
    """Choose `size` of the given items; return their places, ascending.

    Each step takes the item with the most of (1 - strength) * log score + strength * log of the
    squared distance from the span of what is taken: with strength 0 the best scores, with
    strength 1 the most varied list after its first item.

    Args:
        log_scores: Descending, (n,).
        similarity: Symmetric, in [-1, 1], ones on the diagonal, (n, n).
        size: How many to choose; all when there are fewer.
        strength: From 0 to 1.

    Source: Chen, Zhang and Zhou, "Fast greedy MAP inference for determinantal point process",
    NeurIPS 2018, algorithm 1 and equation 9.

    >>> alike = np.array([[1.0, 0.99, 0.0], [0.99, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> varied(np.log([0.5, 0.4, 0.1]), alike, size=2, strength=0.0).tolist()
    [0, 1]
    >>> varied(np.log([0.5, 0.4, 0.1]), alike, size=2, strength=0.5).tolist()
    [0, 2]
    """
    count = len(log_scores)
    if strength <= 0.0 or size >= count:
        return np.arange(min(size, count))
    chosen = _greedy(
        np.asarray(log_scores, np.float64), np.asarray(similarity, np.float64), size, strength
    )
    return np.sort(chosen)


def likeness(
    rows: NDArray[np.int32], vectors: VectorTable | None, catalogue: Catalogue
) -> NDArray[np.float32]:
    """Return how alike items are, (n, n): the cosine of their vectors.

    A pair in which one has no vector is as alike as the share of labels that both carry.
    """
    alike = _shared_labels(rows, catalogue)
    if vectors is not None and vectors.count:
        inside = rows < len(vectors.present)
        have = inside.copy()
        have[inside] = vectors.present[rows[inside]]
        own = vectors.matrix[rows[have]]
        alike[np.ix_(have, have)] = own @ own.T
    np.fill_diagonal(alike, 1.0)
    return alike


def _shared_labels(rows: NDArray[np.int32], catalogue: Catalogue) -> NDArray[np.float32]:
    """Jaccard similarity of the items' categories and tags."""
    both = np.zeros((len(rows), len(rows)), np.float32)
    counts = np.zeros(len(rows), np.float32)
    for labels in (catalogue.categories, catalogue.tags):
        carried = _incidence(labels, rows)
        both += carried @ carried.T
        counts += carried.sum(1)
    either = counts[:, None] + counts[None, :] - both
    shared: NDArray[np.float32] = both / np.maximum(either, 1.0)
    return shared


def _incidence(labels: Labels, rows: NDArray[np.int32]) -> NDArray[np.float32]:
    codes = labels.codes[rows]  # (n, width)
    names, places = np.unique(codes, return_inverse=True)
    carried = np.zeros((len(rows), len(names)), np.float32)
    carried[np.repeat(np.arange(len(rows)), codes.shape[1]), places.ravel()] = 1.0
    return carried[:, names >= 0]


@kernel
def _greedy(log_scores, similarity, size, strength):  # type: ignore[no-untyped-def]
    count = log_scores.shape[0]
    spans = np.zeros((size, count))
    distance = np.full(count, 1.0 + _RIDGE)  # squared, from the span of what is taken
    taken = np.zeros(count, np.bool_)
    chosen = np.empty(size, np.int64)
    for step in range(size):
        best, most = -1, -np.inf
        for item in range(count):
            if not taken[item]:
                gain = (1.0 - strength) * log_scores[item] + strength * np.log(distance[item])
                if gain > most:
                    best, most = item, gain
        if best < 0:
            return chosen[:step]
        taken[best] = True
        chosen[step] = best
        root = np.sqrt(distance[best])
        for item in range(count):
            if not taken[item]:
                known = 0.0
                for earlier in range(step):
                    known += spans[earlier, best] * spans[earlier, item]
                spans[step, item] = (similarity[best, item] - known) / root
                distance[item] = max(distance[item] - spans[step, item] ** 2, _RIDGE)
    return chosen


_RIDGE = 1e-3  # added to the diagonal: twins keep a distance, so they come last, not never
