"""Lists per second of one whole worker, from the log to the log: 17,000 items, a list an event.

    python -m benchmarks list_throughput [--events 20000] [--users 5000] [--items 17000] [--json]

A synthetic catalogue with text vectors of 384 dimensions stands in the topics, and a backlog of
clicks; the worker folds, learns, ranks, publishes and commits. Beside it, in the same run and on
the same records: the bare transactional copy of `click_throughput`, which makes no lists. Ends with
1 below 800 lists/s.
"""

import sys

import numpy as np

from benchmarks.click_throughput import copy, send_clicks
from benchmarks.printed import drain_rate, installation, options, show
from consumers.kafka_io.topics import Topics
from consumers.kafka_io.wire import encode_vector, vector_key
from consumers.settings import Settings
from stream_rec.items import Item, item_text, text_hash
from tests.guarantees.fleet import Fleet
from tests.guarantees.topic_log import producer, records
from tests.guarantees.traffic import send_catalogue

LEAST, DIMENSION = 800, 384


def main() -> int:
    """Measure both, print, return the exit status."""
    chosen = options(__doc__, events=20_000, users=5_000, items=17_000)
    rng = np.random.default_rng(0)
    with installation() as settings:
        topics = Topics(settings.prefix)
        with Fleet(settings) as fleet:
            fleet.wait_ready()
            send_catalogue(settings, chosen.items)
        send_vectors(settings, chosen.items, rng)
        send_clicks(settings, rng.integers(0, chosen.users, chosen.events), chosen.items, rng)
        copied = copy(settings, topics.clicks, f"{settings.prefix}.copy", chosen.events)
        before = len(records(settings, topics.recommendations))
        rate = drain_rate(settings)
        lists = len(records(settings, topics.recommendations)) - before
    made = rate * lists / chosen.events
    rows = [
        {"what": "bare copy", "events/s": copied, "lists/s": 0.0},
        {"what": "worker", "events/s": rate, "lists/s": made},
    ]
    title = f"list throughput, {chosen.events:,} clicks, {chosen.items:,} items"
    show(title, rows, as_json=chosen.json)
    return 0 if made >= LEAST else 1


def send_vectors(settings: Settings, items: int, rng: np.random.Generator) -> None:
    """Write a text vector for every item, as the encoder would."""
    client, topic = producer(settings), Topics(settings.prefix).vectors
    themes = rng.normal(size=(40, DIMENSION))
    for number in range(items):
        item = Item(item_id=f"i{number}", title=f"Item number {number}")
        vector = themes[number % len(themes)] + rng.normal(size=DIMENSION)
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        value = encode_vector("synthetic", text_hash(item_text(item)), unit)
        client.send(topic, key=vector_key(0, item.item_id), value=value, partition=0)
    client.flush(timeout=120)
    client.close()


if __name__ == "__main__":
    sys.exit(main())
