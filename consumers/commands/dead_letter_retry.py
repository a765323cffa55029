"""Send dead letters to their topics once more, untouched, and tell what becomes of each.

    1. choose   open letters that are whole; those that failed after a retry only when asked for;
                none whose key has a newer record in a compacted topic, which it would undo
    2. send     each record and the marker that it was sent, in one transaction: a command that dies
                has sent a letter and marked it, or neither, so no letter is sent twice
    3. wait     until the engine has passed each record: its standing in the changelog says so, and
                the same transaction holds the new dead letter of whatever failed again

A record goes to the partition of its key, as its producer would have sent it. Knows no reason why a
record is refused.
"""

import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError

from consumers.commands.dead_letters_found import (
    Letter,
    Wanted,
    is_marker,
    letters,
    place_of,
    sources,
    told,
)
from consumers.kafka_io.access import check_rights
from consumers.kafka_io.clients import admin, transactional_producer
from consumers.kafka_io.dead_letters import ERRORS, RETRY_OF, marker_record, retry_headers
from consumers.kafka_io.topic_reading import Read, partitions_of, read, reader
from consumers.kafka_io.topics import Topics
from consumers.kafka_io.wire import LEDGER_KEY, Standing, decode_standing
from consumers.settings import Settings
from stream_rec.errors import BrokerUnavailable, StateRejected
from stream_rec.record_fields import whole_number


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """What became of one letter: taken, failed again, skipped, or not judged in time."""

    letter: Letter
    outcome: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    letter: Letter
    dlq: str
    place: str  # of the letter, as the next one will name it
    source: TopicPartition
    offset: int


_Chosen = tuple[Letter, Read]


def retry(
    settings: Settings, wanted: Wanted, *, again: bool, limit: int, wait_s: float
) -> Iterator[Retried]:
    """Send up to `limit` letters again, oldest first, and yield what became of each.

    Raises:
        BrokerUnavailable: nobody answers, or nothing could be sent.
        ConfigurationError: there are no dead letters under the prefix, or no such topic.
    """
    topics = Topics(settings.prefix)
    with reader(settings) as consumer:
        for source in sources(consumer, topics, wanted):
            chosen: list[_Chosen] = []
            for letter, record in letters(consumer, topics, source, wanted):
                if limit <= 0:
                    break
                if (why := _unfit(letter, again=again)) is not None:
                    yield Retried(letter=letter, outcome=SKIPPED, reason=why)
                    continue
                limit -= 1
                chosen.append((letter, record))
            newer = _outdated(consumer, topics, source, chosen)
            for number, (letter, _) in enumerate(chosen):
                if number in newer:
                    why = "a newer record of this key is there, which it would undo"
                    yield Retried(letter=letter, outcome=SKIPPED, reason=why)
            fit = [pair for number, pair in enumerate(chosen) if number not in newer]
            for start in range(0, len(fit), MOST_IN_A_TRANSACTION):
                sent = _send(settings, source, fit[start : start + MOST_IN_A_TRANSACTION])
                yield from _outcomes(settings, topics, sent, wait_s)


def _unfit(letter: Letter, *, again: bool) -> str | None:
    """Say why a letter is not to be sent."""
    if not letter.whole:
        return "its record was cut or empty, so it cannot be sent as it was"
    if letter.retries and not again:
        return f"failed again after {_times(letter.retries)}; --again sends it once more"
    return None


def _times(retries: int) -> str:
    return "1 retry" if retries == 1 else f"{retries} retries"


def _outdated(
    consumer: KafkaConsumer, topics: Topics, source: str, chosen: Sequence[_Chosen]
) -> set[int]:
    """Return which of the chosen have a newer record of their key in a compacted topic."""
    if source not in (topics.items, topics.policies) or not chosen:
        return set()
    keys = {record.key for _, record in chosen}
    newest: dict[bytes | None, tuple[int, int]] = {}
    for record in read(consumer, source, partitions_of(consumer, source)):
        if record.key in keys:
            newest[record.key] = (record.timestamp, record.offset)
    outdated = set()
    for number, (letter, record) in enumerate(chosen):
        offset = newest.get(record.key, (0, -1))[1]
        own = whole_number(letter.offset)
        if own is not None and offset > own:
            outdated.add(number)
    return outdated


def _send(settings: Settings, source: str, chosen: Sequence[_Chosen]) -> list[_Sent]:
    """Send records and markers in one transaction."""
    _check_rights(settings)
    dlq = Topics.dead_letters(source)
    name = f"{settings.prefix}-dlq-{uuid.uuid4().hex}"
    futures = []
    marked: dict[int, list[int]] = {}
    try:
        producer = transactional_producer(settings, name)
        producer.init_transactions()
        producer.begin_transaction()
        for letter, record in chosen:
            futures.append(_send_one(producer, source, record))
            marked.setdefault(record.partition, []).append(int(letter.id.rpartition("/")[2]))
        for partition, offsets in marked.items():
            marker = marker_record(dlq, partition, offsets, "retried")
            producer.send(
                dlq, key=marker.key, partition=partition, headers=list(marker.headers), value=None
            )
        producer.commit_transaction()
        written = [future.get(timeout=0) for future in futures]
        producer.close(timeout=5)
    except KafkaError as error:
        msg = f"cannot send to {source}: {error}; `dlq list` shows which letters are still open"
        raise BrokerUnavailable(msg) from error
    return [
        _Sent(
            letter=letter,
            dlq=dlq,
            place=f"{record.partition}/{record.offset}",
            source=TopicPartition(source, made.partition),
            offset=made.offset,
        )
        for (letter, record), made in zip(chosen, written, strict=True)
    ]


