"""An encoder on a real broker: an adapter that comes into use later has read all reviews too."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from consumers.encoding.encoder import Encoder
from consumers.kafka_io.clients import plain_producer
from consumers.kafka_io.topics import Topics
from consumers.kafka_io.wire import decode_vector, vector_key
from consumers.processes.embedded_broker import EmbeddedBroker
from consumers.settings import Settings
from stream_rec.adapters.life import encode_adapter, record_key
from stream_rec.language_model.backbone import Backbone
from tests.consumers.encoding.test_versions import (
    ITEMS,
    VERSION,
    WORDS,
    announced,
    bundle,
    mean_of,
    review,
    settings,
)
from tests.consumers.training.learning import read_all
from tests.language_model.serving_encoder import ServingEncoder

__all__ = ["settings"]
SOON_S = 60.0


def wait(found: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + SOON_S
    while not found():
        assert time.monotonic() < until, what
        time.sleep(0.1)


def test_adapter_that_comes_later_reads_what_was_said_before(
    broker: EmbeddedBroker, prefix: str, settings: Settings, causal: Backbone
) -> None:
    settings = replace(settings, bootstrap_servers=broker.bootstrap_servers, prefix=prefix)
    topics, encoder = Topics(prefix), Encoder(settings)
    thread = threading.Thread(target=encoder.run, name="encoder", daemon=True)
    thread.start()
    wait(lambda: encoder.loaded, "the encoder is not ready")
    producer = plain_producer(settings)
    for item in ITEMS:
        producer.send(topics.items, key=item["item_id"].encode(), value=json.dumps(item).encode())
    producer.flush()

    def stands_at(version: int, backbone: Backbone) -> Callable[[], bool]:
        def holds() -> bool:
            records = {record.key: record.value for record in read_all(settings, topics.vectors)}
            value = records.get(vector_key(version, "bare"))
            values = None if value is None else decode_vector(value).values
            return values is not None and np.allclose(values, mean_of(backbone), atol=2e-3)

        return holds

    wait(lambda: len(read_all(settings, topics.vectors)) == len(ITEMS), "items are not encoded")
    for said in (review(number, words) for number, words in enumerate(WORDS)):
        producer.send(topics.reviews, key=said.key, value=said.value)
    producer.flush()
    wait(stands_at(0, causal), "reviews do not place the item")
    for record in announced(causal):
        producer.send(topics.adapters, key=record_key(record), value=encode_adapter(record))
    producer.flush()
    adapted = ServingEncoder(causal, bundle(causal)).backbone
    wait(stands_at(VERSION, adapted), "the adapter has not read what was said before")
    assert stands_at(0, causal)(), "what the frozen model read is lost"
    encoder.stopping.set()
    thread.join(20)
    producer.close(timeout=5)
    assert not thread.is_alive()
