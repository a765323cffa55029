"""Say of dead letters that nobody will look at them again, and free what the log can free.

Kafka deletes no single record, only all before an offset. So a marker behind the letters says that
they are done with, and the beginning of each partition, up to its first open letter, is deleted
from the log for good. Knows no reason to drop anything.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from consumers.commands.dead_letters_found import Letter, Wanted, letters, settlement, sources
from consumers.kafka_io.clients import admin, plain_producer
from consumers.kafka_io.dead_letters import marker_record
from consumers.kafka_io.topic_reading import read, reader
from consumers.kafka_io.topics import Topics
from consumers.settings import Settings
from stream_rec.errors import BrokerUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """What a drop came to: letters marked, and records deleted from the log."""

    letters: list[Letter]
    deleted: int
    kept_back: str | None = None


def drop(settings: Settings, wanted: Wanted, *, limit: int) -> Dropped:
    """Mark up to `limit` letters as dropped, oldest first, and delete what stands before open ones.

    Raises:
        BrokerUnavailable: nobody answers, or the markers cannot be written.
        ConfigurationError: there are no dead letters under the prefix, or no such topic.
    """
    topics = Topics(settings.prefix)
    dropped: list[Letter] = []
    deleted, kept_back = 0, None
    with reader(settings) as consumer:
        for source in sources(consumer, topics, wanted):
            places: dict[int, list[int]] = {}
            for letter, record in letters(consumer, topics, source, wanted):
                if len(dropped) == limit:
                    break
                if letter.state != "dropped":
                    dropped.append(letter)
                    places.setdefault(record.partition, []).append(record.offset)
            dlq = Topics.dead_letters(source)
            _mark(settings, dlq, places)
            try:
                deleted += _delete(settings, consumer, dlq)
            except KafkaError as error:  # the markers stand; only the space is not freed
                kept_back = f"{dlq}: nothing is deleted from the log: {error}"
    return Dropped(letters=dropped, deleted=deleted, kept_back=kept_back)


def _mark(settings: Settings, dlq: str, places: Mapping[int, list[int]]) -> None:
    if not places:
        return
    try:
        producer = plain_producer(settings)
        sent = []
        for partition, offsets in places.items():
            for start in range(0, len(offsets), MOST_IN_A_MARKER):
                some = offsets[start : start + MOST_IN_A_MARKER]
                marker = marker_record(dlq, partition, some, "dropped")
                headers = list(marker.headers)
                sent.append(
                    producer.send(
                        dlq, key=marker.key, value=None, partition=partition, headers=headers
                    )
                )
        for future in sent:
            future.get(timeout=WRITE_S)
        producer.close(timeout=5)
    except KafkaError as error:
        msg = f"cannot write to {dlq}: {error}"
        raise BrokerUnavailable(msg) from error


def _delete(settings: Settings, consumer: KafkaConsumer, dlq: str) -> int:
    """Delete the settled beginning of each partition; return how many records that were.

    A marker speaks of letters before it alone, so it may go as soon as they do.
    """
    numbers = sorted(consumer.partitions_for_topic(dlq) or ())
    # Taken first: what comes from now on was not looked at, and must stay.
    ends = consumer.end_offsets([TopicPartition(dlq, number) for number in numbers])
    became = settlement(consumer, dlq)
    first: dict[int, int] = {}
    counts = dict.fromkeys(numbers, 0)
    for record in read(consumer, dlq, numbers):
        place = (record.partition, record.offset)
        beyond = record.offset >= ends[TopicPartition(dlq, record.partition)]
        if record.partition in first or beyond:
            continue
        if place in became.markers or became.state(place) != "open":
            counts[record.partition] += 1
        else:
            first[record.partition] = record.offset
    before = dict(_ends(numbers, first, counts, {place.partition: ends[place] for place in ends}))
    if before:
        client = admin(settings)
        try:
            client.delete_records({TopicPartition(dlq, n): offset for n, offset in before.items()})
        finally:
            client.close()
    return sum(counts[number] for number in before)


def _ends(
    numbers: list[int], first: Mapping[int, int], counts: Mapping[int, int], ends: Mapping[int, int]
) -> Iterator[tuple[int, int]]:
    """Yield the offset before which each partition may go, where there is anything to delete."""
    for number in numbers:
        if counts[number]:
            yield number, first.get(number, ends[number])


MOST_IN_A_MARKER = 5_000
WRITE_S = 30.0
