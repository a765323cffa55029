"""Which items need a vector of one version: a queue of texts, those that came lately first.

Knows the items, what is encoded already and by which model; encodes nothing.
"""

import logging
from collections.abc import Mapping
from typing import Any

from consumers.encoding.review_vectors import ReviewVectors
from consumers.kafka_io.wire import decode_vector, split_vector_key
from stream_rec.errors import InvalidRecord, StateRejected
from stream_rec.items import item_text, parse_item, text_hash


class Waiting:
    """Which items need a vector: texts by item, those that came lately apart."""

    def __init__(
        self, model: str, reviews: ReviewVectors, done: Mapping[str, int] | None = None
    ) -> None:
        """Start from `done`: item -> hash of the text that has a vector elsewhere already."""
        self._model = model
        self._reviews = reviews
        self._done = dict(done or {})  # item -> hash of the text that has a vector
        self._recent: dict[str, str] = {}
        self._backlog: dict[str, str] = {}
        self.live = False

    def __len__(self) -> int:
        return len(self._recent) + len(self._backlog)

    @property
    def recent(self) -> bool:
        """Whether items wait that came lately."""
        return bool(self._recent)

    def take_item(self, record: Any) -> bool:
        """Note an item's newest text; True when its vector must be withdrawn."""
        item_id = (record.key or b"").decode("utf-8", "replace")
        if record.value is None:
            self._recent.pop(item_id, None)
            self._backlog.pop(item_id, None)
            self._reviews.take_item(item_id, None)
            return self._done.pop(item_id, None) is not None
        try:
            item = parse_item(record.value, key=record.key)
        except InvalidRecord:  # the recommender sends it to the dead letters
            return False
        self._reviews.take_item(item_id, item)
        text = item_text(item)
        self._recent.pop(item_id, None)
        self._backlog.pop(item_id, None)
        if self._done.get(item_id) != text_hash(text):
            (self._recent if self.live else self._backlog)[item_id] = text
        return False

    def take_vector(self, record: Any, version: int) -> None:
        """Note that an item has a vector of this version and model."""
        try:
            of_version, item_id = split_vector_key(record.key or b"")
            if of_version != version:
                return
            if record.value is None:
                self._done.pop(item_id, None)
                return
            stored = decode_vector(record.value)
        except StateRejected as error:
            LOG.warning("vector at offset %d is skipped: %s", record.offset, error)
            return
        if stored.model != self._model:
            self._done.pop(item_id, None)
            return
        self._done[item_id] = stored.text_hash
        for queue in (self._recent, self._backlog):
            if item_id in queue and text_hash(queue[item_id]) == stored.text_hash:
                del queue[item_id]

    def next_batch(self, most: int) -> dict[str, str]:
        """Take up to `most` items: recent ones alone while there are any, to be ready soon."""
        queue = self._recent or self._backlog
        chosen = dict(list(queue.items())[:most]) if len(queue) > most else dict(queue)
        for item_id, text in chosen.items():
            del queue[item_id]
            self._done[item_id] = text_hash(text)
        return chosen


LOG = logging.getLogger(__name__)
