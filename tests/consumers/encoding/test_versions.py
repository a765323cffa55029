"""What is read with the adapter that serves: reviews, and items that only reviews tell of."""

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from kafka import TopicPartition

from consumers.encoding.encoder import Encoder
from consumers.encoding.review_reader import ReviewReader
from consumers.encoding.review_vectors import ReviewVectors
from consumers.encoding.versions import Reading, Versions
from consumers.encoding.waiting import Waiting
from consumers.kafka_io.wire import decode_refinement, decode_vector, vector_key
from consumers.settings import Settings
from stream_rec.adapters.checkpoint import FORMAT, Checkpoint, Manifest, write_checkpoint
from stream_rec.adapters.life import AdapterVersion, LivePointer, encode_adapter, record_key
from stream_rec.items import text_hash
from stream_rec.language_model.adapter import adapter_arrays, attach_adapter
from stream_rec.language_model.backbone import Backbone
from stream_rec.language_model.encoding import encode, unit
from stream_rec.language_model.vector_cache import VectorCache, cache_fingerprint
from stream_rec.pseudonyms import PLAIN

VERSION = 3
WORDS = ("quiet fan", "loud guitar", "racing game")
ITEMS = ({"item_id": "bare"}, {"item_id": "titled", "title": "quiet monitor"})
SOON_S = 60.0


def bundle(causal: Backbone) -> Checkpoint:
    """An adapter that moves every text, and a catalogue of one item without words."""
    rng = np.random.default_rng(5)
    arrays = {
        name: rng.normal(scale=0.5, size=array.shape).astype(np.float32)
        for name, array in adapter_arrays(attach_adapter(causal, rank=2)).items()
    }
    manifest = Manifest(
        format=FORMAT, scenario="default", version=VERSION, text_version=VERSION,
        base_model=causal.name, base_model_hash=causal.model_hash, dimension=causal.dimension,
        items=1, offsets={}, metrics={}, policy={}, code_version="0", created_at=1,
    )  # fmt: skip
    nothing = np.zeros((1, causal.dimension), np.float16)
    hashes = np.array([text_hash("")], np.uint64)
    return Checkpoint(
        manifest=manifest, item_ids=("bare",), vectors=nothing, text=nothing, text_hash=hashes,
        adapter=arrays,
    )  # fmt: skip


def announced(causal: Backbone) -> list[AdapterVersion | LivePointer]:
    version = AdapterVersion(
        scenario="default", version=VERSION, text_version=VERSION, state="promoted",
        base_model_hash=causal.model_hash, method="proximal", created_at=1, changed_at=1,
    )  # fmt: skip
    return [
        version,
        LivePointer(scenario="default", version=VERSION, previous=0, changed_at=1, reason="test"),
    ]


@pytest.fixture
def settings(tmp_path: Path, causal: Backbone, causal_folder: Path) -> Settings:
    """Settings whose checkpoints hold the adapter."""
    made = Settings(data_dir=tmp_path, model=str(causal_folder), device="cpu", partitions=1)
    write_checkpoint(made.checkpoint_root, bundle(causal))
    return made


def frozen_reading(causal: Backbone, folder: Path) -> Reading:
    model = cache_fingerprint(causal.model_hash, causal.pooling, 0)
    reviews = ReviewVectors(causal.dimension)
    return Reading(
        version=0,
        model=model,
        backbone=causal,
        cache=VectorCache(folder, model, causal.dimension),
        waiting=Waiting(model, reviews),
        reviews=reviews,
    )


class Sent(list[tuple[str, Any]]):
    """A producer that keeps what it is given: topic, and what `send` was told."""

    def send(self, topic: str, **record: Any) -> None:
        self.append((topic, SimpleNamespace(**record)))

    def flush(self, timeout: float) -> None: ...


def review(offset: int, words: str, item_id: str = "bare") -> Any:
    now = time.time_ns() // 1_000_000
    record = {
        "event_id": f"e{offset}", "user_id": f"u{offset}", "item_id": item_id, "timestamp": now,
        "text": words,
    }  # fmt: skip
    return SimpleNamespace(
        key=f"u{offset}".encode(), value=json.dumps(record).encode(), headers=(),
        partition=0, offset=offset, timestamp=now,
    )  # fmt: skip


def mean_of(backbone: Backbone) -> Any:
    return unit(encode(backbone, WORDS).sum(0, keepdims=True))[0]


def test_reviews_are_read_with_the_adapter_that_serves(
    settings: Settings, causal: Backbone, tmp_path: Path
) -> None:
    encoder, producer = Encoder(settings), Sent()
    encoder.reader = ReviewReader(causal.dimension, PLAIN)
    frozen = frozen_reading(causal, tmp_path)
    versions = Versions(settings.checkpoint_root, tmp_path, causal)
    reviews = TopicPartition(encoder.topics.reviews, 0)

    def take(place: TopicPartition, *records: Any) -> None:
        encoder._take(place, list(records), frozen, versions, producer=producer)

    assert versions.serving("default") is None
    for record in announced(causal):
        made = SimpleNamespace(key=record_key(record), value=encode_adapter(record), offset=0)
        take(TopicPartition(encoder.topics.adapters, 0), made)
    assert versions.opened()
    serving = versions.serving("tv")
    assert serving is not None
    assert serving.version == VERSION
    assert (encode(serving.backbone, WORDS) * encode(causal, WORDS)).sum(1).max() < 0.9
    for item in ITEMS:
        body = json.dumps(item).encode()
        key = item["item_id"].encode()
        take(TopicPartition(encoder.topics.items, 0), SimpleNamespace(key=key, value=body))
    take(reviews, *(review(offset, words) for offset, words in enumerate(WORDS)))
    versions.set_live()
    while any(len(reading.waiting) or len(reading.reviews) for reading in (frozen, serving)):
        for reading in (frozen, serving):
            reading.waiting.next_batch(9)
        encoder._work(frozen, versions, producer)
    read = [decode_refinement(made.value) for topic, made in producer if "refinements" in topic]
    assert {made.text_version for made in read} == {VERSION}
    assert len(read) == len(WORDS)
    found = {made.key: decode_vector(made.value) for topic, made in producer if "vectors" in topic}
    for reading in (frozen, serving):
        of_item = found[vector_key(reading.version, "bare")]
        assert (of_item.model, of_item.text_hash) == (reading.model, text_hash(""))
        assert of_item.values == pytest.approx(mean_of(reading.backbone), abs=2e-3)
    encoder.watchdog.stop()
    versions.close()
    frozen.cache.close()
