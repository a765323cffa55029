"""Freshness of lists with and without trainer and encoder busy, on one machine, as `up` runs them.

    python -m benchmarks event_path [--items 3000] [--rate 30] [--seconds 40] [--rounds 2] [--json]

Clicks come at a steady rate over real titles. Quiet parts, in which the adapter's method is
`frozen` and nothing is to be encoded, alternate with busy ones: an adapter is trained without a
pause (a gate that nothing passes, so that no version is tried) and titles change all the time.
Freshness is the time from sending a click to the list that counts it, as a committed reader sees
it. Ends with 1 when the busy p99 is more than 1.5 times the quiet one, with 2 when the trainer or
the encoder used less than a tenth of a core while it should have been busy.
"""

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from kafka import TopicPartition

from benchmarks.printed import installation, options, show
from consumers.kafka_io.clients import plain_consumer
from consumers.kafka_io.topics import Topics
from consumers.processes.installation import Installation, Plan
from consumers.settings import Settings
from stream_rec import recorded
from stream_rec.items import Item
from tests.guarantees.topic_log import producer
from tests.guarantees.traffic import set_policy

TITLES = Path(__file__).resolve().parents[2] / "shared/data/amazon_games/items.jsonl.gz"
USERS, WARM_UP = 500, 1_200  # a first round wants 800 events
AT_MOST, BUSY = 1.5, 0.1
QUIET: dict[str, object] = {"adapter": {"method": "frozen"}}
ALWAYS: dict[str, object] = {
    "adapter": {"method": "fine_tune", "every_events": 50, "gate": {"min_gain": 1.0}}
}


@dataclass(slots=True)
class Part:
    """Freshness in seconds, and the cores that the programs used."""

    fresh: list[float] = field(default_factory=list)
    cores: dict[str, list[float]] = field(
        default_factory=lambda: {"trainer": [], "encoder": [], "recommender": []}
    )


class Shop:
    """A producer of clicks and titles, and a reader of the lists that follow."""

    def __init__(self, settings: Settings, items: Sequence[Item]) -> None:
        self._topics, self._items = Topics(settings.prefix), items
        self._producer, self._reader = producer(settings), plain_consumer(settings)
        self._rng = np.random.default_rng(0)
        self._counts = np.zeros(USERS, int)
        self._titled = 0
        topic = self._topics.recommendations
        places = [TopicPartition(topic, n) for n in self._reader.partitions_for_topic(topic) or ()]
        self._reader.assign(places)
        self._reader.seek_to_beginning(*places)
        self.encoded = 0

    def title(self, count: int) -> None:
        """Write the next items, each time round with another edition in their titles."""
        for number in range(self._titled, self._titled + count):
            item = self._items[number % len(self._items)]
            edition = number // len(self._items)
            title = f"{item.title} (edition {edition})" if edition else item.title
            value = msgspec.json.encode({"item_id": item.item_id, "title": title})
            self._producer.send(self._topics.items, key=item.item_id.encode(), value=value)
        self._titled += count

    def trade(self, rate: int, until: float, titles_per_s: int = 0, count: int = 10**9) -> Part:
        """Send clicks at a rate, wait for each list, and change titles meanwhile."""
        part, pending = Part(), dict[str, tuple[int, float]]()
        began, sent = time.monotonic(), 0
        while ((now := time.monotonic()) < until and sent < count) or pending:
            if now > until + 60:
                break
            if sent < count and now < until and now >= began + sent / rate:
                sent += 1
                if titles_per_s and sent % rate == 0:
                    self.title(titles_per_s)
                self._click(pending)
            for user, applied in self._lists(5):
                if user in pending and applied >= pending[user][0]:
                    part.fresh.append(time.monotonic() - pending.pop(user)[1])
        return part

    def _click(self, pending: dict[str, tuple[int, float]]) -> None:
        number = int(self._rng.integers(USERS))
        if (user := f"u{number}") in pending:
            return
        self._counts[number] += 1
        item = self._items[int(self._rng.zipf(1.3)) % len(self._items)]
        click = {
            "event_id": f"{user}-{self._counts[number]}",
            "user_id": user,
            "item_id": item.item_id,
            "timestamp": time.time_ns() // 1_000_000,
        }
        pending[user] = (int(self._counts[number]), time.monotonic())
        value = msgspec.json.encode(click)
        self._producer.send(self._topics.clicks, key=user.encode(), value=value)

    def wait_encoded(self, within_s: float) -> None:
        """Wait until the list of users never seen says that every item has a vector."""
        until = time.monotonic() + within_s
        while self.encoded < len(self._items):
            list(self._lists(200))
            if time.monotonic() > until:
                msg = f"only {self.encoded} of {len(self._items)} items are encoded"
                raise SystemExit(msg)

    def _lists(self, wait_ms: int) -> Iterator[tuple[str, int]]:
        for records in self._reader.poll(wait_ms).values():
            for record in records:
                if record.value is None:
                    continue
                made: dict[str, Any] = json.loads(record.value)
                self.encoded = max(self.encoded, made["lineage"].get("encoded_items", 0))
                yield made["user_id"], made["lineage"]["events_applied"]


