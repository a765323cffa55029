"""The last hours of the topics as a recording: what `replay --since` compares policies on.

Events come in the order of their append, as the records of one partition, behind all requests to
forget a user; the catalogue, the vectors of its texts and the policies are those of now. Profiles
start empty: what users did before the window is not part of it. Knows the topics, not what a replay
does.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from kafka import KafkaConsumer, TopicPartition

from consumers import terminal
from consumers.commands.policy_commands import accepted
from consumers.kafka_io.topic_reading import newest, partitions_of, read, reader
from consumers.kafka_io.topics import Topics
from consumers.kafka_io.wire import StoredVector, decode_vector, split_vector_key
from consumers.settings import Settings
from stream_rec.errors import ConfigurationError, InvalidRecord, StateRejected
from stream_rec.events import Kind
from stream_rec.items import Item, parse_item
from stream_rec.policy import Policies
from stream_rec.step import Arrival


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """What the topics hold; `vectors` by item id, of the frozen model."""

    items: list[Item]
    arrivals: list[Arrival]
    vectors: dict[str, StoredVector]
    policies: Policies


def recent(settings: Settings, since_s: float) -> Recent:
    """Read the events appended within the last `since_s` seconds, and what stands beside them.

    Raises:
        BrokerUnavailable: nobody answers.
        ConfigurationError: there is no such installation.
    """
    topics = Topics(settings.prefix)
    since_ms = int((time.time() - since_s) * 1000)
    kinds: dict[str, Kind] = {topics.clicks: "click", topics.reviews: "review"}
    with reader(settings, "analyst") as consumer, terminal.busy("reading the topics"):
        found = [
            (record.timestamp, topic, record)
            for topic in kinds
            for record in _since(consumer, topic, since_ms)
        ]
        forgotten = list(_erasures(consumer, topics.erasures))
        items = _items(consumer, topics.items)
        vectors = _vectors(consumer, topics.vectors)
    found.sort(key=lambda entry: (entry[0], entry[1], entry[2].partition, entry[2].offset))
    next_offset = dict.fromkeys(kinds, 0)
    arrivals = forgotten  # first of all: nothing of theirs must have an effect
    for at_ms, topic, record in found:
        arrivals.append(
            Arrival(
                kind=kinds[topic],
                topic=topic,
                partition=0,
                offset=next_offset[topic],
                append_ms=at_ms,
                key=record.key,
                value=record.value,
                headers=record.headers,
            )
        )
        next_offset[topic] += 1
    return Recent(items=items, arrivals=arrivals, vectors=vectors, policies=accepted(settings))


def seconds_of(span: str) -> float:
    """Read a span of time such as 90s, 30m, 2h or 1d.

    Raises:
        ConfigurationError: it is none.

    >>> seconds_of("2h"), seconds_of("90s")
    (7200.0, 90.0)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", span.strip())
    if found is None:
        msg = f"{span!r} is no span of time: 90s, 30m, 2h or 1d"
        raise ConfigurationError(msg)
    return float(found[1]) * UNITS[found[2]]


def _since(consumer: KafkaConsumer, topic: str, since_ms: int) -> list[Any]:
    """Return the records of a topic from a time on."""
    places = [TopicPartition(topic, number) for number in partitions_of(consumer, topic)]
    starts = consumer.offsets_for_times(dict.fromkeys(places, since_ms))
    return [
        record
        for place in places
        if starts.get(place) is not None
        for record in read(consumer, topic, [place.partition], start=starts[place].offset)
    ]


def _erasures(consumer: KafkaConsumer, topic: str) -> Iterator[Arrival]:
    """Yield every request to forget a user that the topic still holds."""
    records = read(consumer, topic, partitions_of(consumer, topic))
    for number, record in enumerate(records):
        yield Arrival(
            kind="erasure",
            topic=topic,
            partition=0,
            offset=number,
            append_ms=record.timestamp,
            key=record.key,
            value=record.value,
        )


def _items(consumer: KafkaConsumer, topic: str) -> list[Item]:
    items = []
    for key, record in newest(consumer, topic, partitions_of(consumer, topic)).items():
        try:
            items.append(parse_item(record.value or b"", key=key))
        except InvalidRecord:  # a dead letter: the engine does without it as well
            continue
    return items


def _vectors(consumer: KafkaConsumer, topic: str) -> dict[str, StoredVector]:
    vectors = {}
    for key, record in newest(consumer, topic, partitions_of(consumer, topic)).items():
        try:
            version, item_id = split_vector_key(key)
            if version == 0:
                vectors[item_id] = decode_vector(record.value or b"")
        except (StateRejected, msgspec.DecodeError):
            continue
    return vectors


UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
