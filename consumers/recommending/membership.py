"""Membership in the recommenders' group: who owns which partitions, and state to go with them.

    flag      the rebalance listener only says that something changed; blocking calls in it raise
    let go    stores of partitions that are gone are closed
    restore   stores of all owned partitions are brought to the group's committed offsets
    seek      each input to exactly where its ledger stands, and only then read

Every rebalance takes this one path, also for partitions that stayed: then it reads nothing. Knows
no record.
"""

import logging
import time
from collections.abc import Collection

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition

from consumers.kafka_io.clients import join_group, plain_consumer
from consumers.kafka_io.topics import Topics
from consumers.kafka_io.wire import Standing
from consumers.processes.watchdog import Watchdog
from consumers.recommending.changelog import restore
from consumers.recommending.profile_store import ProfileStore
from consumers.settings import Settings
from stream_rec.errors import ConfigurationError


class Rebalanced(Exception):
    """The assignment changed again while it was being restored."""


class Membership(ConsumerRebalanceListener):
    """The group member of one slot; `changed` says that `take_over` must be called."""

    def __init__(
        self, settings: Settings, topics: Topics, consumer: KafkaConsumer, watchdog: Watchdog
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._consumer = consumer
        self._watchdog = watchdog
        self._heard = 0.0
        self._told = 0.0
        self._rebalances = 0
        self.changed = False
        self.restored = False
        self.restore_s = 0.0

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Note it only; what comes next is known when partitions are assigned."""
        self._rebalances += 1
        self.restored = False

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Note it only."""
        self._rebalances += 1
        self.changed = True
        self.restored = False

    def join(self, inputs: list[str]) -> None:
        """Subscribe; every member must name the same topics."""
        join_group(self._consumer, inputs, self)

    def take_over(self, store: ProfileStore) -> dict[int, Standing]:
        """Bring the store in line with the assignment; return where each partition stands.

        Raises:
            Rebalanced: call again when `changed`.
            ConfigurationError: topics or offsets do not fit together.
        """
        self.changed = False
        rebalances = self._rebalances
        started = time.monotonic()
        places = self._consumer.assignment()
        self._consumer.pause(*places)
        numbers = self._numbers(places)
        for gone in store.owned - numbers:
            store.close(gone)
        standings = self._restored(store, places, numbers) if numbers else {}
        if self._rebalances != rebalances:
            raise Rebalanced
        for place in places:
            standing = standings[place.partition]
            self._consumer.seek(place, standing.ledger.next_offsets[place.topic])
        self._consumer.resume(*places)
        self.restored = True
        self.restore_s = time.monotonic() - started
        LOG.info("own partitions %s, restored in %.2f s", sorted(numbers), self.restore_s)
        return standings

    def _numbers(self, places: Collection[TopicPartition]) -> frozenset[int]:
        numbers = frozenset(place.partition for place in places)
        inputs = self._consumer.subscription() or set()
        for number in numbers:
            if any(TopicPartition(topic, number) not in places for topic in inputs):
                msg = f"partition {number} is split over workers: do all read the same topics?"
                raise ConfigurationError(msg)
        return numbers

    def _restored(
        self, store: ProfileStore, places: Collection[TopicPartition], numbers: frozenset[int]
    ) -> dict[int, Standing]:
        committed: dict[int, dict[str, int | None]] = {number: {} for number in numbers}
        with self._watchdog.within(COMMITTED_S, "reading committed offsets"):
            for place in places:
                offset = self._consumer.committed(place, timeout_ms=COMMITTED_S * 900)
                committed[place.partition][place.topic] = offset
            begin = self._consumer.beginning_offsets(list(places))
            end = self._consumer.end_offsets(list(places))
        for place in places:  # a position to hold while paused; the real one follows below
            self._consumer.seek(place, committed[place.partition][place.topic] or begin[place])
        reader = plain_consumer(self._settings)
        try:
            standings = restore(
                reader, self._topics.profiles, store, committed, alive=self._keep_alive
            )
        finally:
            reader.close()
        for place in places:
            standing = standings[place.partition]
            known = standing.ledger.next_offsets
            offset = known.setdefault(place.topic, begin[place])
            if not begin[place] <= offset <= end[place]:
                known[place.topic] = self._after_loss(place, offset, begin[place], end[place])
        return standings

    def _after_loss(self, place: TopicPartition, offset: int, begin: int, end: int) -> int:
        """Return where to go on when the log no longer holds what is to be read next.

        Raises:
            ConfigurationError: the operator has not said that the loss is accepted.
        """
        found = (
            f"{place.topic}-{place.partition} is to be read from {offset}, but holds {begin} to "
            f"{end}: events are lost"
        )
        if place.topic == self._topics.refinements:
            LOG.warning("refinements of partition %d before %d are gone", place.partition, begin)
            return begin
        if self._settings.lost_events != "skip":
            msg = f"{found}; to go on without them, start with STREAM_REC_LOST_EVENTS=skip"
            raise ConfigurationError(msg)
        LOG.warning("%s; going on from %d, as told", found, begin)
        return begin

    def _keep_alive(self, records: int) -> None:
        """Long restores must not lose the membership they are for."""
        self._watchdog.tick("restoring profiles")
        now = time.monotonic()
        if now - self._told > TELL_EVERY_S:
            self._told = now
            LOG.info("restoring profiles: %d records read", records)
        if now - self._heard > HEAR_EVERY_S:
            self._heard = now
            rebalances = self._rebalances
            self._consumer.poll(0)  # everything is paused: nothing comes but rebalances
            if self._rebalances != rebalances:
                raise Rebalanced


LOG = logging.getLogger(__name__)
COMMITTED_S = 30
HEAR_EVERY_S = 3.0
TELL_EVERY_S = 2.0
