"""The longest gap between lists around a promotion under load, beside the gaps of the same stream.

    python -m benchmarks swap_gap [--items 16859] [--rate 60] [--swaps 10] [--seconds 15] [--json]

One worker serves clicks at a steady rate over a catalogue with frozen vectors of 384 dimensions
that mean nothing. Then an adapter's bundle of the same size is announced, which is loaded beside
the live tables and compared on live events; then the pointer is moved to it and back, so many
times. A gap is the time between two transactions with lists, as a committed reader sees them come;
around a swap counts what ends within a second of the first list of the other version, on both
sides. Since a longer part of the run has a longer longest gap, `per window` is fair: the median of
the longest gaps of windows of two seconds, each with a swap in it, or none. Ends with 1 when the
longest gap around a swap is more than 50 ms over their median, and over the longest of as many
windows of the same run without a swap, which a busy machine makes long by itself. The last row is
what the worker itself says: how long its loop was held up by the last swap.
"""

import itertools
import json
import re
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from kafka import KafkaProducer, TopicPartition

from benchmarks.printed import installation, options, show
from consumers.kafka_io.clients import plain_consumer, plain_producer
from consumers.kafka_io.topics import Topics
from consumers.kafka_io.wire import encode_vector, vector_key
from consumers.settings import Settings
from stream_rec.adapters.checkpoint import FORMAT, Checkpoint, Manifest, write_checkpoint
from stream_rec.adapters.life import (
    AdapterVersion,
    LivePointer,
    encode_adapter,
    live_key,
    version_key,
)
from stream_rec.adapters.text_model import text_model
from stream_rec.items import Item, item_text, text_hash
from tests.guarantees.fleet import Fleet
from tests.guarantees.topic_log import producer
from tests.guarantees.traffic import send_catalogue, set_policy

DIMENSION, USERS, VERSION = 384, 2_000, 1
GATE = {"shadow_events": 10_000_000, "confidence": 0.9999, "auto_rollback": False}
MOST_OVER_MEDIAN_S, AROUND_S = 0.050, 1.0


class Came(NamedTuple):
    """When lists came, by the monotonic clock, and the version that made them."""

    at: float
    version: int


def main() -> int:
    """Measure, print, return the exit status."""
    chosen = options(__doc__, items=16_859, rate=60, swaps=10, seconds=15)
    with installation() as settings:
        rows = measure(settings, chosen.items, chosen.rate, (chosen.swaps, chosen.seconds))
    title = f"gaps between lists, ms, {chosen.items:,} items, {chosen.rate} clicks/s"
    show(title, rows, as_json=chosen.json)
    swapped, quiet = (
        next(row for row in rows if row["when"] == when)
        for when in ("around a swap", "as many windows without")
    )
    over = swapped["longest"] - max(swapped["median"], quiet["longest"])
    return 0 if over <= 1000 * MOST_OVER_MEDIAN_S else 1


def measure(
    settings: Settings, items: int, rate: int, length: tuple[int, int]
) -> list[dict[str, Any]]:
    """Return the gaps of each part of the run."""
    swaps, seconds = length
    topics, writer = Topics(settings.prefix), plain_producer(settings)
    rng = np.random.default_rng(0)
    with Fleet(settings) as fleet:
        send_catalogue(settings, items)
        _send_vectors(writer, topics, items, rng)
        fleet.wait_ready()
        set_policy(settings, {"adapter": {"gate": GATE}})
        fleet.wait(lambda: _figure(fleet, ENCODED) >= items, 300, "vectors are not read")
        write_checkpoint(settings.checkpoint_root, _bundle(items, rng))
        time.sleep(items / 400)  # neighbours of new vectors are found in idle rounds
        with _Load(settings, items, rate) as load:
            time.sleep(seconds)
            marks = [("no adapter", _timed(lambda: time.sleep(seconds)))]
            _announce(writer, topics)
            loading = _timed(
                lambda: fleet.wait(lambda: _figure(fleet, IN_MEMORY) > 0, 300, "not loaded")
            )
            marks += [("while it is loaded", loading)]
            marks += [("in shadow", _timed(lambda: time.sleep(seconds)))]
            for number in range(swaps):
                _point(writer, topics, VERSION if number % 2 == 0 else 0, number)
                time.sleep(2 * AROUND_S + 0.5)
            marks += [("after the swaps", _timed(lambda: time.sleep(seconds)))]
            held_up = _figure(fleet, HELD_UP)
        rows = [_row(name, _windows(load.came, *part)) for name, part in marks]
        around = [_gaps(load.came, at - AROUND_S, at + AROUND_S) for at in _swapped(load.came)]
        quiet = [w for name, part in marks[2:] for w in _windows(load.came, *part)]
        rows.insert(3, _row("around a swap", around))
        rows.insert(4, _row("as many windows without", quiet[: len(around)]))
        rows.append(_row("loop held up", [[held_up]]))
    writer.close(timeout=5)
    return rows


