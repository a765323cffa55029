"""Small random input logs: users, items, both event topics, duplicates, disorder and bad records.

Everything comes from a seeded generator; the logs hold nothing whose outcome the oracle could not
tell (no borderline records).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from stream_rec.items import Item, item_text, text_hash
from stream_rec.profiles.history import Understood
from stream_rec.profiles.refinement import Refinement
from stream_rec.replica import Replica
from stream_rec.step import Arrival
from tests.oracle import Logged

FIRST_MS = 1_700_000_000_000
TOPICS = {
    "click": "events.clicks",
    "review": "events.reviews",
    "erasure": "erasures",
    "refinement": "internal.refinements",
}
TYPES = ("click", "view", "purchase", "cart", "impression", "dislike", "skip", "bookmark")
TEXTS = ("Great picture, works well.", "The fan is loud and it broke.", "Fine for the price.")
BROKEN = (b"", None, b"[" * 80, b'{"user_id": 1}', b"\xff\xfe", b'{"user_id": "u0"}')


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How a log is made; shares are of all records."""

    events: int = 60
    users: int = 6
    items: int = 12
    partitions: int = 2
    bad: float = 0.05
    duplicates: float = 0.1
    erasures: float = 0.0
    refinements: float = 0.0
    scenarios: tuple[str, ...] = ("default", "home")


def partition_of(user_id: str, partitions: int = 2) -> int:
    """Return the partition of a user; any fixed rule will do."""
    return sum(user_id.encode()) % partitions


def random_log(rng: np.random.Generator, shape: Shape) -> list[Arrival]:
    """Return a log in the order in which it was written; each partition's order is in it."""
    offsets: dict[tuple[str, int], int] = {}
    sent: list[tuple[str, str, bytes]] = []
    log: list[Arrival] = []
    for number in range(shape.events):
        if sent and rng.random() < shape.duplicates:
            kind, user_id, value = sent[-1 - int(rng.integers(min(len(sent), 20)))]
            body: bytes | None = value
        else:
            wanted = shape.refinements > 0 and rng.random() < shape.refinements
            refined = _refinement(rng, log) if wanted else None
            forget = shape.erasures > 0 and rng.random() < shape.erasures
            kind, user_id, value = refined or (_erasure if forget else _event)(rng, shape, number)
            sent.append((kind, user_id, value))
            body = value
        if rng.random() < shape.bad:
            body = BROKEN[int(rng.integers(len(BROKEN)))]
        partition = partition_of(user_id, shape.partitions)
        offset = offsets.get((kind, partition), 0)
        offsets[kind, partition] = offset + 1 + (rng.random() < 0.1)  # control records leave gaps
        log.append(
            Arrival(
                kind=kind,  # type: ignore[arg-type]
                topic=TOPICS[kind],
                partition=partition,
                offset=offset,
                append_ms=FIRST_MS + 10_000 * number,
                key=user_id.encode(),
                value=body,
                refinement=refinement_of(body) if kind == "refinement" else None,
            )
        )
    return log


def refinement_of(body: bytes | None) -> Refinement | None:
    """Read a refinement of a test; None for one that is broken."""
    try:
        said = json.loads(body or b"")
        return Refinement(
            user_id=said["user_id"],
            item_id=said["item_id"],
            offset=said["offset"],
            text_version=0,
            sentiment=said["sentiment"],
            understood=Understood(),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def logged(log: list[Arrival]) -> Iterator[Logged]:
    """Return a log as the oracle reads it."""
    for arrival in log:
        topic = list(TOPICS).index(arrival.kind)
        yield Logged(topic, arrival.partition, arrival.offset, arrival.key, arrival.value)


def tiny_replica(items: int = 12, *, encoded: bool = False) -> Replica:
    """Return a replica with a small catalogue, and with random text vectors if wanted."""
    replica, rng = Replica(), np.random.default_rng(0)
    for number in range(items):
        item = Item(item_id=f"i{number}", title=f"Item {number}", categories=(f"c{number % 3}",))
        replica.put_item(item)
        if encoded:
            vector = rng.normal(size=16).astype(np.float32)
            replica.put_text_vector(item.item_id, text_hash(item_text(item)), vector)
    return replica


def _erasure(rng: np.random.Generator, shape: Shape, number: int) -> tuple[str, str, bytes]:
    """Return a request about some user, up to about the time that the log has come to."""
    user_id = f"u{int(rng.integers(shape.users))}"
    timestamp = FIRST_MS + 1000 * (number // 2 - int(rng.integers(-4, 16)))
    return "erasure", user_id, json.dumps({"user_id": user_id, "timestamp": timestamp}).encode()


def _refinement(rng: np.random.Generator, log: list[Arrival]) -> tuple[str, str, bytes] | None:
    """Say something of a review that stands in the log, or now and then of one that does not."""
    reviews = [past for past in log if past.kind == "review" and past.key and past.value]
    if not reviews:
        return None
    past = reviews[int(rng.integers(len(reviews)))]
    try:
        item_id = json.loads(past.value or b"")["item_id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        item_id = "i0"
    said = {
        "user_id": (past.key or b"").decode(),
        "item_id": item_id if rng.random() < 0.9 else "i-other",
        "offset": past.offset,
        "sentiment": int(rng.integers(-4, 5)) / 4,
    }
    return "refinement", said["user_id"], json.dumps(said).encode()


def _event(rng: np.random.Generator, shape: Shape, number: int) -> tuple[str, str, bytes]:
    """Return topic kind, user and body; times tie and run backwards now and then."""
    kind = "review" if rng.random() < 0.3 else "click"
    user_id = f"u{int(rng.integers(shape.users))}"
    event = {
        "event_id": f"e{number}",
        "user_id": user_id,
        "item_id": f"i{int(rng.integers(shape.items))}",
        "timestamp": FIRST_MS + 1000 * (number // 2 - int(rng.integers(8) ** 2 // 8)),
        "scenario": shape.scenarios[int(rng.integers(len(shape.scenarios)))],
    }
    if kind == "review":
        event |= {"rating": int(rng.integers(1, 11)) / 2, "text": TEXTS[int(rng.integers(3))]}
    else:
        event["event_type"] = TYPES[int(rng.integers(len(TYPES)))]
    return kind, user_id, json.dumps(event).encode()
