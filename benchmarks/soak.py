"""Watches a worker's memory, threads and files while events flow for minutes.

    python -m benchmarks soak [--seconds 60] [--users 200000] [--items 17000] [--rate 150] [--json]

Profiles of all users are in its changelog from the start, items with vectors in the catalogue, and
links of so many baskets, all of them by newcomers, that both tables of links are full. A tenth as
many users are active today, one in eleven of them new; each costs memory until a day is over.
Events begin when the worker has looked through all profiles, which it does beside its work, and so
knows whose lists grow old; the first quarter of the time fills caches. From there on memory must
stay flat and below the declared bound, and threads and files must not become more.
Tables of the local state come and go with what is in it, up to 64 a partition.
Ends with 1 when any of that does not hold, or events are left unread.
"""

import contextlib
import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.printed import installation, options, show
from consumers.kafka_io.topics import Topics
from consumers.kafka_io.wire import encode_vector, vector_key
from consumers.processes.installation import make_topics
from consumers.settings import Settings
from stream_rec.items import Item, item_text, text_hash
from tests.guarantees.fleet import Fleet
from tests.guarantees.seeded_state import write_links, write_state
from tests.guarantees.topic_log import Backlog, producer
from tests.guarantees.traffic import Mix, send_catalogue, send_events, traffic

DIMENSION = 384
# What is declared: the libraries and compiled code of a worker, and so much for each user and item.
FIXED_MB, USER_KB, ITEM_KB, VECTOR_KB = 550, 1.0, 3.5, DIMENSION * 4 / 1024
BASKETS = 20_000  # of 20 items, that links are made of before: tables of links are full
LOOKING_S = 600
IN_ORDER = 'which="oldest"'  # told when it is known
MOST_TABLES = 64  # a partition keeps open
GROWTH = 1.03  # of the median of the last quarter over that of the second


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a process uses at one moment."""

    second: float
    memory_mb: float
    threads: int
    files: int
    tables: int


def sample(pid: int, started: float) -> Sample:
    """Read what the kernel says of a process."""
    folder = Path(f"/proc/{pid}")
    lines = (folder / "status").read_text().splitlines()
    links = []
    for link in (folder / "fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            links.append(os.readlink(link))
    tables = sum(link.endswith(".sst") for link in links)
    kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    return Sample(
        second=time.monotonic() - started,
        memory_mb=kilobytes / 1024,
        threads=len(list((folder / "task").iterdir())),
        files=len(links) - tables,
        tables=tables,
    )


def main() -> int:
    """Fill, send, watch, print, return the exit status."""
    chosen = options(__doc__, seconds=60, users=200_000, items=17_000, rate=150)
    bound_mb = FIXED_MB + (chosen.users * USER_KB + chosen.items * (ITEM_KB + VECTOR_KB)) / 1024
    with installation() as settings:
        make_topics(settings)
        write_state(settings, users=chosen.users, events_each=20, items=chosen.items)
        write_links(settings, baskets=BASKETS, items=chosen.items)
        send_catalogue(settings, chosen.items)
        send_vectors(settings, chosen.items)
        with Fleet(settings) as fleet, contextlib.closing(Backlog(settings)) as backlog:
            fleet.wait_ready(900)
            samples = watched(fleet, settings, chosen.seconds, chosen.rate, chosen.users)
            fleet.wait(lambda: backlog.records() == 0, 120, "events are left unread")
            restarts = fleet.restarts
    second, last = quarter(samples, 1), quarter(samples, 3)
    memory = [float(np.median([one.memory_mb for one in part])) for part in (second, last)]
    threads = [max(one.threads for one in part) for part in (second, last)]
    files = [max(one.files for one in part) for part in (second, last)]
    tables = [max(one.tables for one in part) for part in (second, last)]
    most_tables = settings.partitions * MOST_TABLES
    highest = max(one.memory_mb for one in samples)
    rows = [
        {"what": "memory MB", "second quarter": memory[0], "last": memory[1], "bound": bound_mb},
        {"what": "highest MB", "second quarter": "", "last": highest, "bound": bound_mb},
        {"what": "threads", "second quarter": threads[0], "last": threads[1], "bound": ""},
        {"what": "open files", "second quarter": files[0], "last": files[1], "bound": ""},
        {
            "what": "open tables",
            "second quarter": tables[0],
            "last": tables[1],
            "bound": most_tables,
        },
        {"what": "restarts", "second quarter": "", "last": restarts, "bound": 0},
    ]
    sent = chosen.rate * chosen.seconds
    show(f"soak, {sent:,} events in {chosen.seconds} s", rows, as_json=chosen.json)
    flat = memory[1] <= memory[0] * GROWTH
    still = threads[1] <= threads[0] and files[1] <= files[0] and tables[1] <= most_tables
    return int(not (flat and still and highest <= bound_mb and restarts == 0))


def watched(fleet: Fleet, settings: Settings, seconds: int, rate: int, users: int) -> list[Sample]:
    """Send events at a pace for so long, and return a sample of each second."""
    over = threading.Event()
    active = users // 10
    mix = Mix(
        events=rate * seconds,
        users=active + active // 10,
        first_user=users - active,  # the last ones have no profile yet
        items=2_000,
    )
    sender = threading.Thread(target=paced, args=(settings, mix, rate, over), daemon=True)
    fleet.wait(lambda: IN_ORDER in fleet.metrics(), LOOKING_S, "profiles are not looked through")
    started = time.monotonic()
    sender.start()
    samples = []
    while time.monotonic() < started + seconds:
        samples.append(sample(fleet.pid(0), started))
        if len(samples) % 30 == 0:
            print(samples[-1], file=sys.stderr, flush=True)
        time.sleep(1)
    over.set()
    sender.join(60)
    return samples


def paced(settings: Settings, mix: Mix, rate: int, over: threading.Event) -> None:
    """Send a second's events every second."""
    sent = list(traffic(mix, seed=1))
    due = time.monotonic()
    for start in range(0, len(sent), rate):
        if over.is_set():
            return
        send_events(settings, sent[start : start + rate])
        due += 1.0
        time.sleep(max(0.0, due - time.monotonic()))


def quarter(samples: list[Sample], number: int) -> list[Sample]:
    """Return the samples of one quarter of the time, from 0."""
    size = len(samples) // 4
    return samples[number * size : (number + 1) * size]


def send_vectors(settings: Settings, items: int) -> None:
    """Write a random text vector for every item, as an encoder would."""
    client, rng = producer(settings), np.random.default_rng(0)
    topic = Topics(settings.prefix).vectors
    for number in range(items):
        item = Item(
            item_id=f"i{number}", title=f"Item number {number}", categories=(f"c{number % 9}",)
        )
        vector = rng.standard_normal(DIMENSION).astype(np.float32)
        vector /= np.linalg.norm(vector)
        value = encode_vector("soak", text_hash(item_text(item)), vector)
        client.send(topic, key=vector_key(0, item.item_id), value=value)
    client.flush(timeout=60)
    client.close()


if __name__ == "__main__":
    sys.exit(main())
