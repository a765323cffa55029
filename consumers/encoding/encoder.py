"""The encoder: item texts in, vectors out, on `internal.vectors`.

    read     the newest version of each item, what is encoded already (text hash, model), and which
             adapters are in use
    encode   what is missing: items that came after the start first, then the backlog, in batches;
             then a few new reviews, and reviews of items that have no words of their own: with
             every adapter in use, since vectors of two never share a table
    write    idempotently; a crash encodes at most one batch twice, to the same vectors

If it is down or slow, events still flow, items wait for their text expert and reviews count as the
recommender's own quick judge read them.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from kafka import KafkaProducer, TopicPartition
from numpy.typing import NDArray

from consumers.encoding.review_reader import Eyes, ReviewReader
from consumers.encoding.review_vectors import ReviewVectors
from consumers.encoding.versions import Reading, Versions
from consumers.encoding.waiting import Waiting
from consumers.kafka_io.access import check_rights, refusals_told
from consumers.kafka_io.clients import admin, plain_consumer, plain_producer
from consumers.kafka_io.topics import Topics, ensure_topics, topic_ids
from consumers.kafka_io.wire import encode_vector, vector_key
from consumers.processes.watchdog import Watchdog, exit_for_restart
from consumers.settings import HEARTBEAT_FILE, Settings, model_path
from consumers.telemetry.health import Answer, Health
from consumers.telemetry.metrics import EncoderMetrics
from stream_rec.errors import (
    AccessDenied,
    ConfigurationError,
    ModelUnavailable,
    NewerFormat,
)
from stream_rec.items import text_hash
from stream_rec.language_model.backbone import load_backbone
from stream_rec.language_model.encoding import encode
from stream_rec.language_model.vector_cache import VectorCache, cache_fingerprint


class Encoder:
    """One encoder; made, then `run` once."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.topics = Topics(settings.prefix)
        self.stopping = threading.Event()
        self.watchdog = Watchdog(tick_s=60.0, still_s=600.0)
        self.metrics = EncoderMetrics()
        self.health = Health(
            self.metrics.registry, ready=self.readiness, alive=lambda: self.watchdog.in_time
        )
        self.loaded = False
        self.unread: Mapping[TopicPartition, int] = {}
        self._told = 0.0
        self._saved = 0.0
        self.reader: ReviewReader

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
        topic_id = topic_ids(client, (self.topics.reviews,))[self.topics.reviews]
        client.close()
        with self.watchdog.within(LOAD_S, "loading the model"):
            backbone = load_backbone(
                model_path(self.settings.model),
                device=self.settings.device,  # type: ignore[arg-type]
            )
        model = cache_fingerprint(backbone.model_hash, backbone.pooling, FROZEN)
        folder = self.settings.folder("encoder") / "vectors"
        form = self.settings.format
        reviews = ReviewVectors(backbone.dimension, form=form)
        self.reader = ReviewReader(backbone.dimension, self.settings.names(), form=form)
        self.reader.restore(self.settings.folder("encoder") / STATE_FILE, topic_id)
        with VectorCache(folder, model, backbone.dimension) as cache:
            frozen = Reading(
                version=FROZEN,
                model=model,
                backbone=backbone,
                cache=cache,
                waiting=Waiting(model, reviews),
                reviews=reviews,
            )
            versions = Versions(self.settings.checkpoint_root, folder, backbone, form=form)
            self._serve(frozen, versions)
            versions.close()
        self.health.stop()
        self.watchdog.stop()
        LOG.info("encoder ended")

    def readiness(self) -> Answer:
        """Say what readiness rests on."""
        return {"loaded": self.loaded}

    def _serve(self, frozen: Reading, versions: Versions) -> None:
        consumer, producer = plain_consumer(self.settings), plain_producer(self.settings)
        ends, waiting = self._assign(consumer), frozen.waiting
        while not self.stopping.is_set():
            self.watchdog.tick()
            readings = (frozen, *versions.readings.values())
            busy = len(self.reader) > 0 or any(
                len(reading.reviews) or (waiting.live and len(reading.waiting))
                for reading in readings
            )
            for place, records in consumer.poll(0 if busy else 50, max_records=2_000).items():
                self._take(place, records, frozen, versions, producer=producer)
            if not (ends := _behind(consumer, ends)):
                if not waiting.live:
                    self._ready(frozen)
                self._withdraw(versions.closed(), producer)
                if versions.opened():  # what it has to encode is known once all is read again
                    ends = self._again(consumer, with_reviews=frozen.reviews.needed)
                else:
                    versions.set_live()
                    consumer.resume(*consumer.paused())
            if waiting.live:
                self._work(frozen, versions, producer)
                self.unread = _behind(consumer, self.unread)
            self.metrics.waiting.set(
                len(waiting) + sum(len(r.waiting) for r in versions.readings.values())
            )
        with self.watchdog.within(CLOSE_S, "closing"):
            self._save_reader(producer, now=True)
            producer.close(timeout=5)
            consumer.close(autocommit=False)

    def _ready(self, frozen: Reading) -> None:
        frozen.waiting.live = self.loaded = True
        self.metrics.ready.set(1)
        # Events flow without vectors: an encoder that loads is worth starting again.
        (self.settings.folder("encoder") / HEARTBEAT_FILE).touch()
        LOG.info("items read; %d to encode with %s", len(frozen.waiting), frozen.backbone.name)

    def _work(self, frozen: Reading, versions: Versions, producer: KafkaProducer) -> None:
        """Encode one batch: what came lately, then the backlogs, then a few reviews."""
        reading = frozen if frozen.waiting.recent else versions.next_reading(recent=True)
        if reading is None:
            reading = frozen if len(frozen.waiting) else versions.next_reading(recent=False)
        if reading is None:
            self._refine(frozen, versions, producer)
            for reading in (frozen, *versions.readings.values()):
                if self._read_reviews(reading, producer):
                    break  # one batch, or a new item would wait for as many as there are adapters
            return
        self._encode(reading.waiting.next_batch(MOST_TEXTS), reading, producer)
        if len(reading.waiting) and time.monotonic() - self._told > TELL_EVERY_S:
            self._told = time.monotonic()
            LOG.info("%d items to encode", len(reading.waiting))

    def _assign(self, consumer: Any) -> Mapping[TopicPartition, int]:
        places = self._compacted(consumer)
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

    def _compacted(self, consumer: Any) -> list[TopicPartition]:
        numbers = sorted(consumer.partitions_for_topic(self.topics.items) or {0})
        places = [TopicPartition(self.topics.items, number) for number in numbers]
        return [
            *places,
            *(TopicPartition(t, 0) for t in (self.topics.vectors, self.topics.adapters)),
            TopicPartition(self.topics.accepted_policies, 0),
        ]

    def _again(self, consumer: Any, *, with_reviews: bool) -> Mapping[TopicPartition, int]:
        """Go back to the beginning of items, vectors and perhaps reviews.

        Return the ends of items and vectors; reviews wait until those are read.
        """
        again = {self.topics.items, self.topics.vectors}
        places = [p for p in self._compacted(consumer) if p.topic in again]
        reviews = [p for p in consumer.assignment() if p.topic == self.topics.reviews]
        consumer.pause(*reviews)
        if with_reviews:
            self.unread = consumer.end_offsets(reviews)
        back = places + reviews if with_reviews else places
        for place, offset in consumer.beginning_offsets(back).items():
            consumer.seek(place, offset)
        ends: Mapping[TopicPartition, int] = consumer.end_offsets(places)
        return ends

    def _take(
        self,
        place: TopicPartition,
        records: list[Any],
        frozen: Reading,
        versions: Versions,
        *,
        producer: KafkaProducer,
    ) -> None:
        for record in records:
            if place.topic == self.topics.reviews:
                frozen.reviews.take_review(record)
                versions.take_review(record)
                self.reader.take_review(place, record)
            elif place.topic == self.topics.adapters:
                versions.take_adapter(record)
            elif place.topic == self.topics.accepted_policies:
                self.reader.take_policy(record)
            elif place.topic == self.topics.vectors:
                frozen.waiting.take_vector(record, FROZEN)
                versions.take_vector(record)
            else:
                self.reader.vocabulary.take_item(record)
                self._withdraw(versions.take_item(record), producer)
                if frozen.waiting.take_item(record):
                    item_id = record.key.decode("utf-8", "replace")
                    self._withdraw([vector_key(FROZEN, item_id)], producer)

    def _withdraw(self, keys: Iterable[bytes], producer: KafkaProducer) -> None:
        for key in keys:
            producer.send(self.topics.vectors, key=key, value=None, partition=0)

    def _refine(self, frozen: Reading, versions: Versions, producer: KafkaProducer) -> None:
        """Read a few of the newest reviews with the adapters that serve, and say what they say."""
        if not len(self.reader):
            return

        def eyes(scenario: str) -> Eyes:
            reading = versions.serving(scenario) or frozen

            def encoded(texts: Sequence[str]) -> NDArray[np.float32]:
                return encode(reading.backbone, texts, max_tokens=REVIEW_TOKENS)

            return Eyes(version=reading.version, encoded=encoded)

        passed, count = self.reader.passed_over, 0
        for made in self.reader.read(MOST_REFINED, eyes, time.time_ns() // 1_000_000):
            producer.send(
                self.topics.refinements, key=made.key, value=made.value, partition=made.partition
            )
            count += 1
        self.metrics.encoded.labels("refinement").inc(count)
        self.metrics.encoded.labels("review passed over").inc(self.reader.passed_over - passed)
        self._save_reader(producer)

    def _save_reader(self, producer: KafkaProducer, *, now: bool = False) -> None:
        """Write down how far reviews are read; never beyond what the broker has."""
        if now or time.monotonic() - self._saved > SAVE_EVERY_S:
            producer.flush(timeout=SEND_S if not now else 5)
            self._saved = time.monotonic()
            self.reader.save(self.settings.folder("encoder") / STATE_FILE)

    def _read_reviews(self, reading: Reading, producer: KafkaProducer) -> int:
        """Read a few waiting reviews, and write the means that have grown; return how many.

        Not before the log of reviews has been read as far as it went at the start: a restart must
        not replace a mean of many reviews by one of the first few.
        """

        def encoded(texts: Sequence[str]) -> NDArray[np.float32]:
            return reading.cache.fill(
                texts, lambda missing: encode(reading.backbone, missing, max_tokens=REVIEW_TOKENS)
            )

        taken = reading.reviews.encode(MOST_REVIEWS, encoded)
        self.metrics.encoded.labels("review").inc(taken)
        reading.read_once |= not self.unread and len(reading.reviews) == 0
        if reading.read_once:
            for item_id, hashed, vector in reading.reviews.grown():
                key = vector_key(reading.version, item_id)
                value = encode_vector(reading.model, hashed, vector)
                producer.send(self.topics.vectors, key=key, value=value, partition=0)
        return taken

    def _encode(self, batch: Mapping[str, str], reading: Reading, producer: KafkaProducer) -> None:
        started = time.monotonic()
        texts = [text for text in batch.values() if text]

        def encoded(missing: list[str]) -> NDArray[np.float32]:
            return encode(
                reading.backbone, missing, progress=lambda *_: self.watchdog.tick("encoding")
            )

        found = dict(zip(texts, reading.cache.fill(texts, encoded), strict=True)) if texts else {}
        sent = []
        for item_id, text in batch.items():
            value = encode_vector(reading.model, text_hash(text), found.get(text))
            key = vector_key(reading.version, item_id)
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
    except (AccessDenied, ConfigurationError, ModelUnavailable, NewerFormat):
        raise
    except Exception as error:
        exit_for_restart("the encoder failed", error)


LOG = logging.getLogger(__name__)
FROZEN = 0  # the version of the model without an adapter
NICENESS = 5  # the trainer gives way to it in turn
MOST_TEXTS = 128
MOST_REVIEWS, REVIEW_TOKENS = 32, 96
MOST_REFINED = 16
STATE_FILE = "reviews.state"
SAVE_EVERY_S = 10.0
LOAD_S = 600.0
SEND_S = 40.0
CLOSE_S = 10.0
TELL_EVERY_S = 5.0
