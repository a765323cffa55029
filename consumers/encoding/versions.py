"""The adapters that texts are read with beside the frozen model: live ones and those in shadow.

    open     a version goes live or into shadow: its adapter is merged, its bundle says what is
             encoded, and the topics are read once more for the rest
    encode   what is not in the bundle, and reviews of items without words, which are in none,
             under `<text version>/<item>` on `internal.vectors`
    close    it neither serves nor is tried any more: its vectors get tombstones

A vector is only ever made by one adapter. Knows no users, and judges no adapter.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consumers.encoding.review_vectors import ReviewVectors
from consumers.encoding.waiting import Waiting
from consumers.kafka_io.wire import split_vector_key, vector_key
from consumers.training.announced import Announced
from stream_rec.adapters.checkpoint import Checkpoint, read_checkpoint
from stream_rec.adapters.life import AdapterVersion
from stream_rec.errors import CheckpointRejected, StateRejected
from stream_rec.language_model.adapter import merge_adapter
from stream_rec.language_model.backbone import Backbone
from stream_rec.language_model.stored_adapter import served_adapter
from stream_rec.language_model.vector_cache import VectorCache, cache_fingerprint, prune_caches


@dataclass(slots=True, kw_only=True)
class Reading:
    """One way of reading texts: the frozen model (version 0), or it with an adapter merged."""

    version: int
    model: str  # names the model's files, the pooling and the version
    backbone: Backbone
    cache: VectorCache
    waiting: Waiting
    reviews: ReviewVectors
    read_once: bool = False  # all reviews that stood in the log when it came into use


class Versions:
    """All readings but that of the frozen model; used by the encoder's loop."""

    def __init__(self, root: str, folder: Path, backbone: Backbone, *, form: str = "auto") -> None:
        """Open none yet; `form` is the dialect of events, as `ReviewVectors` takes it."""
        self._root = root
        self._form = form
        self._folder = folder
        self._backbone = backbone
        self._announced = Announced()
        self._changed = False
        self._refused: dict[tuple[int, int], float] = {}  # text version, version: try again when
        self._written: dict[int, set[str]] = {}  # what stands on the topic of vectors
        self.readings: dict[int, Reading] = {}

    def take_adapter(self, record: Any) -> None:
        """Apply one record of the `adapters` topic."""
        self._announced.take(record)
        self._changed = True

    def take_item(self, record: Any) -> Iterator[bytes]:
        """Apply one record of the catalogue; yield keys of vectors to withdraw."""
        for reading in self.readings.values():
            reading.waiting.take_item(record)
        if record.value is None:
            item_id = (record.key or b"").decode("utf-8", "replace")
            for version, items in self._written.items():
                if item_id in items:
                    yield vector_key(version, item_id)

    def take_review(self, record: Any) -> None:
        """Queue a review for every version that has not had it."""
        for reading in self.readings.values():
            reading.reviews.take_review(record)

    def take_vector(self, record: Any) -> None:
        """Apply one record of the vectors, of whatever version."""
        try:
            version, item_id = split_vector_key(record.key or b"")
        except StateRejected:
            return
        if version == 0:
            return
        items = self._written.setdefault(version, set())
        items.discard(item_id) if record.value is None else items.add(item_id)
        if (reading := self.readings.get(version)) is not None:
            reading.waiting.take_vector(record, version)

    def opened(self) -> bool:
        """Open what came into use; True when something did: the topics must be read once more.

        Call when the `adapters` topic has been read as far as it goes.
        """
        now = time.monotonic()
        if not self._changed and not any(now > due for due in self._refused.values()):
            return False
        self._changed = False
        used = self._announced.read_by()
        self._refused = {
            key: due for key, due in self._refused.items() if key[0] in used and now <= due
        }
        opened = False
        for version, record in used.items():
            if version not in self.readings and (version, record.version) not in self._refused:
                opened |= self._open(version, record)
        return opened

    def closed(self) -> Iterator[bytes]:
        """Close what came out of use; yield the keys of its vectors."""
        used = self._announced.read_by()
        for version in [v for v in self.readings if v not in used]:
            self.readings.pop(version).cache.close()
            LOG.info("texts are no longer read with adapter %d", version)
            prune_caches(self._folder, CACHES_KEPT)
        for version in [v for v in self._written if v not in used]:
            for item_id in sorted(self._written.pop(version)):
                yield vector_key(version, item_id)

    def next_reading(self, *, recent: bool) -> Reading | None:
        """Return a reading with items that wait, recent ones or any."""
        for reading in self.readings.values():
            if reading.waiting.recent if recent else len(reading.waiting):
                return reading
        return None

    def serving(self, scenario: str) -> Reading | None:
        """Return how the adapter that serves a scenario reads; None: as the frozen model does."""
        live = self._announced.serving(scenario)
        return None if live is None else self.readings.get(live.text_version)

    def set_live(self) -> None:
        """Say that the topics have been read: what comes from now on is new."""
        for reading in self.readings.values():
            if not reading.waiting.live:
                reading.waiting.live = True
                LOG.info(
                    "%d items to encode with adapter %d", len(reading.waiting), reading.version
                )

    def close(self) -> None:
        """Let go of the caches."""
        for reading in self.readings.values():
            reading.cache.close()

    def _open(self, version: int, record: AdapterVersion) -> bool:
        try:
            bundle = read_checkpoint(
                self._root,
                record.scenario,
                record.version,
                base_model_hash=self._backbone.model_hash,
            )
            merged = merge_adapter(self._backbone, served_adapter(bundle))
        except CheckpointRejected as error:
            # The recommender refuses it as well; what serves goes on.
            LOG.error("no text is read with adapter %d: %s", version, error)
            self._refused[version, record.version] = time.monotonic() + AGAIN_S
            return False
        model = cache_fingerprint(self._backbone.model_hash, self._backbone.pooling, version)
        reviews = ReviewVectors(self._backbone.dimension, form=self._form)
        self.readings[version] = Reading(
            version=version,
            model=model,
            backbone=merged,
            cache=VectorCache(self._folder, model, self._backbone.dimension),
            waiting=Waiting(model, reviews, _done(bundle)),
            reviews=reviews,
        )
        LOG.info("texts are read with adapter %d too: %s %s", version, record.kind, record.state)
        return True


def _done(bundle: Checkpoint) -> dict[str, int]:
    return dict(zip(bundle.item_ids, bundle.text_hash.tolist(), strict=True))


LOG = logging.getLogger(__name__)
CACHES_KEPT = 4
AGAIN_S = 30.0
