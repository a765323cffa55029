"""What a shop sends in the storms: a catalogue, and events of many users over both topics.

No user has more events than the engine remembers of one, so that the oracle's links are exact
however far one topic runs ahead of the other.
"""

import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from consumers.kafka_io.topics import Topics
from consumers.settings import Settings
from tests.guarantees.topic_log import producer, records

TYPES = ("click", "click", "click", "view", "purchase", "cart", "impression", "skip", "dislike")
TEXTS = (
    "Great picture, and it works well.",
    "The fan is unbearable and it broke after a week.",
    "Fine for the price, nothing special.",
)
BROKEN = (b"", b'{"user_id": "torn', b"[]", b'{"user_id": 7, "item_id": "i1"}', b"\xff\xfe\x00")


class Sent(NamedTuple):
    """One record to send; `topic` is 0 for clicks, 1 for reviews and 2 for erasures."""

    topic: int
    user_id: str
    value: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """How many events of whom; shares are of all records."""

    events: int
    users: int
    first_user: int = 0
    items: int = 200
    reviews: float = 0.25
    duplicates: float = 0.03
    bad: float = 0.01
    erasures: float = 0.0


def traffic(mix: Mix, seed: int, *, first: int = 0) -> Iterator[Sent]:
    """Yield records in the order they are to be sent; event times run with it, a little shaken.

    Events are numbered from `first`, which is part of their ids.
    """
    rng = np.random.default_rng(seed)
    start_ms = time.time_ns() // 1_000_000 - (first + mix.events) * 50
    users = np.concatenate(
        [rng.permutation(mix.users) for _ in range(-(-mix.events // mix.users))]
    )[: mix.events]
    favourites = rng.integers(0, mix.items, mix.users)
    recent: list[Sent] = []
    for number, index in enumerate(users.tolist(), first):
        if recent and rng.random() < mix.duplicates:
            yield recent[int(rng.integers(len(recent)))]
            continue
        user = mix.first_user + index
        item = (favourites[index] + int(rng.geometric(0.05))) % mix.items
        if mix.erasures and rng.random() < mix.erasures:
            sent = _erasure(rng, number, user, start_ms)
        else:
            sent = _event(rng, number, user, int(item), start_ms, mix.reviews)
        if rng.random() < mix.bad:
            yield sent._replace(value=BROKEN[int(rng.integers(len(BROKEN)))])
            continue
        recent = [*recent[-50:], sent]
        yield sent


def send_events(settings: Settings, sent: Sequence[Sent]) -> None:
    """Write records to the input topics and wait until the broker has them."""
    topics = Topics(settings.prefix)
    client = producer(settings)
    for record in sent:
        topic = (topics.clicks, topics.reviews, topics.erasures)[record.topic]
        client.send(topic, key=record.user_id.encode(), value=record.value)
    client.flush(timeout=60)
    client.close()


class Feed:
    """Sends a log of records bit by bit, and from its beginning again when nothing new is left.

    So work never runs out while a storm waits for a worker to die of it; `sent` counts records.
    """

    def __init__(self, settings: Settings, log: Sequence[Sent]) -> None:
        self.sent = 0
        self._settings = settings
        self._log = log
        self._next_s = 0.0

    def burst(self, count: int) -> None:
        """Send so many records at once."""
        places = np.arange(self.sent, self.sent + count) % len(self._log)
        send_events(self._settings, [self._log[place] for place in places])
        self.sent += count

    def trickle(self) -> None:
        """Send a few records if the last few were sent a second ago or earlier."""
        if time.monotonic() > self._next_s:
            self.burst(40)
            self._next_s = time.monotonic() + 1

    def rest(self) -> None:
        """Send what was never sent, and nothing after it."""
        self.burst(max(0, len(self._log) - self.sent))
        self._next_s = math.inf


def send_catalogue(settings: Settings, items: int) -> None:
    """Write a catalogue of plain items."""
    client = producer(settings)
    for number in range(items):
        item = {
            "item_id": f"i{number}",
            "title": f"Item number {number}",
            "categories": [f"c{number % 9}"],
        }
        value = json.dumps(item).encode()
        client.send(Topics(settings.prefix).items, key=f"i{number}".encode(), value=value)
    client.flush(timeout=60)
    client.close()


def set_policy(settings: Settings, patch: dict[str, object], within_s: float = 60.0) -> None:
    """Set the policy of all scenarios and wait until it is in force."""
    client = producer(settings)
    topics = Topics(settings.prefix)
    value = json.dumps(patch).encode()
    offset = client.send(topics.policies, key=b"*", value=value).get(timeout=30).offset
    client.close()
    until = time.monotonic() + within_s
    while not any(
        json.loads(record.value)["offset"] >= offset
        for record in records(settings, topics.accepted_policies)
    ):
        assert time.monotonic() < until, "the policy was not accepted"
        time.sleep(0.2)


def _erasure(rng: np.random.Generator, number: int, user: int, start_ms: int) -> Sent:
    """Ask to forget a user up to some moment not long ago; events of theirs may be newer."""
    timestamp = start_ms + 50 * number - int(rng.exponential(50 * 2_000))
    request = {"user_id": f"u{user}", "timestamp": timestamp}
    return Sent(2, f"u{user}", json.dumps(request).encode())


def _event(
    rng: np.random.Generator, number: int, user: int, item: int, start_ms: int, reviews: float
) -> Sent:
    event: dict[str, object] = {
        "event_id": f"e{number}",
        "user_id": f"u{user}",
        "item_id": f"i{item}",
        "timestamp": start_ms + 50 * number - int(rng.integers(0, 200)),
        "scenario": "home" if rng.random() < 0.1 else "default",
    }
    if rng.random() < reviews:
        event |= {"rating": int(rng.integers(1, 6)), "text": TEXTS[int(rng.integers(3))]}
        return Sent(1, f"u{user}", json.dumps(event).encode())
    event["event_type"] = TYPES[int(rng.integers(len(TYPES)))]
    return Sent(0, f"u{user}", json.dumps(event).encode())
