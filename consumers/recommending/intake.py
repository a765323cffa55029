"""The events as they come: polled from the group's partitions, in their order, with what is left.

Knows where each partition is to be read from only through the ledgers it is given.
"""

from collections.abc import Mapping
from typing import Literal

from kafka import KafkaConsumer
from kafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError

from consumers.kafka_io.topics import Topics
from stream_rec.errors import ConfigurationError
from stream_rec.publish import Ledger
from stream_rec.step import Arrival


class Intake:
    """The reader of the topics that are partitioned by user; used by the loop's thread alone."""

    def __init__(self, consumer: KafkaConsumer, topics: Topics) -> None:
        self._consumer = consumer
        self.held: frozenset[str] = frozenset()
        self._kinds: dict[str, Literal["click", "review", "erasure"]] = {
            topics.clicks: "click",
            topics.reviews: "review",
            topics.erasures: "erasure",
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
            msg = (
                f"the group's position is no longer in the log: {error}; events are lost: see "
                "STREAM_REC_LOST_EVENTS"
            )
            raise ConfigurationError(msg) from error
        return [
            Arrival(
                kind=self._kinds[place.topic],
                topic=place.topic,
                partition=place.partition,
                offset=record.offset,
                append_ms=record.timestamp,
                key=record.key,
                value=record.value,
                headers=tuple(record.headers) if record.headers else (),
            )
            for place, records in polled.items()
            for record in records
        ]

    def hold(self, topics: frozenset[str]) -> None:
        """Read none of these topics until told otherwise; membership and positions stay."""
        if not topics and not self.held:
            return
        paused = self._consumer.paused()  # a rebalance resumes everything
        for place in self._consumer.assignment():
            if place.topic in topics and place not in paused:
                self._consumer.pause(place)
            elif place.topic not in topics and place in paused:
                self._consumer.resume(place)
        self.held = topics

    def lag(self, ledgers: Mapping[int, Ledger]) -> int:
        """Return how many records are known to wait beyond what the ledgers have counted.

        The marker that ends a producer's transaction is no record, and comes to no ledger: only
        the reader's position goes beyond it.
        """
        lag = 0
        for place in self._consumer.assignment():
            high = self._consumer.highwater(place)
            if high is not None:
                counted = ledgers[place.partition].next_offsets[place.topic]
                lag += max(0, high - max(counted, self._consumer.position(place) or 0))
        return lag


GATHER_MS = 3
