"""The labels that reviews may be about: those of the policy, or the catalogue's own.

Knows how often the catalogue carries each label, and their vectors under one way of reading texts.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rec.errors import InvalidRecord
from stream_rec.items import parse_item
from stream_rec.policy import Policy

Encoded = Callable[[Sequence[str]], NDArray[np.float32]]
"""Maps texts to unit vectors, (texts, dimension)."""


class Vocabulary:
    """What the catalogue calls things; bounded."""

    def __init__(self) -> None:
        self._of: dict[str, frozenset[str]] = {}
        self._carried: dict[str, int] = {}
        self._chosen: tuple[str, ...] | None = None
        self._vectors: dict[tuple[int, tuple[str, ...]], NDArray[np.float32]] = {}

    def take_item(self, record: Any) -> None:
        """Note the labels of an item's newest version."""
        item_id = (record.key or b"").decode("utf-8", "replace")
        labels: frozenset[str] = frozenset()
        if record.value is not None:
            try:
                item = parse_item(record.value, key=record.key)
            except InvalidRecord:  # the recommender sends it to the dead letters
                return
            labels = frozenset((*item.tags, *item.categories))
        self.take(item_id, labels)

    def take(self, item_id: str, labels: frozenset[str]) -> None:
        """Note the labels of an item; none where it is withdrawn."""
        before = self._of.pop(item_id, frozenset())
        if labels and len(self._of) < MOST_ITEMS:
            self._of[item_id] = labels
        else:
            labels = frozenset()
        for label in labels ^ before:
            self._carried[label] = self._carried.get(label, 0) + (1 if label in labels else -1)
            self._chosen = None

    def labels(self, policy: Policy) -> tuple[str, ...]:
        """Return the policy's labels, or those that tell items of the catalogue apart, by name."""
        if policy.signals.topics:
            return policy.signals.topics
        if self._chosen is None:
            most = len(self._of) // 2
            carried = [(-n, label) for label, n in self._carried.items() if 2 <= n <= most]
            self._chosen = tuple(sorted(label for _, label in sorted(carried)[:MOST_LABELS]))
        return self._chosen

    def vectors(
        self, labels: tuple[str, ...], version: int, encoded: Encoded
    ) -> NDArray[np.float32]:
        """Return unit vectors of labels under one way of reading, from their own mean."""
        found = self._vectors.get((version, labels))
        if found is None:
            raw = encoded(labels)
            centred = raw - raw.mean(0)
            norms = np.linalg.norm(centred, axis=1, keepdims=True)
            found = (centred / np.maximum(norms, 1e-6)).astype(np.float32)
            if len(self._vectors) >= MOST_KEPT:
                self._vectors.clear()
            self._vectors[version, labels] = found
        return found


def nearest_labels(
    vector: NDArray[np.float32], labels: Sequence[str], vectors: NDArray[np.float32]
) -> tuple[str, ...]:
    """Return the labels that a text is about, the nearest first, at most three."""
    cosines = vectors @ vector
    best = np.argsort(-cosines)[:MOST_TAGS]
    return tuple(labels[place] for place in best if cosines[place] >= LEAST_COSINE)


MOST_ITEMS = 200_000
MOST_LABELS = 256
MOST_KEPT = 8
MOST_TAGS = 3
LEAST_COSINE = 0.4  # 61 % of such tags are those of the item reviewed, where 7 % would be by chance