def main() -> int:
    """Measure, print, return the exit status."""
    chosen = options(__doc__, items=3_000, rate=30, seconds=40, rounds=2)
    with installation() as settings, _running(settings):
        quiet, busy = measured(settings, chosen.items, chosen.rate, chosen.seconds, chosen.rounds)
    rows = [_row("quiet", quiet), _row("trainer and encoder busy", busy)]
    ratio = rows[1]["p99 ms"] / rows[0]["p99 ms"]
    rows.append({name: "" for name in rows[0]} | {"part": "p99, ratio", "p99 ms": ratio})
    show(f"freshness, {chosen.items:,} items, {chosen.rate} clicks/s", rows, as_json=chosen.json)
    idle = [name for name in ("trainer", "encoder") if np.mean(busy.cores[name]) < BUSY]
    if idle:
        print(f"void: {' and '.join(idle)} did hardly anything", file=sys.stderr)
        return 2
    return int(ratio > AT_MOST)


def measured(
    settings: Settings, items: int, rate: int, seconds: int, rounds: int
) -> tuple[Part, Part]:
    """Return the quiet parts together, and the busy ones."""
    titled = [item for item in recorded.items(TITLES) if item.title][:items]
    shop, quiet, busy = Shop(settings, titled), Part(), Part()
    set_policy(settings, QUIET)
    shop.title(len(titled))
    shop.wait_encoded(600)
    shop.trade(rate, time.monotonic() + 600, count=WARM_UP)
    for _ in range(rounds):
        for part, policy, titles in ((quiet, QUIET, 0), (busy, ALWAYS, 2 * rate)):
            set_policy(settings, policy)
            shop.trade(rate, time.monotonic() + 8, titles)  # until one is at work, the other done
            if part is quiet:
                _settle()
            before, started = _processor_s(), time.monotonic()
            part.fresh += shop.trade(rate, started + seconds, titles).fresh
            lasted = time.monotonic() - started
            for name, used in _processor_s().items():
                part.cores[name].append((used - before.get(name, 0.0)) / lasted)
    return quiet, busy


def _settle() -> None:
    """Wait until a round that was begun is over."""
    until = time.monotonic() + 600
    while time.monotonic() < until:
        before = _processor_s()
        time.sleep(3)
        after = _processor_s()
        if all(after[name] - before.get(name, 0.0) < 0.3 for name in ("trainer", "encoder")):
            return


@contextlib.contextmanager
def _running(settings: Settings) -> Iterator[None]:
    """Run what `up` runs, on the broker that is there."""
    ready = threading.Event()
    made = Installation(Plan(settings=settings))
    thread = threading.Thread(target=made.run, args=(lambda _: ready.set(),))
    thread.start()
    try:
        while not ready.wait(1):
            if not thread.is_alive():
                msg = f"it does not start: {made.reason()}"
                raise SystemExit(msg)
        yield
    finally:
        made.request_stop()
        thread.join()


def _processor_s() -> dict[str, float]:
    """Return the processor seconds of each program that this process has started, by name."""
    found, tick = dict[str, float](), os.sysconf("SC_CLK_TCK")
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            name = (folder / "cmdline").read_text().rstrip("\0").rpartition("\0")[2]
            if int(stat[1]) == os.getpid() and name in ("trainer", "encoder", "recommender"):
                found[name] = (int(stat[11]) + int(stat[12])) / tick
    return found


def _row(name: str, part: Part) -> dict[str, Any]:
    ms = 1000 * np.array(part.fresh)
    row: dict[str, Any] = {"part": name, "lists": len(ms)}
    row |= {f"p{q} ms": float(np.percentile(ms, q)) for q in (50, 95, 99)}
    return row | {f"{who}, cores": float(np.mean(used)) for who, used in part.cores.items()}


if __name__ == "__main__":
    sys.exit(main())
