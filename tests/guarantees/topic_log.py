"""Read whole topics of a broker, as committed readers see them and as they stand on its disk."""

import time
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import CoordinatorNotAvailableError

from consumers.kafka_io.topics import Topics
from consumers.kafka_io.wire import (
    LEDGER_KEY,
    Standing,
    decode_profile,
    decode_standing,
    is_marker,
)
from consumers.settings import Settings
from stream_rec.profiles.profile import Profile
from stream_rec.replica import Replica
from stream_rec.statistics.facts import Facts
from stream_rec.statistics.statistics import Statistics
from tests.committed_order import Offsets, in_committed_order
from tests.oracle import Logged


def records(settings: Settings, topic: str, *, committed: bool = True) -> list[Any]:
    """Return every record of a topic in the order of each partition."""
    consumer = KafkaConsumer(
        bootstrap_servers=settings.bootstrap_servers,
        isolation_level="read_committed" if committed else "read_uncommitted",
        enable_auto_commit=False,
        max_poll_records=5_000,
        fetch_max_wait_ms=50,
    )
    try:
        places = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(places)
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(places)
        found: list[Any] = []
        until = time.monotonic() + 60
        while any(consumer.position(place) < ends[place] for place in places):
            assert time.monotonic() < until, f"{topic} cannot be read to its end"
            found += [row for rows in consumer.poll(200).values() for row in rows]
        return found
    finally:
        consumer.close()


def input_log(settings: Settings) -> list[Logged]:
    """Return what producers wrote about users, in the order in which the group took it."""
    names = _inputs(Topics(settings.prefix))
    log = [
        Logged(number, record.partition, record.offset, record.key, record.value)
        for number, topic in enumerate(names)
        for record in records(settings, topic)
    ]
    steps: dict[int, list[Offsets]] = {}
    for record in records(settings, Topics(settings.prefix).profiles):
        if record.key == LEDGER_KEY:
            after = decode_standing(record.value).ledger.next_offsets
            offsets = tuple(after.get(topic, 0) for topic in names)
            steps.setdefault(record.partition, []).append(offsets)
    return in_committed_order(log, steps)


def _inputs(topics: Topics) -> tuple[str, ...]:
    return (topics.clicks, topics.reviews, topics.erasures, topics.refinements)


def changelog(settings: Settings) -> tuple[dict[str, Profile], dict[int, Standing]]:
    """Return every user's newest profile, and where each partition stands."""
    profiles, standings = {}, {}
    for record in records(settings, Topics(settings.prefix).profiles):
        if record.key == LEDGER_KEY:
            standings[record.partition] = decode_standing(record.value)
        elif record.value is None:
            profiles.pop(record.key.decode(), None)
        elif not is_marker(record.key):
            profiles[record.key.decode()] = decode_profile(record.value)
    return profiles, standings


def statistics(settings: Settings) -> Statistics:
    """Fold the log of facts, as a worker on an empty disk does."""
    folded = Replica().statistics
    for record in records(settings, Topics(settings.prefix).statistics):
        folded.fold(Facts.from_bytes(record.value))
    return folded


def aborted(settings: Settings, topic: str) -> int:
    """Count the records of a topic that stand on the broker's disk but belong to no commit.

    Aborted transactions leave their records in the log, where only committed readers skip them.
    """
    whole = records(settings, topic, committed=False)
    kept = {(record.partition, record.offset) for record in records(settings, topic)}
    return sum((record.partition, record.offset) not in kept for record in whole)


class Backlog:
    """How much of its inputs the group has still to commit; close it."""

    def __init__(self, settings: Settings) -> None:
        topics = Topics(settings.prefix)
        self._group = settings.group_id
        self._client = KafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
        self._reader = KafkaConsumer(bootstrap_servers=settings.bootstrap_servers)
        self._places = [
            TopicPartition(name, number)
            for name in _inputs(topics)
            for number in self._reader.partitions_for_topic(name) or ()
        ]

    def records(self) -> int:
        """Return how many records are waiting now."""
        ends = self._reader.end_offsets(self._places)
        try:
            found = self._client.list_group_offsets(self._group).get(self._group, {})
        except CoordinatorNotAvailableError:  # the broker has not seen any group yet
            found = {}
        offsets = {tuple(place): value.offset for place, value in found.items()}
        return sum(end - max(0, offsets.get(tuple(place), 0)) for place, end in ends.items())

    def close(self) -> None:
        """Let go of the broker."""
        self._client.close()
        self._reader.close()


def producer(settings: Settings) -> KafkaProducer:
    """Return a plain producer, as a shop has one."""
    return KafkaProducer(
        bootstrap_servers=settings.bootstrap_servers,
        acks="all",
        linger_ms=5,
        max_request_size=3_000_000,
        compression_type="lz4",
    )
