"""The trainer: feedback in, adapters out, beside the events and never in their way.

    read       events, erasures, items, vectors, policies, `adapters` and the lists, each partition
    remember   feedback in bounded buffers, in one file with the offsets read up to
    learn      when a round is due, on a thread of its own: see `due` and `rounds`
    announce   what the offline gate let pass or refused, on `adapters`

It gives way to everything else on the machine. Loss of it, or of what it remembers, costs quality
for a while and never correctness. One trainer a prefix. Knows no lists.
"""

import fcntl
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from consumers.kafka_io.access import check_rights, refusals_told
from consumers.kafka_io.clients import admin, plain_consumer
from consumers.kafka_io.policy_history import is_history
from consumers.kafka_io.topics import Topics, ensure_topics, topic_ids
from consumers.kafka_io.wire import decode_accepted_policy
from consumers.processes.watchdog import Watchdog, exit_for_restart
from consumers.settings import HEARTBEAT_FILE, Settings
from consumers.telemetry.health import Answer, Health
from consumers.telemetry.trainer_metrics import TrainerMetrics
from consumers.training.announced import Announced
from consumers.training.company import company_of, follow_first, join, leave
from consumers.training.listening import Listener
from consumers.training.memory import Memory, read_memory
from consumers.training.school import Materials, School
from consumers.training.texts import ItemTexts
from stream_rec.errors import (
    AccessDenied,
    ConfigurationError,
    InvalidRecord,
    ModelUnavailable,
    NewerFormat,
    StateRejected,
)
from stream_rec.events import Kind
from stream_rec.policy import Policies


