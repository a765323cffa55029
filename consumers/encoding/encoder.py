"""The encoder: item texts in, vectors out, on `internal.vectors`.

    read     the newest version of each item, and what is encoded already (text hash, model)
    encode   what is missing: items that came after the start first, then the backlog, in batches;
             then reviews of items that have no words of their own
    write    idempotently; a crash encodes at most one batch twice, to the same vectors

If it is down or slow, events still flow and items wait for their text expert only. Knows no user.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from kafka import KafkaProducer, TopicPartition
from numpy.typing import NDArray

from consumers.encoding.review_vectors import ReviewVectors
from consumers.kafka_io.access import check_rights, refusals_told
from consumers.kafka_io.clients import admin, plain_consumer, plain_producer
from consumers.kafka_io.topics import Topics, ensure_topics
from consumers.kafka_io.wire import decode_vector, encode_vector, split_vector_key, vector_key
from consumers.processes.watchdog import Watchdog, exit_for_restart
from consumers.settings import HEARTBEAT_FILE, Settings
from consumers.telemetry.health import Answer, Health
from consumers.telemetry.metrics import EncoderMetrics
from stream_rec.errors import (
    AccessDenied,
    ConfigurationError,
    InvalidRecord,
    ModelUnavailable,
    StateRejected,
)
from stream_rec.items import item_text, parse_item, text_hash
from stream_rec.language_model.backbone import Backbone, load_backbone
from stream_rec.language_model.encoding import encode
from stream_rec.language_model.vector_cache import VectorCache, cache_fingerprint


class Waiting:
    """Which items need a vector: texts by item, those that came lately apart."""

    def __init__(self, model: str, reviews: ReviewVectors) -> None:
        self._model = model
        self._reviews = reviews
        self._done: dict[str, int] = {}  # item -> hash of the text that has a vector
        self._recent: dict[str, str] = {}
        self._backlog: dict[str, str] = {}
        self.live = False

    def __len__(self) -> int:
        return len(self._recent) + len(self._backlog)

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


class Encoder:
    """One encoder; made, then `run` once."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.topics = Topics(settings.prefix)
        self.stopping = threading.Event()
        self.watchdog = Watchdog(tick_s=60.0)
        self.metrics = EncoderMetrics()
        self.health = Health(
            self.metrics.registry, ready=self.readiness, alive=lambda: self.watchdog.in_time
        )
        self.loaded = False
        self.read_once = False  # all reviews that stood in the log at the start
        self.unread: Mapping[TopicPartition, int] = {}
        self.version = 0  # the frozen model; adapters have versions of their own

    def run(self) -> None:
        """Encode until `stopping` is set.

        Raises:
            ModelUnavailable: the model cannot be loaded.
            ConfigurationError: the topics do not fit together.
        """
        address = self.health.start(self.settings)
        LOG.info("encoder: http on %s", address)
        client = admin(self.settings)
        check_rights(client, "encoder", self.settings)
        ensure_topics(
            client,
            self.topics,
            partitions=self.settings.partitions,
            replication_factor=self.settings.replication_factor,
        )
        client.close()
        with self.watchdog.within(LOAD_S, "loading the model"):
            name = self.settings.model
            backbone = load_backbone(
                None if name in PACKAGED else name,
                device=self.settings.device,  # type: ignore[arg-type]
            )
        model = cache_fingerprint(backbone.model_hash, backbone.pooling, self.version)
        folder = self.settings.folder("encoder") / "vectors"
        with VectorCache(folder, model, backbone.dimension) as cache:
            self._serve(backbone, cache, model)
        self.health.stop()
        self.watchdog.stop()
        LOG.info("encoder ended")

    def readiness(self) -> Answer:
        """Say what readiness rests on."""
        return {"loaded": self.loaded}

    def _serve(self, backbone: Backbone, cache: VectorCache, model: str) -> None:
        consumer, producer = plain_consumer(self.settings), plain_producer(self.settings)
        reviews = ReviewVectors(backbone.dimension)
        waiting, told = Waiting(model, reviews), 0.0
        ends = self._assign(consumer)
        while not self.stopping.is_set():
            self.watchdog.tick()
            busy = bool(waiting) and waiting.live
            wait = 0 if busy or len(reviews) else 50
            for place, records in consumer.poll(wait, max_records=2_000).items():
                if place.topic == self.topics.reviews:
                    for record in records:
                        reviews.take_review(record)
                else:
                    self._take(place, records, waiting, producer)
            ends = _behind(consumer, ends)
            if not waiting.live and not ends:
                waiting.live = self.loaded = True
                self.metrics.ready.set(1)
                # Events flow without vectors: an encoder that loads is worth starting again.
                (self.settings.folder("encoder") / HEARTBEAT_FILE).touch()
                consumer.resume(*self.unread)
                LOG.info("items read; %d to encode with %s", len(waiting), backbone.name)
            if waiting.live and (batch := waiting.next_batch(MOST_TEXTS)):
                self._encode(batch, backbone, cache, producer=producer, model=model)
                if len(waiting) and time.monotonic() - told > TELL_EVERY_S:
                    told = time.monotonic()
                    LOG.info("%d items to encode", len(waiting))
            elif waiting.live:
                self.unread = {
                    p: end for p, end in self.unread.items() if consumer.position(p) < end
                }
                self._read_reviews(reviews, backbone, cache, producer=producer, model=model)
            self.metrics.waiting.set(len(waiting))
        with self.watchdog.within(CLOSE_S, "closing"):
            producer.close(timeout=5)
            consumer.close(autocommit=False)

    def _assign(self, consumer: Any) -> Mapping[TopicPartition, int]:
        numbers = sorted(consumer.partitions_for_topic(self.topics.items) or {0})
        places = [TopicPartition(self.topics.items, number) for number in numbers]
        places.append(TopicPartition(self.topics.vectors, 0))
        numbers = sorted(consumer.partitions_for_topic(self.topics.reviews) or {0})
        reviews = [TopicPartition(self.topics.reviews, number) for number in numbers]
        consumer.assign(places + reviews)
        begin = consumer.beginning_offsets(places + reviews)
        for place in places + reviews:
            consumer.seek(place, begin[place])
        consumer.pause(*reviews)  # which items have no words of their own must be known first
        self.unread = consumer.end_offsets(reviews)
        ends: Mapping[TopicPartition, int] = consumer.end_offsets(places)
        return ends

    def _take(
        self, place: TopicPartition, records: list[Any], waiting: Waiting, producer: KafkaProducer
    ) -> None:
        for record in records:
            if place.topic == self.topics.vectors:
                waiting.take_vector(record, self.version)
            elif waiting.take_item(record):
                item_id = record.key.decode("utf-8", "replace")
                key = vector_key(self.version, item_id)
                producer.send(self.topics.vectors, key=key, value=None, partition=0)

    def _read_reviews(
        self,
        reviews: ReviewVectors,
        backbone: Backbone,
        cache: VectorCache,
        *,
        producer: KafkaProducer,
        model: str,
    ) -> None:
        """Read a few waiting reviews, and write the means that have grown.

        Not before the log of reviews has been read as far as it went at the start: a restart must
        not replace a mean of many reviews by one of the first few.
        """

        def encoded(texts: Sequence[str]) -> NDArray[np.float32]:
            return cache.fill(
                texts, lambda missing: encode(backbone, missing, max_tokens=REVIEW_TOKENS)
            )

        taken = reviews.encode(MOST_REVIEWS, encoded)
        self.metrics.encoded.labels("review").inc(taken)
        self.read_once = self.read_once or (not self.unread and len(reviews) == 0)
        if self.read_once:
            for item_id, hashed, vector in reviews.grown():
                key = vector_key(self.version, item_id)
                value = encode_vector(model, hashed, vector)
                producer.send(self.topics.vectors, key=key, value=value, partition=0)

    def _encode(
        self,
        batch: Mapping[str, str],
        backbone: Backbone,
        cache: VectorCache,
        *,
        producer: KafkaProducer,
        model: str,
    ) -> None:
        started = time.monotonic()
        texts = [text for text in batch.values() if text]

        def encoded(missing: list[str]) -> NDArray[np.float32]:
            return encode(backbone, missing, progress=lambda *_: self.watchdog.tick("encoding"))

        found = dict(zip(texts, cache.fill(texts, encoded), strict=True)) if texts else {}
        sent = []
        for item_id, text in batch.items():
            value = encode_vector(model, text_hash(text), found.get(text))
            key = vector_key(self.version, item_id)
            sent.append(producer.send(self.topics.vectors, key=key, value=value, partition=0))
        for future in sent:
            future.get(timeout=SEND_S)
        self.metrics.encoded.labels("text").inc(len(texts))
        self.metrics.encoded.labels("textless").inc(len(batch) - len(texts))
        self.metrics.seconds.observe(time.monotonic() - started)


def _behind(consumer: Any, ends: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
    return {place: end for place, end in ends.items() if consumer.position(place) < end}


def run_encoder(settings: Settings) -> None:
    """Run the encoder until SIGTERM or SIGINT; any unexpected error ends the process with 75.

    It gives way to the recommenders: encoding must never delay an event.

    Raises:
        ModelUnavailable: the model cannot be loaded.
        ConfigurationError: the operator must change something.
        AccessDenied: the operator must grant something.
    """
    try:
        os.nice(NICENESS)
        encoder = Encoder(settings)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: encoder.stopping.set())
        with refusals_told(settings, "encoder"):
            encoder.run()
    except (AccessDenied, ConfigurationError, ModelUnavailable):
        raise
    except Exception as error:
        exit_for_restart("the encoder failed", error)


LOG = logging.getLogger(__name__)
PACKAGED = frozenset({"", "minilm", "all-MiniLM-L6-v2"})
NICENESS = 10
MOST_TEXTS = 128
MOST_REVIEWS, REVIEW_TOKENS = 16, 96
LOAD_S = 600.0
SEND_S = 40.0
CLOSE_S = 10.0
TELL_EVERY_S = 5.0
