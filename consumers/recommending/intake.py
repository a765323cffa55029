"""The events as they come: polled from the group's partitions, in their order, with what is left.

A refinement is handed on once its review has been: until then its partition is wound back to it and
left alone. So the state does not depend on which of two topics is read first.

Knows where each partition is to be read from only through the ledgers it is given.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError

from consumers.kafka_io.topics import Topics
from consumers.kafka_io.wire import decode_refinement
from stream_rec.errors import ConfigurationError, NewerFormat, StateRejected
from stream_rec.ledger import Ledger
from stream_rec.profiles.refinement import Refinement
from stream_rec.pseudonyms import PLAIN, Pseudonyms
from stream_rec.step import Arrival


class Intake:
    """The reader of the topics that are partitioned by user; used by the loop's thread alone."""

    def __init__(self, consumer: KafkaConsumer, topics: Topics, names: Pseudonyms = PLAIN) -> None:
        self._consumer = consumer
        self._topics = topics
        self._names = names
        self._waiting: dict[TopicPartition, int] = {}  # refinements: the review they wait for
        self.held: frozenset[str] = frozenset()
        self._kinds: dict[str, Literal["click", "review", "erasure", "refinement"]] = {
            topics.clicks: "click",
            topics.reviews: "review",
            topics.erasures: "erasure",
            topics.refinements: "refinement",
        }

    @property
    def topics(self) -> list[str]:
        """The topics read; every member of the group must read the same."""
        return list(self._kinds)

    def read(self, wait_ms: int, *, most: int) -> list[Arrival]:
        """Return up to about twice `most` records that are there, or come within `wait_ms`.

        Raises:
            ConfigurationError: the group's position has been deleted from the log.
        """
        self._go_on()
        polled: dict[TopicPartition, list[Any]] = {}
        try:
            polled = dict(self._consumer.poll(wait_ms, max_records=most))
            if polled:
                # One fetch answers with what came first; what came during the last round is one
                # more fetch away, and would otherwise wait for a whole round.
                for place, records in self._consumer.poll(GATHER_MS, max_records=most).items():
                    polled[place] = [*polled.get(place, ()), *records]
        except NoOffsetForPartitionError:  # newly assigned and not yet sought
            return []
        except OffsetOutOfRangeError as error:
            if not self._only_refinements_lost(error):
                msg = (
                    f"the group's position is no longer in the log: {error}; events are lost: see "
                    "STREAM_REC_LOST_EVENTS"
                )
                raise ConfigurationError(msg) from error
        found: list[Arrival] = []
        for place, records in polled.items():
            if place.topic == self._topics.refinements:
                found += self._refinements(place, records)
            else:
                found += [self._arrival(place, record) for record in records]
        return found

    def _arrival(
        self, place: TopicPartition, record: Any, refinement: Refinement | None = None
    ) -> Arrival:
        return Arrival(
            kind=self._kinds[place.topic],
            topic=place.topic,
            partition=place.partition,
            offset=record.offset,
            append_ms=record.timestamp,
            key=record.key,
            value=record.value,
            headers=tuple(record.headers) if record.headers else (),
            refinement=refinement,
        )

    def _refinements(self, place: TopicPartition, records: Sequence[Any]) -> Iterator[Arrival]:
        """Yield those whose reviews have been handed on; wind back to the first other one."""
        if place not in self._consumer.assignment():  # gone with a rebalance, as is the batch
            return
        passed = self._passed(place)
        for record in records:
            refinement = self._decoded(record)
            if refinement is not None and refinement.offset >= passed:
                self._waiting[place] = refinement.offset
                self._consumer.seek(place, record.offset)
                self._consumer.pause(place)
                return
            yield self._arrival(place, record, refinement)

    def _decoded(self, record: Any) -> Refinement | None:
        try:
            return decode_refinement(record.value, self._names)
        except (StateRejected, NewerFormat) as error:  # it would only have refined
            LOG.warning("refinement at offset %d is skipped: %s", record.offset, error)
            return None

    def _passed(self, place: TopicPartition) -> int:
        """Return up to which offset the reviews of a partition have been handed on."""
        reviews = TopicPartition(self._topics.reviews, place.partition)
        return self._consumer.position(reviews) or 0

    def _go_on(self) -> None:
        """Read the refinements again whose reviews have come."""
        if not self._waiting:
            return
        owned = self._consumer.assignment()
        for place, offset in list(self._waiting.items()):
            if place not in owned:
                del self._waiting[place]
            elif self._passed(place) > offset:
                del self._waiting[place]
                self._consumer.resume(place)

    def _only_refinements_lost(self, error: OffsetOutOfRangeError) -> bool:
        """Skip refinements that were deleted before they were read: what they said is lost."""
        lost = [place for place in error.args[0] if isinstance(place, TopicPartition)]
        if not lost or any(place.topic != self._topics.refinements for place in lost):
            return False
        for place, begin in self._consumer.beginning_offsets(lost).items():
            LOG.warning("refinements of partition %d before %d are gone", place.partition, begin)
            self._consumer.seek(place, begin)
        return True

    def hold(self, topics: frozenset[str]) -> None:
        """Read none of these topics until told otherwise; membership and positions stay."""
        if not topics and not self.held:
            return
        paused = self._consumer.paused()  # a rebalance resumes everything
        for place in self._consumer.assignment():
            if place.topic in topics and place not in paused:
                self._consumer.pause(place)
            elif place.topic not in topics and place in paused and place not in self._waiting:
                self._consumer.resume(place)
        self.held = topics

    def lag(self, ledgers: Mapping[int, Ledger]) -> int:
        """Return how many records are known to wait beyond what the ledgers have counted.

        Refinements do not count: they may wait for their reviews. The marker that ends a producer's
        transaction is no record, and comes to no ledger: only the reader's position goes beyond it.
        """
        lag = 0
        for place in self._consumer.assignment():
            if place.topic == self._topics.refinements:
                continue
            high = self._consumer.highwater(place)
            if high is not None:
                counted = ledgers[place.partition].next_offsets[place.topic]
                lag += max(0, high - max(counted, self._consumer.position(place) or 0))
        return lag


LOG = logging.getLogger(__name__)
GATHER_MS = 3