class Trainer:
    """One trainer; made, then `run` once."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.topics = Topics(settings.prefix)
        self.stopping = threading.Event()
        self.watchdog = Watchdog(tick_s=60.0, still_s=600.0)
        self.metrics = TrainerMetrics()
        self.health = Health(
            self.metrics.registry, ready=self.readiness, alive=lambda: self.watchdog.in_time
        )
        self.at_hand = Materials(
            settings=settings,
            watchdog=self.watchdog,
            metrics=self.metrics,
            stopping=self.stopping,
            memory=Memory(),
            texts=ItemTexts(),
            policies=Policies(),
            announced=Announced(),
            save=self.save,
        )
        self.school = School(self.at_hand)
        self.listener = Listener(settings, self.metrics)
        self.assigned = False
        self.caught_up = False
        self._file = settings.folder("trainer") / "memory"
        self._ids: dict[str, str] = {}
        self._ends: Mapping[TopicPartition, int] = {}
        self._saved = 0.0
        self._unsaved = 0

    def run(self) -> None:
        """Learn until `stopping` is set.

        Raises:
            ConfigurationError: another trainer uses the folder, or the topics do not fit together.
            ModelUnavailable: the model cannot be loaded.
        """
        address = self.health.start(self.settings)
        LOG.info("trainer: http on %s", address)
        with _alone(self.settings.folder("trainer")):
            consumer = self._started()
            try:
                while not self.stopping.is_set():
                    self.watchdog.tick()
                    self._turn(consumer)
            finally:
                self.school.stop(STOP_S)
            with self.watchdog.within(CLOSE_S, "closing"):
                self.save()
                consumer.close(autocommit=False)
        self.health.stop()
        self.watchdog.stop()
        LOG.info("trainer ended")

    def readiness(self) -> Answer:
        """Say what readiness rests on."""
        return {"assigned": self.assigned, "caught_up": str(self.caught_up)}

    def save(self) -> None:
        """Make what is remembered durable, with where reading goes on."""
        self.at_hand.memory.save(self._file, self._ids)
        self._saved, self._unsaved = time.monotonic(), 0

    def _started(self) -> KafkaConsumer:
        with self.watchdog.within(START_S, "starting"):
            client = admin(self.settings)
            check_rights(client, "trainer", self.settings)
            ensure_topics(
                client,
                self.topics,
                partitions=self.settings.partitions,
                replication_factor=self.settings.replication_factor,
            )
            self._ids = topic_ids(client, self._event_topics)
            client.close()
            self.at_hand.memory = self._remembered()
            consumer = plain_consumer(self.settings)
            self._assign(consumer)
        self.assigned = True
        self.metrics.ready.set(1)
        return consumer

    @property
    def _event_topics(self) -> tuple[str, ...]:
        return (self.topics.clicks, self.topics.reviews, self.topics.erasures)

    def _remembered(self) -> Memory:
        try:
            memory = read_memory(self._file, self._ids)
        except StateRejected as error:
            LOG.warning("%s; reading the log again", error)
            memory = None
        if memory is not None:
            LOG.info("going on with %d events remembered", len(memory))
        return memory or Memory()

    def _assign(self, consumer: KafkaConsumer) -> None:
        topics = (*self._event_topics, *self._takers)
        places = [
            TopicPartition(topic, number)
            for topic in dict.fromkeys(topics)
            for number in sorted(consumer.partitions_for_topic(topic) or {0})
        ]
        consumer.assign(places)
        begin, self._ends = consumer.beginning_offsets(places), consumer.end_offsets(places)
        for place in places:
            known = self.at_hand.memory.offsets.get(f"{place.topic}-{place.partition}", 0)
            if place.topic == self.topics.recommendations:
                known = self._ends[place]  # only lists that are shown from now on are joined
            # What retention has taken is gone; the buffer holds what it was worth.
            consumer.seek(place, min(max(begin[place], known), self._ends[place]))

    @property
    def _takers(self) -> dict[str, Callable[[Any], None]]:
        return {
            self.topics.clicks: lambda record: self._hear(record, "click"),
            self.topics.reviews: lambda record: self._hear(record, "review"),
            self.topics.erasures: lambda record: self.listener.take_erasure(
                record, self.at_hand.memory
            ),
            self.topics.items: self.at_hand.texts.take_item,
            self.topics.vectors: self.at_hand.texts.take_vector,
            self.topics.accepted_policies: self._take_policy,
            self.topics.adapters: self.at_hand.announced.take,
            self.topics.recommendations: self.listener.shown.take_list,
        }

    def _turn(self, consumer: KafkaConsumer) -> None:
        takers = self._takers
        for place, records in consumer.poll(POLL_MS, max_records=MOST_RECORDS).items():
            take = takers[place.topic]
            for record in records:
                take(record)
            if place.topic in self._event_topics:
                self.at_hand.memory.offsets[f"{place.topic}-{place.partition}"] = consumer.position(
                    place
                )
                self._unsaved += len(records)
        if not self.caught_up:
            self._look_whether_caught_up(consumer)
        else:
            self.school.turn(int(time.time() * 1000))
        if self._unsaved and time.monotonic() - self._saved > SAVE_EVERY_S:
            self.save()
        for scenario, buffer in self.at_hand.memory.buffers.items():
            self.metrics.buffer.labels(scenario).set(len(buffer))

    def _look_whether_caught_up(self, consumer: KafkaConsumer) -> None:
        self._ends = {
            place: end for place, end in self._ends.items() if consumer.position(place) < end
        }
        self.metrics.lag.set(sum(end - consumer.position(p) for p, end in self._ends.items()))
        if not self._ends:
            self.caught_up = self.listener.join = True
            self.at_hand.memory.start_clocks(int(time.time() * 1000))
            (self.settings.folder("trainer") / HEARTBEAT_FILE).touch()
            LOG.info(
                "log read: %d events of %d scenario(s) remembered, %d items, newest adapter %d",
                len(self.at_hand.memory),
                len(self.at_hand.memory.buffers),
                len(self.at_hand.texts),
                self.at_hand.announced.newest,
            )

    def _hear(self, record: Any, kind: Kind) -> None:
        self.listener.take_event(record, kind, self.at_hand.memory, self.at_hand.policies)

    def _take_policy(self, record: Any) -> None:
        try:
            if record.value is not None and not is_history(record.key):
                accepted = decode_accepted_policy(record.value)
                self.at_hand.policies.put(record.key.decode(), accepted.offset, accepted.patch)
        except (InvalidRecord, StateRejected) as error:
            LOG.error("accepted policy at offset %d is skipped: %s", record.offset, error)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second trainer off the same memory."""
    with (folder / "lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"a trainer already runs on {folder}"
            raise ConfigurationError(message) from None
        yield


def run_trainer(settings: Settings) -> None:
    """Run the trainer until SIGTERM or SIGINT; any unexpected error ends the process with 75.

    It gives way to everything else: learning must never delay an event.

    Raises:
        ModelUnavailable: the model cannot be loaded.
        ConfigurationError: the operator must change something.
        AccessDenied: the operator must grant something.
        ModuleNotFoundError: the libraries of the language model are not installed.
    """
    if find_spec("torch") is None:  # else the first round would find out, again and again
        message = "No module named 'torch'"
        raise ModuleNotFoundError(message, name="torch")
    try:
        company = company_of(os.environ)
        if company.count > 1:
            join(company, settings)
        _give_way()
        if company.number:
            follow_first(settings)
            return
        trainer = Trainer(settings)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: trainer.stopping.set())
        with refusals_told(settings, "trainer"):
            trainer.run()
    except (AccessDenied, ConfigurationError, ModelUnavailable, NewerFormat):
        raise
    except Exception as error:
        exit_for_restart("the trainer failed", error)
    if trainer.school.running:
        # All that must last is written; a thread inside torch cannot be joined in time.
        logging.shutdown()
        os._exit(0)
    leave(company)


def _give_way() -> None:
    """Run where nothing else wants to: whoever wakes up takes the processor at once."""
    os.nice(NICENESS)
    with suppress(AttributeError, OSError):  # not a Linux, or not allowed here
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


LOG = logging.getLogger(__name__)
NICENESS = 15  # below the encoder, which new items wait for
POLL_MS, MOST_RECORDS = 200, 2_000
SAVE_EVERY_S = 30.0
START_S = 60.0
STOP_S = 4.0
CLOSE_S = 10.0
