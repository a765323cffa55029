"""`stream-rec user delete USER`: ask for an erasure, wait for its effect, print a receipt.

The receipt is read from the log itself: what stood there before, which tombstones a recommender
wrote in answer, and by when the broker has compacted both away. Knows no more of an erasure than
any reader of the topics could.
"""

import time
from datetime import UTC, datetime

import msgspec
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from rich.table import Table
from rich.text import Text

from consumers import terminal
from consumers.commands.known_profile import known_profile
from consumers.kafka_io.clients import admin, plain_producer
from consumers.kafka_io.topic_reading import Read, newest, partitions_of, read, reader
from consumers.kafka_io.topics import Topics
from consumers.kafka_io.wire import (
    LEDGER_KEY,
    Partitions,
    decode_marker,
    decode_standing,
    marker_key,
)
from consumers.recommending.erasures import cleaning_times
from consumers.settings import Settings
from stream_rec.erasure import parse_erasure
from stream_rec.errors import BrokerUnavailable, ConfigurationError, InvalidRecord, StreamRecError


class ErasureUnconfirmed(StreamRecError):
    """An erasure was asked for, but nobody carried it out in time, or it was refused."""


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What an erasure did. Times are epoch milliseconds; None where the log has no deadline.

    Attributes:
        user_id: Who was forgotten.
        up_to: Events of theirs up to this time have no effect any more.
        topic: Where the request stands, with `partition` and `offset`.
        outcome: `applied`, or `duplicate` when an erasure of this time or a later one was there.
        events: Events that their profile knew of; 0 for somebody never seen.
        lists: Keys of the lists that were removed.
        kept_events: Events newer than `up_to`, which stay.
        new_lists: Keys of the lists made anew from those.
        carried_out: When a recommender committed it.
        values_gone_by: From then on no log segment of profiles and lists holds what was known.
        keys_gone_by: From then on none holds the id either, which tombstones carry as their key.
        disk_clean_s: A worker that was told nothing else cleans its files within so many seconds.
        not_covered: Topics of the producers' own, and refused records, which end by retention.
    """

    user_id: str
    up_to: int
    topic: str
    partition: int
    offset: int
    outcome: str
    events: int
    lists: list[str]
    kept_events: int
    new_lists: list[str]
    carried_out: int
    values_gone_by: int | None
    keys_gone_by: int | None
    disk_clean_s: int
    not_covered: list[str]


def check(user_id: str, up_to: str | None) -> int:
    """Return the time of an erasure, now unless given, if the engine would take it.

    Raises:
        ConfigurationError: the id or the time cannot be used.
    """
    now_ms = time.time_ns() // 1_000_000
    try:
        value = _value(user_id, now_ms if up_to is None else up_to)
        return parse_erasure(value, key=user_id.encode(), append_ms=now_ms).timestamp
    except (InvalidRecord, UnicodeEncodeError) as error:
        raise ConfigurationError(str(error)) from error


def delete(settings: Settings, user_id: str, up_to_ms: int, *, as_json: bool = False) -> None:
    """Ask for an erasure, wait until a recommender has carried it out, and print the receipt.

    Raises:
        BrokerUnavailable: nobody answers, or the request cannot be written.
        ConfigurationError: there is no such installation.
        ErasureUnconfirmed: no recommender carried it out within `CARRIED_OUT_S`, or it was refused.
    """
    with terminal.busy("waiting until the user is forgotten"):
        receipt = forgotten(settings, user_id, up_to_ms)
    if as_json:
        terminal.results.print_json(msgspec.json.encode(receipt).decode())
    else:
        _print(receipt)


def forgotten(settings: Settings, user_id: str, up_to_ms: int) -> Receipt:
    """Ask for an erasure and return its receipt."""
    topics, names = Topics(settings.prefix), settings.names()
    with reader(settings) as consumer:
        partitions = partitions_of(consumer, topics.profiles)
        partitions_of(consumer, topics.erasures)
        place = Partitions(len(partitions)).of_user(user_id)
        before = known_profile(consumer, topics.profiles, place, user_id, names)
        places = [TopicPartition(name, place) for name in (topics.profiles, topics.recommendations)]
        ends = consumer.end_offsets(places)
        offset = _publish(settings, topics, place, _value(user_id, up_to_ms))
        done = _carried_out(consumer, topics, place, ends[places[0]], offset)
        key = marker_key(names.of(user_id))
        marks = newest(consumer, topics.profiles, [place], keys={key})
        if key not in marks or decode_marker(marks[key].value or b"").timestamp < up_to_ms:
            msg = f"the request was refused: see the dead letters of {topics.erasures}"
            raise ErasureUnconfirmed(msg)
        after = known_profile(consumer, topics.profiles, place, user_id, names)
        lists = _lists(consumer, topics, place, user_id, ends[places[1]])
    applied = marks[key].offset >= ends[places[0]]
    values_by, keys_by = _deadlines(settings, topics, done.timestamp)
    return Receipt(
        user_id=user_id,
        up_to=up_to_ms,
        topic=topics.erasures,
        partition=place,
        offset=offset,
        outcome="applied" if applied else "duplicate",
        events=before.events_applied if before and applied else 0,
        lists=sorted(name for name, value in lists if value is None),
        kept_events=after.events_applied if after else 0,
        new_lists=sorted({name for name, value in lists if value is not None}),
        carried_out=done.timestamp,
        values_gone_by=values_by,
        keys_gone_by=keys_by,
        disk_clean_s=settings.clean_disk_s,
        not_covered=[
            topics.clicks,
            topics.reviews,
            topics.erasures,
            *map(topics.dead_letters, (topics.clicks, topics.reviews, topics.erasures)),
        ],
    )


def _value(user_id: str, up_to: int | str) -> bytes:
    return msgspec.json.encode({"user_id": user_id, "timestamp": up_to})


def _publish(settings: Settings, topics: Topics, partition: int, value: bytes) -> int:
    """Write the request to the partition that producers choose; return its offset."""
    key = msgspec.json.decode(value)["user_id"].encode()
    try:
        producer = plain_producer(settings)
        sent = producer.send(topics.erasures, key=key, value=value, partition=partition)
        offset: int = sent.get(timeout=WRITE_S).offset
        producer.close(timeout=5)
    except KafkaError as error:
        msg = f"cannot write to {topics.erasures}: {error}"
        raise BrokerUnavailable(msg) from error
    return offset


def _carried_out(
    consumer: KafkaConsumer, topics: Topics, place: int, start: int, offset: int
) -> Read:
    """Wait for the ledger record of the transaction that read the request."""
    until = time.monotonic() + CARRIED_OUT_S
    while time.monotonic() < until:
        for record in read(consumer, topics.profiles, [place], start=start):
            start = record.offset + 1
            if record.key != LEDGER_KEY:
                continue
            ledger = decode_standing(record.value or b"").ledger
            if ledger.next_offsets.get(topics.erasures, 0) > offset:
                return record
        time.sleep(0.05)
    msg = (
        f"asked for ({topics.erasures} {place}/{offset}), but no recommender carried it out within "
        f"{CARRIED_OUT_S:.0f} s: is one running on this prefix? It will be carried out when one is"
    )
    raise ErasureUnconfirmed(msg)


def _lists(
    consumer: KafkaConsumer, topics: Topics, place: int, user_id: str, start: int
) -> list[tuple[str, bytes | None]]:
    """Return the user's tombstones and lists since an offset."""
    suffix = f"/{user_id}".encode()
    return [
        (record.key.decode(), record.value)
        for record in read(consumer, topics.recommendations, [place], start=start)
        if record.key is not None and record.key.partition(b"/")[1:] == (b"/", suffix[1:])
    ]