class _Load:
    """Sends clicks at a steady rate and reads lists as they come; use it as a context."""

    def __init__(self, settings: Settings, items: int, rate: int) -> None:
        self.came: list[Came] = []
        self._settings, self._items, self._rate = settings, items, rate
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=run) for run in (self._send, self._read)]

    def __enter__(self) -> "_Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        client, rng = producer(self._settings), np.random.default_rng(1)
        topic, started, number = Topics(self._settings.prefix).clicks, time.monotonic(), 0
        while not self._ended.wait(max(0.0, started + number / self._rate - time.monotonic())):
            number += 1
            user = f"u{rng.integers(USERS)}"
            click = {
                "event_id": f"e{number}",
                "user_id": user,
                "item_id": f"i{rng.zipf(1.3) % self._items}",
                "timestamp": time.time_ns() // 1_000_000,
            }
            client.send(topic, key=user.encode(), value=json.dumps(click).encode())
        client.close(timeout=5)

    def _read(self) -> None:
        consumer = plain_consumer(self._settings)
        topic = Topics(self._settings.prefix).recommendations
        places = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic) or {0}]
        consumer.assign(places)
        consumer.seek_to_end(*places)
        for place in places:
            consumer.position(place)
        while not self._ended.is_set():
            polled = consumer.poll(100)
            now = time.monotonic()
            for records in polled.values():
                for record in records:
                    version = json.loads(record.value)["lineage"]["adapter_version"]
                    self.came.append(Came(now, version))
        consumer.close()


def _gaps(came: Sequence[Came], start: float, end: float) -> list[float]:
    """Return the seconds between lists that came one after the other, within a part of the run."""
    times = sorted({one.at for one in came})
    return [b - a for a, b in itertools.pairwise(times) if start <= b <= end]


def _windows(came: Sequence[Came], start: float, end: float) -> list[list[float]]:
    """Return the gaps of each part of two seconds."""
    count = max(1, int((end - start) / (2 * AROUND_S)))
    edges = np.linspace(start, end, count + 1)
    return [_gaps(came, a, b) for a, b in itertools.pairwise(edges.tolist())]


def _swapped(came: Sequence[Came]) -> list[float]:
    """Return when the first list of another version came."""
    pairs = itertools.pairwise(came)
    return [after.at for before, after in pairs if after.version != before.version]


def _row(name: str, windows: Sequence[Sequence[float]]) -> dict[str, Any]:
    gaps = [gap for window in windows for gap in window]
    ms = 1000 * np.array(gaps or [np.nan])
    longest = [1000 * max(window) for window in windows if window]
    return {
        "when": name,
        "gaps": len(gaps),
        "median": float(np.median(ms)),
        "p99": float(np.percentile(ms, 99)),
        "longest": float(ms.max()),
        "per window": float(np.median(longest or [np.nan])),
    }


def _timed(do: Callable[[], object]) -> tuple[float, float]:
    started = time.monotonic()
    do()
    return started, time.monotonic()


def _send_vectors(
    writer: KafkaProducer, topics: Topics, items: int, rng: np.random.Generator
) -> None:
    for number in range(items):
        vector = rng.normal(size=DIMENSION).astype(np.float32)
        value = encode_vector(text_model("none", "mean"), _hash(number), vector)
        writer.send(topics.vectors, key=vector_key(0, f"i{number}"), value=value, partition=0)
    writer.flush(60)


def _hash(number: int) -> int:
    """Return the hash of an item's text as `send_catalogue` writes it."""
    title, categories = f"Item number {number}", (f"c{number % 9}",)
    return text_hash(item_text(Item(item_id=f"i{number}", title=title, categories=categories)))


def _bundle(items: int, rng: np.random.Generator) -> Checkpoint:
    text = rng.normal(size=(items, DIMENSION)).astype(np.float16)
    manifest = Manifest(
        format=FORMAT,
        scenario="default",
        version=VERSION,
        text_version=VERSION,
        base_model="none",
        base_model_hash="none",
        dimension=DIMENSION,
        items=items,
        offsets={},
        metrics={},
        policy={},
        code_version="benchmark",
        created_at=1,
    )
    low_rank = 64
    tower = {
        "centre": np.zeros(DIMENSION, np.float32),
        "down": np.zeros((DIMENSION, low_rank), np.float32),
        "up": np.zeros((low_rank, DIMENSION), np.float32),
        "residual": rng.normal(size=(items, DIMENSION)).astype(np.float32),
        "recency": np.ones(10, np.float32),
        "numbers": np.zeros(3, np.float32),
    }
    return Checkpoint(
        manifest=manifest,
        item_ids=tuple(f"i{number}" for number in range(items)),
        vectors=rng.normal(size=(items, DIMENSION)).astype(np.float16),
        text=text,
        text_hash=np.array([_hash(number) for number in range(items)], np.uint64),
        tower=tower,
    )


def _announce(writer: KafkaProducer, topics: Topics) -> None:
    record = AdapterVersion(
        scenario="default",
        version=VERSION,
        text_version=VERSION,
        state="shadow",
        base_model_hash="none",
        method="proximal",
        created_at=1,
        changed_at=1,
    )
    key = version_key("default", VERSION)
    writer.send(topics.adapters, key=key, value=encode_adapter(record), partition=0).get(30)


def _point(writer: KafkaProducer, topics: Topics, version: int, number: int) -> None:
    record = LivePointer(
        scenario="default",
        version=version,
        previous=VERSION - version,
        changed_at=number + 1,
        reason="benchmark",
    )
    value = encode_adapter(record)
    writer.send(topics.adapters, key=live_key("default"), value=value, partition=0).get(30)


def _figure(fleet: Fleet, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", fleet.metrics(), re.MULTILINE)
    return float(found.group(1)) if found else 0.0


ENCODED = 'stream_rec_state{what="encoded_items"}'
IN_MEMORY = "stream_rec_adapters_in_memory"
HELD_UP = "stream_rec_adapter_swap_seconds"

if __name__ == "__main__":
    sys.exit(main())
