"""Bring the profiles of newly owned partitions back from `internal.profiles`.

    1. committed  the group's next input offsets: stable ones, so no transaction is open on them
    2. open       the local store; its position must lie inside the changelog, or it is rebuilt
    3. read       to the end, which is taken once; done when the position has reached it (control
                  records leave gaps, so offsets of records are never compared with it)
    4. complete   when the ledger read last names the same input offsets as the group: the markers
                  of one commit reach partitions at different times, so step 3 repeats until then

Knows no profile: values pass as bytes.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import OffsetOutOfRangeError

from consumers.kafka_io.topic_reading import MARKER_POLL_MS
from consumers.kafka_io.wire import LEDGER_KEY, Standing, decode_standing
from consumers.recommending.profile_store import ProfileStore
from stream_rec.errors import ConfigurationError, StateRejected


@dataclass(slots=True)
class _Partition:
    position: int
    ledger: bytes | None
    standing: Standing = field(default_factory=Standing)
    records: int = 0


Committed = Mapping[int, Mapping[str, int | None]]


def restore(
    consumer: KafkaConsumer,
    topic: str,
    store: ProfileStore,
    committed: Committed,
    *,
    alive: Callable[[int], None],
) -> dict[int, Standing]:
    """Open and fill the stores of the partitions in `committed`; return where each stands.

    Args:
        consumer: outside of every group; its assignment is replaced.
        topic: the changelog.
        store: where the profiles go.
        committed: the group's next input offsets by partition and topic, None where there are none.
        alive: called with the number of records read so far, often.

    Raises:
        ConfigurationError: the changelog is behind the group's offsets and stays so.
    """
    reading = {number: _opened(store, number) for number in committed}
    until = time.monotonic() + MARKERS_S
    while True:
        _read_to_end(consumer, topic, store, reading, alive)
        behind = {
            number: (part.standing.ledger.next_offsets, dict(committed[number]))
            for number, part in reading.items()
            if not _complete(part.standing, committed[number])
        }
        if not behind:
            return {number: part.standing for number, part in reading.items()}
        if time.monotonic() > until:
            msg = f"{topic} does not lead to the group's committed offsets: {behind}"
            raise ConfigurationError(msg)
        alive(sum(part.records for part in reading.values()))
        time.sleep(0.05)


def _opened(store: ProfileStore, number: int) -> _Partition:
    place = store.open(number)
    if place is None:
        return _Partition(position=0, ledger=None)
    try:
        standing = Standing() if place.ledger is None else decode_standing(place.ledger)
    except StateRejected as error:
        LOG.warning("ledger of partition %d is refused (%s); rebuilding", number, error)
        store.wipe(number)
        return _Partition(position=0, ledger=None)
    return _Partition(position=place.position, ledger=place.ledger, standing=standing)


def _read_to_end(
    consumer: KafkaConsumer,
    topic: str,
    store: ProfileStore,
    reading: dict[int, _Partition],
    alive: Callable[[int], None],
) -> None:
    places = {number: TopicPartition(topic, number) for number in reading}
    consumer.assign(list(places.values()))
    begin = consumer.beginning_offsets(list(places.values()))
    end = consumer.end_offsets(list(places.values()))
    for number, part in reading.items():
        low, high = begin[places[number]], end[places[number]]
        if not low <= part.position <= high:
            if part.ledger is not None:
                LOG.warning("store of partition %d is outside its changelog; rebuilding", number)
                store.wipe(number)
            reading[number] = part = _Partition(position=low, ledger=None)
        consumer.seek(places[number], part.position)
    pending = set(reading)
    while True:
        pending = {n for n in pending if consumer.position(places[n]) < end[places[n]]}
        if not pending:
            return
        try:
            polled = consumer.poll(timeout_ms=MARKER_POLL_MS)
        except OffsetOutOfRangeError:  # cleaned away between looking and reading
            _start_again(store, reading)
            return
        for place, records in polled.items():
            _take(store, place.partition, reading[place.partition], records)
        alive(sum(part.records for part in reading.values()))


def _take(store: ProfileStore, number: int, part: _Partition, records: list) -> None:  # type: ignore[type-arg]
    profiles = {}
    for record in records:
        if record.key == LEDGER_KEY:
            part.ledger = record.value
        else:
            profiles[record.key] = record.value
    part.position = records[-1].offset + 1
    part.records += len(records)
    if part.ledger is not None:
        part.standing = decode_standing(part.ledger)
    store.load(number, profiles.items(), position=part.position, ledger=part.ledger)


def _start_again(store: ProfileStore, reading: dict[int, _Partition]) -> None:
    for number in reading:
        store.wipe(number)
        reading[number] = _Partition(position=0, ledger=None)


def _complete(standing: Standing, committed: Mapping[str, int | None]) -> bool:
    """A group whose offsets were lost or expired goes on from the ledger."""
    known = standing.ledger.next_offsets
    return all(
        offset is None or known.get(topic, 0) == offset for topic, offset in committed.items()
    )


LOG = logging.getLogger(__name__)
MARKERS_S = 20.0
