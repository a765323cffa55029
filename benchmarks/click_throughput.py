"""Clicks per second of one worker, beside a bare transactional copy of the same records.

    python -m benchmarks click_throughput [--clicks 200000] [--users 20000] [--json]

Both read the same topic with the same client settings, at most 500 records a transaction, one after
the other on the same broker. The copy only writes each record to another topic. The worker applies
the event, writes the profile to its changelog and the facts to the statistics, and makes the lists
that are due: with `min_interval_ms: 60000` one for each user and minute. With ten clicks for each
user that is one list for ten clicks, as 20,000 users have it at 3,333 clicks/s. The last row is the
same without any list. Ends with 1 when the worker is below 30 % of the copy.
"""

import json
import sys
import time
from typing import NamedTuple

import numpy as np
from kafka import KafkaConsumer, OffsetAndMetadata

from benchmarks.printed import drain_rate, installation, options, show
from consumers.kafka_io.clients import admin, transactional_producer
from consumers.kafka_io.topics import Topics
from consumers.settings import Settings
from tests.guarantees.fleet import Fleet
from tests.guarantees.topic_log import producer, records
from tests.guarantees.traffic import send_catalogue, set_policy

LEAST, BATCH = 0.30, 500


def main() -> int:
    """Measure both, print, return the exit status."""
    chosen = options(__doc__, clicks=200_000, users=20_000, items=2_000)
    with installation() as settings:
        rates = measure(settings, chosen.clicks, chosen.users, chosen.items)
    copied = rates["bare copy"].rate
    rows = [
        {
            "what": name,
            "lists": run.lists,
            "clicks/s": run.rate,
            "of it": f"{run.rate / copied:.0%}",
        }
        for name, run in rates.items()
    ]
    title = f"click throughput, {chosen.clicks:,} clicks of {chosen.users:,} users"
    show(title, rows, as_json=chosen.json)
    return 0 if rates["worker"].rate >= LEAST * copied else 1


class Run(NamedTuple):
    """One measured run: records per second, and the lists made meanwhile."""

    rate: float
    lists: int


def measure(settings: Settings, clicks: int, users: int, items: int) -> dict[str, Run]:
    """Return what each way of reading the same clicks came to."""
    rng = np.random.default_rng(0)
    topics = Topics(settings.prefix)
    with Fleet(settings) as fleet:
        send_catalogue(settings, items)
        fleet.wait_ready()
        set_policy(settings, {"list": {"min_interval_ms": 60_000}})
    send_clicks(settings, rng.integers(0, users, clicks), items, rng)
    copied = copy(settings, topics.clicks, f"{settings.prefix}.copy", clicks)
    before = _lists(settings)
    worker = drain_rate(settings)
    made = _lists(settings) - before
    with Fleet(settings) as fleet:
        fleet.wait_ready()
        set_policy(settings, {"list": {"min_interval_ms": 86_400_000}})
    send_clicks(settings, rng.integers(0, users, clicks // 4), items, rng)
    before = _lists(settings)
    owing = drain_rate(settings)
    return {
        "bare copy": Run(copied, 0),
        "worker": Run(worker, made),
        "worker, no list due": Run(owing, _lists(settings) - before),
    }


def _lists(settings: Settings) -> int:
    return len(records(settings, Topics(settings.prefix).recommendations))


def copy(settings: Settings, source: str, target: str, count: int) -> float:
    """Copy a topic in transactions and return the records per second."""
    client = admin(settings)
    client.create_topics({target: {"num_partitions": settings.partitions, "replication_factor": 1}})
    client.wait_for_topics([target], timeout_ms=30_000)
    client.close()
    reader = KafkaConsumer(
        bootstrap_servers=settings.bootstrap_servers,
        group_id=f"{target}.group",
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_records=BATCH,
    )
    reader.subscribe([source])
    writer = transactional_producer(settings, f"{target}.writer")
    writer.init_transactions()
    done, started = 0, 0.0
    while done < count:
        polled = reader.poll(100)
        if not polled:
            continue
        started = started or time.monotonic()
        writer.begin_transaction()
        offsets = {}
        for place, rows in polled.items():
            for row in rows:
                writer.send(target, key=row.key, value=row.value, partition=place.partition)
            offsets[place] = OffsetAndMetadata(rows[-1].offset + 1)
            done += len(rows)
        writer.send_offsets_to_transaction(offsets, reader.group_metadata())
        writer.commit_transaction()
    rate = done / (time.monotonic() - started)
    writer.close()
    reader.close()
    return rate


def send_clicks(
    settings: Settings, users: np.ndarray, items: int, rng: np.random.Generator
) -> None:
    """Write one click for each entry of `users`, of items by Zipf's law."""
    client, topic = producer(settings), Topics(settings.prefix).clicks
    now_ms = time.time_ns() // 1_000_000
    for number, (user, item) in enumerate(
        zip(users.tolist(), rng.zipf(1.3, len(users)).tolist(), strict=True)
    ):
        event = {
            "event_id": f"{now_ms}-{number}",
            "event_type": "click",
            "user_id": f"u{user}",
            "item_id": f"i{item % items}",
            "timestamp": now_ms + number // 10,
        }
        client.send(topic, key=f"u{user}".encode(), value=json.dumps(event).encode())
    client.flush(timeout=120)
    client.close()


if __name__ == "__main__":
    sys.exit(main())
