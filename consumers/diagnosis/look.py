"""One look at an installation from outside: what the checks share, each thing asked for once.

Everything is read as an operator would: outside every group, nothing written, nothing committed.
What moves is looked at twice, some seconds apart. Knows how to ask, not what is right.
"""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, TopicAuthorizationFailedError
from kafka.protocol.consumer.offsets import IsolationLevel

from consumers.kafka_io.clients import admin
from consumers.kafka_io.topic_reading import MARKER_POLL_MS, Read, newest, reader
from consumers.kafka_io.topics import Plan, Topics, partition_counts, plans
from consumers.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """From where on something is wrong; seconds unless named otherwise."""

    sampled_records: int = 500  # newest records of each event topic
    watched_s: float = 3.0  # between the two looks
    skew_s: float = 5.0  # between the broker's clock and this machine's
    ahead_s: float = 300.0  # of a producer's clock before the broker's
    open_transaction_s: float = 60.0
    unread_vector_s: float = 120.0  # an item's text without a vector
    event_retention_s: float = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """One of the newest records of a topic; `append_ms` by the broker where it stamps."""

    partition: int
    offset: int
    append_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What moved, at one time: ends of the logs, committed offsets, state of the group."""

    at_ms: int
    ends: dict[TopicPartition, int]
    committed: dict[TopicPartition, int]
    group: dict[str, Any]


@dataclass(kw_only=True)
class Look:
    """One look; use `looking` to get one. `now_ms` is this machine's clock."""

    settings: Settings
    client: KafkaAdminClient
    consumer: KafkaConsumer
    bounds: Bounds = field(default_factory=Bounds)
    programs: tuple[str, ...] = ("recommender", "encoder")  # that run as this user
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000

    @cached_property
    def topics(self) -> Topics:
        """The names of the topics."""
        return Topics(self.settings.prefix)

    @cached_property
    def described(self) -> dict[str, dict[str, Any]]:
        """What the broker says of each topic of the product, existing or not."""
        names = list(plans(self.topics, 1))
        return {topic["name"]: topic for topic in self.client.describe_topics(names)}

    @cached_property
    def counts(self) -> dict[str, int]:
        """Partitions of the topics that exist and may be seen."""
        return {
            name: len(topic["partitions"])
            for name, topic in self.described.items()
            if topic["error_code"] == 0 and topic["partitions"]
        }

    @cached_property
    def planned(self) -> dict[str, Plan]:
        """How each topic would be made today."""
        present = partition_counts(self.client, self.topics.by_user)
        return plans(self.topics, max(present.values(), default=self.settings.partitions))

    @cached_property
    def configs(self) -> dict[str, dict[str, str]]:
        """The settings in force of each topic that may be asked about."""
        asked = [ConfigResource(ConfigResourceType.TOPIC, name, None) for name in self.counts]
        if not asked:
            return {}
        found = self.client.describe_configs(asked, config_filter="all").get("topic", {})
        return {
            name: {key: str(entry["value"]) for key, entry in entries.items()}
            for name, entries in found.items()
            if entries
        }

    @cached_property
    def catalogue(self) -> dict[bytes, Read]:
        """The newest record of every item that is not withdrawn."""
        topic = self.topics.items
        return newest(self.consumer, topic, range(self.counts[topic]))

    @property
    def sources(self) -> list[str]:
        """The event topics that exist."""
        return [name for name in (self.topics.clicks, self.topics.reviews) if name in self.counts]

    @property
    def keyed(self) -> list[str]:
        """The topics that exist of records by user that producers send."""
        return [*self.sources, *({self.topics.erasures} & self.counts.keys())]

    def places(self, names: Collection[str]) -> list[TopicPartition]:
        """Return the partitions of those of `names` that exist."""
        return [
            TopicPartition(name, number)
            for name in names
            for number in range(self.counts.get(name, 0))
        ]

    def newest(self, topic: str) -> list[Sampled]:
        """Return about `sampled_records` of a topic's newest committed records."""
        return self._sampled.setdefault(topic, list(self._tail(topic)))

    def ends(self, names: Collection[str], *, committed: bool = True) -> dict[TopicPartition, int]:
        """Return where logs end: for readers of committed records, or for the broker."""
        wanted = dict.fromkeys(self.places(names), -1)  # -1 asks for the latest
        if not wanted:
            return {}
        level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
        found = self.client.list_partition_offsets(wanted, isolation_level=level)
        return {place: entry.offset for place, entry in found.items()}

    def has_record(self, place: TopicPartition, start: int) -> bool:
        """Say whether a committed record stands at `start` or later, not only markers."""
        self.consumer.assign([place])
        begin = self.consumer.beginning_offsets([place])[place]
        end = self.consumer.end_offsets([place])[place]
        self.consumer.seek(place, max(start, begin))
        until = time.monotonic() + SAMPLE_S
        while self.consumer.position(place) < end and time.monotonic() < until:
            if self.consumer.poll(timeout_ms=MARKER_POLL_MS):
                return True
        return False

    @cached_property
    def watched(self) -> tuple[Moment, Moment]:
        """The same things at two moments, `watched_s` apart."""
        first = self._moment()
        time.sleep(self.bounds.watched_s)
        return first, self._moment()

    @cached_property
    def _sampled(self) -> dict[str, list[Sampled]]:
        return {}

    def _tail(self, topic: str) -> Iterator[Sampled]:
        places = self.places([topic])
        self.consumer.assign(places)
        begin, end = self.consumer.beginning_offsets(places), self.consumer.end_offsets(places)
        share = max(1, self.bounds.sampled_records // max(1, len(places)))
        for place in places:
            self.consumer.seek(place, max(begin[place], end[place] - share))
        until = time.monotonic() + SAMPLE_S
        while time.monotonic() < until and any(
            self.consumer.position(place) < end[place] for place in places
        ):
            for records in self.consumer.poll(timeout_ms=MARKER_POLL_MS).values():
                for record in records:
                    yield Sampled(
                        partition=record.partition,
                        offset=record.offset,
                        append_ms=record.timestamp,
                        key=record.key,
                        value=record.value,
                        headers=tuple(record.headers or ()),
                    )

    def _moment(self) -> Moment:
        group_id = self.settings.group_id
        try:
            group = self.client.describe_groups([group_id])[group_id]
            offsets = self.client.list_group_offsets([group_id])[group_id]
            if NO_GROUP in (group["error"] or ""):
                group["error"] = None
        except KafkaError as error:
            group, offsets = {"error": str(error), "members": [], "state": "?"}, {}
        return Moment(
            at_ms=self.now_ms(),
            ends=self.ends([*self.sources, self.topics.vectors]),
            committed={place: found.offset for place, found in offsets.items()},
            group=group,
        )


@contextmanager
def looking(
    settings: Settings,
    bounds: Bounds | None = None,
    now_ms: Callable[[], int] | None = None,
    programs: tuple[str, ...] = (),
) -> Iterator[Look]:
    """Open the clients of one look, and close them.

    Raises:
        BrokerUnavailable: nobody answers at the bootstrap servers.
    """
    with reader(settings, "doctor") as consumer:
        client = admin(settings)
        try:
            look = Look(
                settings=settings, client=client, consumer=consumer, bounds=bounds or Bounds()
            )
            look.programs = programs or look.programs
            if now_ms is not None:
                look.now_ms = now_ms
            yield look
        finally:
            client.close()


def is_denied(topic: dict[str, Any]) -> bool:
    """Say whether the broker hides a topic from this user."""
    return bool(topic["error_code"] == TopicAuthorizationFailedError.errno)


SAMPLE_S = 15.0
NO_GROUP = "GroupIdNotFound"  # the error of a group that nobody ever joined
