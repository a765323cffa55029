"""What reviews say of items that say nothing of themselves: the mean vector of an item's reviews.

An item with a title or a description is read from those. One without is placed by what users wrote
about it (measured: docs/log.md). The means are a fold of the review log, read again from its
beginning at each start, and for each adapter that comes into use; the cache of vectors by text
makes that cheap. Reviews come faster than a
processor reads them, and the first few of an item say most: an item's n-th review waits behind all
n-1-th ones, and beyond the first hundred none is read. Knows no user.
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rec.errors import InvalidRecord
from stream_rec.events import parse_events
from stream_rec.items import Item, item_text, text_hash


@dataclass(slots=True)
class _Read:
    """The reviews of one item: sum of their unit vectors, how many, and how many were published."""

    total: NDArray[np.float32]
    count: int = 0
    published: int = 0


class ReviewVectors:
    """Means of review vectors; at most `MOST_ITEMS` items, `MOST_WAITING` reviews waiting."""

    def __init__(self, dimension: int, *, form: str = "auto") -> None:
        """Make an empty table; `form` is the dialect of events, one of `aliases`' `FORMATS`."""
        self._dimension = dimension
        self._form = form
        self._wordless: dict[str, int] = {}  # item -> hash of what little text it has
        self._read: dict[str, _Read] = {}
        self._queued: dict[str, int] = {}  # reviews of an item that were ever queued
        self._waiting: list[tuple[int, int, str, str]] = []  # a heap: which of its item, when
        self._arrived = 0
        self._next: dict[int, int] = {}  # offsets by partition: each review is taken once
        self._changed: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def needed(self) -> bool:
        """Whether any item has no words of its own."""
        return bool(self._wordless)

    def take_item(self, item_id: str, item: Item | None) -> None:
        """Note whether an item has words of its own; None for one that is withdrawn."""
        if item is None or item.title or item.description:
            self._wordless.pop(item_id, None)
            self._read.pop(item_id, None)
            self._queued.pop(item_id, None)
        elif len(self._wordless) < MOST_ITEMS:
            self._wordless[item_id] = text_hash(item_text(item))
            if (read := self._read.get(item_id)) is not None:
                read.published = 0  # the item's own text was encoded anew and stands there now
                self._changed[item_id] = None

    def take_review(self, record: Any) -> None:
        """Queue the words of a review of an item without words; others are passed over."""
        if record.offset < self._next.get(record.partition, 0):
            return
        self._next[record.partition] = record.offset + 1
        if not self._wordless:  # as in most catalogues: nothing here to read reviews for
            return
        try:
            events = parse_events(
                record.value,
                key=record.key,
                kind="review",
                source="review",
                headers=tuple(getattr(record, "headers", None) or ()),
                form=self._form,
            )
        except InvalidRecord:  # the recommender sends it to the dead letters
            return
        for event in events:
            if event.item_id in self._wordless and event.words:
                self._queue(event.item_id, event.words)

    def _queue(self, item_id: str, words: str) -> None:
        number = self._queued.get(item_id, 0)
        if number < MOST_OF_AN_ITEM and len(self._waiting) < MOST_WAITING:
            self._queued[item_id] = number + 1
            self._arrived += 1
            entry = (number, self._arrived, item_id, words[:MOST_CHARACTERS])
            heapq.heappush(self._waiting, entry)

    def encode(self, most: int, encoded: Callable[[Sequence[str]], NDArray[np.float32]]) -> int:
        """Take up to `most` reviews into the means; `encoded` maps texts to unit vectors, (n, d).

        Return how many were taken.
        """
        batch = [heapq.heappop(self._waiting) for _ in range(min(most, len(self._waiting)))]
        if batch:
            vectors = encoded([text for *_, text in batch])
            for (_, _, item_id, _), vector in zip(batch, vectors, strict=True):
                if item_id in self._wordless:
                    read = self._read.get(item_id)
                    if read is None:
                        read = self._read[item_id] = _Read(np.zeros(self._dimension, np.float32))
                    read.total += vector
                    read.count += 1
                    self._changed[item_id] = None
        return len(batch)

    def grown(self) -> Iterator[tuple[str, int, NDArray[np.float32]]]:
        """Yield (item, hash of its own text, mean vector) where reviews grew by a tenth."""
        changed, self._changed = self._changed, {}
        for item_id in changed:
            read = self._read.get(item_id)
            if read is not None and read.count >= read.published * GROWTH:
                read.published = read.count
                norm = float(np.linalg.norm(read.total))
                if norm > 0.0:
                    yield item_id, self._wordless[item_id], read.total / np.float32(norm)


MOST_ITEMS = 100_000
MOST_WAITING = 100_000
MOST_OF_AN_ITEM = 100
MOST_CHARACTERS = 600  # about the 96 tokens that the measurement used
GROWTH = 1.1
