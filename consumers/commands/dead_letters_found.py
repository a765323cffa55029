"""Find dead letters: which there are under a prefix, what became of each, and those that are meant.

A letter is open until a marker behind it says that it was sent again or dropped. Every topic is
read twice: once for what became of letters, once for the letters, so that only what is asked for
is held. Never changes anything.
"""

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kafka import KafkaConsumer

from consumers.kafka_io.dead_letters import (
    ERRORS,
    MARKER,
    RETRY_OF,
    attempts,
    settled_offsets,
)
from consumers.kafka_io.topic_reading import Read, read
from consumers.kafka_io.topics import Topics
from stream_rec.errors import ConfigurationError, InvalidRecord
from stream_rec.record_fields import milliseconds, whole_number

Place = tuple[int, int]
"""Partition and offset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One dead letter as its headers tell it; `offset` is that of the source record.

    `id` names it for `show`, `retry` and `drop`; `retries` counts how often it was sent again
    before it came here.
    """

    id: str
    topic: str
    partition: str
    offset: str
    at: int
    stage: str
    error: str
    reason: str
    key: str | None
    size: int
    retries: int = 0
    state: str = "open"
    whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which letters are meant; whatever is None or empty means all. Times in epoch milliseconds."""

    ids: tuple[str, ...] = ()
    topic: str | None = None
    stage: str | None = None
    reason: str | None = None
    key: str | None = None
    since: int | None = None
    until: int | None = None
    settled: bool = False

    @property
    def all_letters(self) -> bool:
        """Whether nothing narrows it down."""
        narrowed = (self.topic, self.stage, self.reason, self.key, self.since, self.until)
        return not self.ids and all(value is None for value in narrowed)

    def takes(self, letter: Letter) -> bool:
        """Whether a letter is meant."""
        return (
            (self.settled or letter.state == "open")
            and (not self.ids or letter.id in self.ids)
            and self.stage in (None, letter.stage)
            and (self.reason is None or self.reason.lower() in letter.reason.lower())
            and self.key in (None, letter.key)
            and (self.since is None or letter.at >= self.since)
            and (self.until is None or letter.at < self.until)
        )


@dataclass(slots=True)
class Settlement:
    """What became of the letters of one dead letter topic, by their places."""

    settled: dict[Place, str] = field(default_factory=dict)
    again: set[Place] = field(default_factory=set)
    markers: set[Place] = field(default_factory=set)

    def state(self, place: Place) -> str:
        """Return one of open, retried, failed again, dropped."""
        how = self.settled.get(place, "open")
        return "failed again" if how == "retried" and place in self.again else how


def sources(consumer: KafkaConsumer, topics: Topics, wanted: Wanted) -> list[str]:
    """Return the source topics meant whose dead letter topics exist.

    Raises:
        ConfigurationError: there are none under the prefix, or none of that name.
    """
    names = (topics.clicks, topics.reviews, topics.erasures, topics.items, topics.policies)
    found = [name for name in names if consumer.partitions_for_topic(Topics.dead_letters(name))]
    if not found:
        msg = f"there are no dead letter topics under the prefix {topics.prefix}"
        raise ConfigurationError(msg)
    if wanted.topic is None and not wanted.ids:
        return found
    named = [wanted.topic] if wanted.topic else [name.split("/")[0] for name in wanted.ids]
    chosen = [x for x in found if any(_means(topics, name, x) for name in named)]
    if not chosen:
        known = ", ".join(short(topics, name) for name in found)
        msg = f"no source topic is called {named[0]!r}; there are {known}"
        raise ConfigurationError(msg)
    return chosen


def short(topics: Topics, source: str) -> str:
    """Return a source topic's name without the prefix."""
    return source.removeprefix(f"{topics.prefix}.")


def settlement(consumer: KafkaConsumer, dlq: str) -> Settlement:
    """Read what became of the letters of a dead letter topic."""
    found = Settlement()
    for record in read(consumer, dlq, consumer.partitions_for_topic(dlq) or ()):
        if is_marker(record):
            found.markers.add((record.partition, record.offset))
            for how, offset in settled_offsets(record.headers):
                found.settled[record.partition, offset] = how
        elif (of := place_of(told(record).get(RETRY_OF, ""))) is not None:
            found.again.add(of)
    return found


def letters(
    consumer: KafkaConsumer, topics: Topics, source: str, wanted: Wanted
) -> Iterator[tuple[Letter, Read]]:
    """Yield the letters of a source topic that are meant, in the order of each partition."""
    dlq = Topics.dead_letters(source)
    became = settlement(consumer, dlq)
    for record in read(consumer, dlq, consumer.partitions_for_topic(dlq) or ()):
        if is_marker(record):
            continue
        letter = letter_of(record, short(topics, source), became)
        if wanted.takes(letter):
            yield letter, record


def letter_of(record: Read, name: str, became: Settlement) -> Letter:
    """Return a letter as its headers tell it."""
    said = told(record)
    return Letter(
        id=f"{name}/{record.partition}/{record.offset}",
        topic=said.get(f"{ERRORS}topic", "?"),
        partition=said.get(f"{ERRORS}partition", "?"),
        offset=said.get(f"{ERRORS}offset", "?"),
        at=record.timestamp,
        stage=said.get(f"{ERRORS}stage", "?"),
        error=said.get(f"{ERRORS}exception.class.name", "?"),
        reason=said.get(f"{ERRORS}message", "?"),
        key=None if record.key is None else record.key.decode("utf-8", "replace"),
        size=len(record.value or b""),
        retries=attempts(dict(record.headers)),
        state=became.state((record.partition, record.offset)),
        whole=not any(name.startswith(f"{ERRORS}truncated.") for name in said)
        and f"{ERRORS}null.value" not in said,
    )


def is_marker(record: Read) -> bool:
    """Whether a record speaks of letters instead of being one."""
    return any(name.startswith(f"{MARKER}.") for name, _ in record.headers)


def told(record: Read) -> dict[str, str]:
    """Return a record's headers as text."""
    return {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}


def place_of(text: str) -> Place | None:
    """Read `partition/offset`."""
    partition, offset = map(whole_number, text.partition("/")[::2])
    return None if partition is None or offset is None else (partition, offset)


def moment(text: str | None, *, now_ms: int | None = None) -> int | None:
    """Read a time, or how long ago: `2h`, `30m`, `7d`, ISO 8601, epoch seconds; in milliseconds.

    Raises:
        ConfigurationError: it is neither.

    >>> moment("2h", now_ms=10_000_000), moment("2026-11-22T00:00:00Z")
    (2800000, 1795305600000)
    """
    if text is None:
        return None
    ago = re.fullmatch(r"(\d{1,9})([smhd])", text)
    if ago:
        now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
        return now - int(ago[1]) * _UNITS_MS[ago[2]]
    try:
        return milliseconds(text)
    except InvalidRecord as error:
        msg = f"{text!r} is no time: ISO 8601, epoch seconds, or like 30m, 2h, 7d"
        raise ConfigurationError(msg) from error


def as_record(letter: Letter) -> dict[str, Any]:
    """Return a letter for a program to read."""
    return {name: getattr(letter, name) for name in Letter.__dataclass_fields__}


def by_topic(found: Mapping[str, int]) -> str:
    """Return counts in words."""
    return ", ".join(f"{count} of {name}" for name, count in found.items()) or "none"


def _means(topics: Topics, name: str, source: str) -> bool:
    whole = short(topics, source)
    return name in (source, whole, whole.rpartition(".")[2])


_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