def _deadlines(settings: Settings, topics: Topics, at_ms: int) -> tuple[int | None, int | None]:
    client = admin(settings)
    try:
        times = cleaning_times(client, topics)
    finally:
        client.close()
    if not times.bounded:
        return None, None
    return at_ms + times.values_ms, at_ms + times.keys_ms


def _print(receipt: Receipt) -> None:
    table = Table("", "", box=None, show_header=False, pad_edge=False)
    place = f"{receipt.topic} {receipt.partition}/{receipt.offset}"
    again = " (an earlier erasure had done it)" if receipt.outcome == "duplicate" else ""
    rows = {
        "forgotten": f"{receipt.user_id}, everything up to {_when(receipt.up_to)}{again}",
        "request": place,
        "carried out": _when(receipt.carried_out),
        "profile": f"removed, {receipt.events} events" if receipt.events else "there was none",
        "lists removed": ", ".join(receipt.lists) or "none",
        "kept": f"{receipt.kept_events} newer events, lists {', '.join(receipt.new_lists)}"
        if receipt.kept_events
        else "",
        "log holds no profile": _by(receipt.values_gone_by),
        "log holds no id": _by(receipt.keys_gone_by),
        "workers' disks": f"within {receipt.disk_clean_s} s, unless they were told otherwise",
        "not covered": f"{', '.join(receipt.not_covered)}: they end by retention",
    }
    for name, text in rows.items():
        if text:
            table.add_row(name, Text(text))
    terminal.results.print(table)


def _by(at_ms: int | None) -> str:
    if at_ms is None:
        return "no deadline: the topics have no max.compaction.lag.ms"
    return f"from {_when(at_ms)} on"


def _when(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


CARRIED_OUT_S = 60.0
WRITE_S = 30.0