def _check_rights(settings: Settings) -> None:
    """Ask before: a refused write would hang in its transaction."""
    with closing(admin(settings)) as client:
        check_rights(client, "dlq", settings)


def _send_one(producer: KafkaProducer, source: str, record: Read) -> Any:
    place = f"{record.partition}/{record.offset}"
    return producer.send(
        source,
        key=record.key,
        value=record.value,
        headers=list(retry_headers(record.headers, place=place)),
        partition=record.partition if record.key is None else None,
    )


def _outcomes(
    settings: Settings, topics: Topics, sent: Sequence[_Sent], wait_s: float
) -> Iterator[Retried]:
    """Wait for the engine to pass what was sent; yield what became of each."""
    passed = _wait_passed(settings, topics, sent, wait_s)
    failed = _failed_again(settings, sent) if passed else {}
    for one in sent:
        if one.place in failed:
            yield Retried(letter=one.letter, outcome=FAILED, reason=failed[one.place])
        elif one.source in passed and passed[one.source] > one.offset:
            yield Retried(letter=one.letter, outcome=TAKEN)
        else:
            why = f"sent, but not judged within {wait_s:.0f} s: is a recommender running?"
            yield Retried(letter=one.letter, outcome=WAITING, reason=why)


def _wait_passed(
    settings: Settings, topics: Topics, sent: Sequence[_Sent], wait_s: float
) -> dict[TopicPartition, int]:
    """Return the next offset of each source partition, when all were passed or time is up."""
    last: dict[TopicPartition, int] = {}
    for one in sent:
        last[one.source] = max(last.get(one.source, -1), one.offset)
    numbers = {_standing_of(topics, place) for place in last}
    passed: dict[TopicPartition, int] = {}
    until = time.monotonic() + wait_s
    with reader(settings) as consumer:
        places = [TopicPartition(topics.profiles, number) for number in sorted(numbers)]
        consumer.assign(places)
        begin, end = consumer.beginning_offsets(places), consumer.end_offsets(places)
        for place in places:
            consumer.seek(place, max(begin[place], end[place] - TAIL))
        while time.monotonic() < until:
            for polled in consumer.poll(timeout_ms=100).values():
                for record in polled:
                    if record.key == LEDGER_KEY and record.value is not None:
                        _note(passed, topics, record.partition, record.value, last)
            if all(passed.get(place, 0) > offset for place, offset in last.items()):
                break
    return passed


def _standing_of(topics: Topics, place: TopicPartition) -> int:
    """Return the changelog partition that tells how far a source partition was read."""
    return 0 if place.topic in (topics.items, topics.policies) else place.partition


def _note(
    passed: dict[TopicPartition, int],
    topics: Topics,
    partition: int,
    value: bytes,
    last: dict[TopicPartition, int],
) -> None:
    standing = Standing()
    with suppress(StateRejected):
        standing = decode_standing(value)
    for place in last:
        if _standing_of(topics, place) != partition:
            continue
        judged = standing.judged.get(f"{place.topic}-{place.partition}")
        found = standing.ledger.next_offsets.get(place.topic) if judged is None else judged
        if found is not None:
            passed[place] = found


def _failed_again(settings: Settings, sent: Sequence[_Sent]) -> dict[str, str]:
    """Return the reasons of the letters that came back, by the place of the letter sent.

    The ends are those of uncommitted records: the new letters' transaction may not be visible in
    this partition yet, although it is in the changelog.
    """
    dlq = sent[0].dlq
    places = [
        TopicPartition(dlq, number) for number in sorted({one.source.partition for one in sent})
    ]
    client = admin(settings)
    ends = client.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST))
    client.close()
    ours = {one.place for one in sent}
    start = {place: ends[place].offset for place in places}
    failed: dict[str, str] = {}
    with reader(settings) as consumer:
        consumer.assign(places)
        begin = consumer.beginning_offsets(places)
        for place in places:
            consumer.seek(place, max(begin[place], start[place] - 4 * len(sent) - TAIL))
        until = time.monotonic() + VISIBLE_S
        while time.monotonic() < until:
            for polled in consumer.poll(timeout_ms=100).values():
                for record in polled:
                    _note_failed(failed, ours, record)
            if all(consumer.position(place) >= start[place] for place in places):
                break
    return failed


def _note_failed(failed: dict[str, str], ours: set[str], record: Read) -> None:
    said = told(record)
    of = said.get(RETRY_OF, "")
    if of in ours and place_of(of) is not None and not is_marker(record):
        failed[of] = said.get(f"{ERRORS}message", "?")


SKIPPED, FAILED, TAKEN, WAITING = "skipped", "failed again", "taken", "waiting"
MOST_IN_A_TRANSACTION = 200
TAIL = 1_000
VISIBLE_S = 10.0
