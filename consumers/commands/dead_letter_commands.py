"""`stream-rec dlq …`: what could not be used, where it came from and why.

Knows the dead letter topics and their headers; never changes anything.
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from kafka import KafkaConsumer
from rich.table import Table

from consumers import terminal
from consumers.kafka_io.topic_reading import Read, read, reader
from consumers.kafka_io.topics import Topics
from consumers.settings import Settings
from stream_rec.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One dead letter as its headers tell it; `offset` is that of the source record."""

    topic: str
    partition: str
    offset: str
    at: int
    stage: str
    error: str
    reason: str
    key: str | None
    size: int


def show(settings: Settings, *, limit: int, as_json: bool = False) -> None:
    """Print the newest `limit` dead letters of each source topic, oldest first.

    Raises:
        ConfigurationError: there are no dead letter topics under the prefix.
    """
    letters = newest_letters(settings, limit=limit)
    if as_json:
        terminal.results.print_json(json.dumps([asdict(letter) for letter in letters]))
        return
    table = Table("topic", "place", "when", "stage", "reason", "key", "bytes", box=None)
    for letter in letters:
        when = datetime.fromtimestamp(letter.at / 1000, UTC).strftime("%m-%d %H:%M:%S")
        place = f"{letter.partition}/{letter.offset}"
        reason = letter.reason if len(letter.reason) <= 100 else letter.reason[:99] + "…"
        key = (letter.key or "")[:24]
        cells = (letter.topic, place, when, letter.stage, reason, key, str(letter.size))
        table.add_row(*(ascii(cell)[1:-1] if not cell.isprintable() else cell for cell in cells))
    terminal.results.print(table if letters else "no dead letters")


def newest_letters(settings: Settings, *, limit: int) -> list[Letter]:
    """Return the newest dead letters of each source topic, oldest first."""
    topics = Topics(settings.prefix)
    sources = (topics.clicks, topics.reviews, topics.erasures, topics.items, topics.policies)
    letters: list[Letter] = []
    with reader(settings) as consumer:
        names = [name for source in sources if _exists(consumer, name := f"{source}.dlq")]
        if not names:
            msg = f"there are no dead letter topics under the prefix {settings.prefix}"
            raise ConfigurationError(msg)
        for name in names:
            records = list(read(consumer, name, consumer.partitions_for_topic(name)))
            records.sort(key=lambda record: (record.timestamp, record.partition, record.offset))
            letters += [_letter(record) for record in records[-limit:]]
    return letters


def _exists(consumer: KafkaConsumer, topic: str) -> bool:
    return bool(consumer.partitions_for_topic(topic))


def _letter(record: Read) -> Letter:
    told = {name: value.decode("utf-8", "replace") for name, value in record.headers}
    return Letter(
        topic=told.get("stream_rec.errors.topic", "?"),
        partition=told.get("stream_rec.errors.partition", "?"),
        offset=told.get("stream_rec.errors.offset", "?"),
        at=record.timestamp,
        stage=told.get("stream_rec.errors.stage", "?"),
        error=told.get("stream_rec.errors.exception.class.name", "?"),
        reason=told.get("stream_rec.errors.message", "?"),
        key=None if record.key is None else record.key.decode("utf-8", "replace"),
        size=len(record.value or b""),
    )
