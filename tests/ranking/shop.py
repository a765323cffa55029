"""A small shop for the tests of ranking: three kinds of things, some of them alike, a few users."""

from typing import Any

import numpy as np

from stream_rec.catalogue.vectors import VectorTable
from stream_rec.events import DAY_MS, Event
from stream_rec.items import Item
from stream_rec.policy import Policy, policy_of
from stream_rec.profiles.profile import Profile, Reading, fold
from stream_rec.ranking.users import Request
from stream_rec.replica import Replica
from stream_rec.statistics.facts import FactsBuilder

NOW_MS = 1_800_000_000_000
KINDS = ("monitor", "novel", "kettle")
MOODS = ("quiet", "loud", "plain", "fancy")
DIMENSION = 16


def shop(items_of_a_kind: int = 12, *, vectors: bool = True) -> Replica:
    """Return a replica with items named like `monitor-3`, one direction of text for each kind."""
    replica = Replica()
    rng = np.random.default_rng(7)
    for spot, kind in enumerate(KINDS):
        for number in range(items_of_a_kind):
            mood = MOODS[number % len(MOODS)]
            replica.put_item(
                Item(
                    item_id=f"{kind}-{number}",
                    title=f"{mood.capitalize()} {kind} {number}",
                    categories=(kind, "goods"),
                    tags=(mood,),
                    brand=f"brand-{number % 3}",
                    price=10.0 * (number + 1),
                    published_at=NOW_MS - (number * 10 + 1) * DAY_MS,
                )
            )
            if vectors:
                vector = 0.3 * rng.normal(size=DIMENSION)
                vector[spot] += 3.0
                replica.put_text_vector(f"{kind}-{number}", 1, vector.astype(np.float32))
    return replica


def happened(item_id: str, event_type: str = "click", **fields: Any) -> dict[str, Any]:
    """Return one thing that a user did."""
    return {"item_id": item_id, "event_type": event_type, **fields}


def profile_of(*past: dict[str, Any], user_id: str = "u", until_ms: int = NOW_MS) -> Profile:
    """Return the profile of a user who did these things, a minute apart, the last one now."""
    profile = Profile(user_id)
    for number, fields in enumerate(past):
        reading = Reading(fields.get("sentiment"), fields.get("phrase"))
        event = Event(
            event_id=f"{user_id}-{number}",
            user_id=user_id,
            timestamp=until_ms - (len(past) - 1 - number) * 60_000,
            item_id=fields["item_id"],
            event_type=fields["event_type"],
            rating=fields.get("rating"),
        )
        profile = fold(profile, event, topic=0, offset=number, reading=reading).profile
    return profile


def crowd(replica: Replica, *histories: tuple[str, ...]) -> None:
    """Let other users take these items, one after the other, so that statistics know them."""
    facts = FactsBuilder()
    for number, history in enumerate(histories):
        profile = Profile(f"crowd-{number}")
        for spot, item_id in enumerate(history):
            event = Event(
                event_id=f"{number}-{spot}",
                user_id=profile.user_id,
                item_id=item_id,
                event_type="click",
                timestamp=NOW_MS - DAY_MS + number * 60_000 + spot,
            )
            folded = fold(profile, event, topic=0, offset=spot)
            facts.count(item_id, event.timestamp, None, spot == 0)
            facts.link(folded.links)
            profile = folded.profile
    replica.statistics.fold(facts.build("crowd"))


def put_tower(replica: Replica, vectors: dict[str, np.ndarray]) -> None:
    """Let a tower serve that puts these items somewhere, (dimension,) each, and no others."""
    table = replica.vectors["tower"] = VectorTable(DIMENSION)
    rows = np.array([replica.items.row(item_id) for item_id in vectors])
    table.fill(rows, np.stack(list(vectors.values())))


def busy_shop(*, vectors: bool = True) -> Replica:
    """Return a shop in which every kind has items that are taken together."""
    replica = shop(vectors=vectors)
    histories = [
        tuple(f"{kind}-{(start + step) % 12}" for step in range(4))
        for kind in KINDS
        for start in range(12)
        for _ in range(1 + start % 3)
    ]
    crowd(replica, *histories)
    return replica


def request(profile: Profile | None = None, /, **patch: Any) -> Request:
    """Return a request under the default policy with a patch laid over it."""
    policy: Policy = policy_of(patch)
    return Request(profile=profile, scenario="default", policy=policy)
