"""Read topics as an operator does: whole partitions, outside every group, committed records only.

For commands, not for the running programs: nothing here is kept, and no offset is committed. What
the records mean is known to the callers.
"""

import socket
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError

from consumers.kafka_io.access import refusals_told
from consumers.kafka_io.clients import plain_consumer
from consumers.settings import Settings, host_and_port
from stream_rec.errors import BrokerUnavailable, ConfigurationError

Seen = Callable[[int, int], None]
"""Called with (offsets read, offsets in all)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One record; `timestamp` in epoch milliseconds."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


@contextmanager
def reader(settings: Settings, program: str = "operator") -> Iterator[KafkaConsumer]:
    """Open a consumer outside every group, and close it; `program` is whose rights it needs.

    Raises:
        BrokerUnavailable: nobody answers at the bootstrap servers.
        AccessDenied: they refuse this user, or what is read.
    """
    check_reachable(settings.bootstrap_servers)
    try:
        consumer = plain_consumer(settings)
    except KafkaError as error:
        msg = f"no broker answers at {settings.bootstrap_servers}: {error}"
        raise BrokerUnavailable(msg) from error
    try:
        with refusals_told(settings, program):
            yield consumer
    finally:
        consumer.close()


def check_reachable(bootstrap_servers: str) -> None:
    """Ask for a connection to any of the servers; a client would try for half a minute.

    Raises:
        BrokerUnavailable: nobody listens at any of them.
    """
    for server in bootstrap_servers.split(","):
        with suppress(OSError), socket.create_connection(host_and_port(server), timeout=CONNECT_S):
            return
    msg = f"no broker answers at {bootstrap_servers}"
    raise BrokerUnavailable(msg)


def partitions_of(consumer: KafkaConsumer, topic: str) -> list[int]:
    """Return the partition numbers of a topic.

    Raises:
        ConfigurationError: there is no such topic.
    """
    found = consumer.partitions_for_topic(topic)
    if not found:
        with suppress(KafkaTimeoutError):  # a topic that may not be seen looks like none
            consumer.end_offsets([TopicPartition(topic, 0)], timeout_ms=HIDDEN_MS)
        msg = f"there is no topic {topic}: is the prefix right, and did stream-rec ever run here?"
        raise ConfigurationError(msg)
    return sorted(found)


def read(
    consumer: KafkaConsumer,
    topic: str,
    partitions: Collection[int],
    *,
    start: int = 0,
    seen: Seen | None = None,
) -> Iterator[Read]:
    """Yield the records from offset `start` to the ends, which are taken once.

    Raises:
        BrokerUnavailable: nothing came for `SILENCE_S`.
    """
    places = [TopicPartition(topic, partition) for partition in partitions]
    consumer.assign(places)
    begin, end = consumer.beginning_offsets(places), consumer.end_offsets(places)
    for place in places:
        consumer.seek(place, min(max(begin[place], start), end[place]))
    whole = sum(end[place] - begin[place] for place in places)
    until = time.monotonic() + SILENCE_S
    while left := sum(max(0, end[place] - consumer.position(place)) for place in places):
        for polled in consumer.poll(timeout_ms=MARKER_POLL_MS).values():
            until = time.monotonic() + SILENCE_S
            yield from (_of(record) for record in polled if record.offset < end[_place(record)])
        if time.monotonic() > until:
            msg = f"{topic}: nothing came for {SILENCE_S:.0f} s"
            raise BrokerUnavailable(msg)
        if seen is not None:
            seen(whole - left, whole)
    if seen is not None:
        seen(whole, whole)


def newest(
    consumer: KafkaConsumer,
    topic: str,
    partitions: Collection[int],
    *,
    keys: Collection[bytes] | None = None,
    seen: Seen | None = None,
) -> dict[bytes, Read]:
    """Return the newest record of every key, or of `keys` alone; one deleted last is left out."""
    found: dict[bytes, Read] = {}
    for record in read(consumer, topic, partitions, seen=seen):
        if record.key is None or (keys is not None and record.key not in keys):
            continue
        if record.value is None:
            found.pop(record.key, None)
        else:
            found[record.key] = record
    return found


def _place(record: object) -> TopicPartition:
    return TopicPartition(record.topic, record.partition)  # type: ignore[attr-defined]


def _of(record: object) -> Read:
    fields = ("partition", "offset", "timestamp", "key", "value")
    values = {name: getattr(record, name) for name in fields}
    return Read(**values, headers=tuple(getattr(record, "headers", None) or ()))


SILENCE_S = 20.0
# What is left is often a commit marker alone, behind which a poll goes on waiting without a word.
MARKER_POLL_MS = 20
CONNECT_S = 5.0
HIDDEN_MS = 1_000
