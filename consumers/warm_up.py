"""Run one small batch through everything that is compiled on first use, before events wait for it.

Compiled code is kept on disk, so only the first start on a machine takes long. Nothing of it
reaches the real replica, a topic or a file of state.
"""

import json

import numpy as np

from stream_rec.items import Item, item_text, text_hash
from stream_rec.profiles.profile import Profile
from stream_rec.publish import DEFAULT_USER, Due, publish
from stream_rec.replica import Replica
from stream_rec.statistics.facts import Facts
from stream_rec.statistics.statistics import Statistics
from stream_rec.step import Arrival, Context, step


class _Profiles(dict[tuple[int, str], Profile]):
    def get(self, partition: int, user_id: str) -> Profile | None:  # type: ignore[override]
        return super().get((partition, user_id))


def warm_up() -> None:
    """Rank, learn, fold and restore once in a replica that is thrown away."""
    replica, rng = Replica(), np.random.default_rng(0)
    for number in range(ITEMS):
        item = Item(
            item_id=f"i{number}", title=f"Item {number}", categories=(f"c{number % 5}",), price=1.0
        )
        replica.put_item(item)
        vector = rng.normal(size=DIMENSION).astype(np.float32)
        replica.put_text_vector(item.item_id, text_hash(item_text(item)), vector)
    policy: dict[str, object] = {"list": {"diversity": 0.3, "exploration": 0.3}}
    replica.put_policy("*", 0, policy)
    profiles = _Profiles()
    for start in range(0, EVENTS, BATCH):
        batch = [_arrival(number) for number in range(start, start + BATCH)]
        context = Context(worker="warm-up", now_ms=FIRST_MS + start, rng=rng)
        result = step(replica, profiles, {}, batch, context)
        profiles |= result.profiles
        if result.facts is not None:
            replica.statistics.fold(Facts.from_bytes(result.facts.to_bytes()))
    due = [Due(partition=0, profile=Profile(DEFAULT_USER), scenario="default")]
    publish(replica, due, {}, now_ms=FIRST_MS, rng=rng)
    Statistics.from_bytes(replica.statistics.to_bytes(), replica.items)


def _arrival(number: int) -> Arrival:
    user, review = f"u{number % USERS}", number % 4 == 3
    event = {
        "event_id": f"e{number}",
        "user_id": user,
        "item_id": f"i{(number * 7) % ITEMS}",
        "timestamp": FIRST_MS + 1000 * number,
    }
    if review:
        event |= {"rating": 1 + number % 5, "text": "The fan is loud and the picture is great."}
    return Arrival(
        kind="review" if review else "click",
        topic="reviews" if review else "clicks",
        partition=0,
        offset=number,
        append_ms=FIRST_MS + 1000 * number,
        key=user.encode(),
        value=json.dumps(event).encode(),
    )


ITEMS, USERS, EVENTS, BATCH = 64, 7, 96, 16
DIMENSION = 384
FIRST_MS = 1_700_000_000_000
