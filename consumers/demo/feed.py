"""What the demo plays: a simulated shop and its protagonist, or the files of a real stream.

Knows where records come from and which user the view follows; not how they are sent or shown.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from stream_rec.errors import ConfigurationError
from stream_rec.recorded import event_record, rows
from stream_rec.simulation.shop import Shop
from stream_rec.simulation.story import PROTAGONIST, story
from stream_rec.toplist import TopList

Record = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One record to send: `topic` is `items`, `clicks` or `reviews`."""

    topic: str
    record: Record
    caption: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """A stream to play.

    `catalogue` is published first; `scenes` are the acts of `protagonist`, to be played at even
    distances among the `acts` of everybody else. `item_ids` names every item that will ever appear.
    """

    name: str
    catalogue: Sequence[Record]
    item_ids: Sequence[str]
    acts: Iterator[Act]
    protagonist: str
    scenes: Sequence[Act] = ()


def simulated(events: int, *, now_ms: int, seed: int = 7) -> Feed:
    """Return the built-in shop, its clock set so that `events` events end about now."""
    shop = Shop(seed)
    start_ms = now_ms - events * SHOP_INTERVAL_MS
    acts = (
        Act(topic=happening.topic, record=happening.record)
        for happening in shop.happenings(events, start_ms, SHOP_INTERVAL_MS)
    )
    return Feed(
        name=f"a simulated shop of {len(shop.products)} products and {shop.users} shoppers",
        catalogue=shop.catalogue(start_ms),
        item_ids=[product.item_id for product in shop.products],
        acts=acts,
        protagonist=PROTAGONIST,
        scenes=[
            Act(topic=scene.topic, record=scene.record, caption=scene.caption)
            for scene in story(shop, start_ms, SHOP_INTERVAL_MS)
        ],
    )


def recorded(items: Path, events: Path, *, most: int) -> Feed:
    """Return a real stream; the view follows the busiest user of its first `most` events.

    Raises:
        ConfigurationError: the files cannot be read, or have nothing in common.
    """
    catalogue = {str(row.get("item_id")): row for row in rows(items)}
    first = [
        event_record(row, number)
        for number, row in enumerate(rows(events, most))
        if row.get("item_id") in catalogue
    ]
    if not first:
        msg = f"no event of {events} is about an item of {items}"
        raise ConfigurationError(msg)
    busiest = Counter(record["user_id"] for record in islice(first, FOLLOWED_AMONG))
    return Feed(
        name=f"{events.name}, {len(catalogue)} items",
        catalogue=list(catalogue.values()),
        item_ids=list(catalogue),
        acts=(Act(topic=_topic(record), record=record) for record in first),
        protagonist=busiest.most_common(1)[0][0],
    )


def reply(toplist: TopList, number: int, timestamp: int) -> Act | None:
    """Return the protagonist's next act: looking at the first alternative, or the first item."""
    offered = [entry for entry in toplist.items if entry.reason.kind == ALTERNATIVE]
    for entry in (*offered, *toplist.items):
        record = {
            "event_id": f"demo-{toplist.user_id}-reply-{number}",
            "event_type": "click",
            "user_id": toplist.user_id,
            "item_id": entry.item_id,
            "scenario": toplist.scenario,
            "recommendation_id": toplist.recommendation_id,
            "position": entry.rank,
            "timestamp": timestamp,
        }
        who = toplist.user_id.capitalize()
        what = f"looks at an item of the list (rank {entry.rank})"
        return Act(topic="clicks", record=record, caption=f"{who} {what}")
    return None


def _topic(record: Record) -> str:
    return "reviews" if record["event_type"] == "review" or "rating" in record else "clicks"


EVENTS_PER_S = 80.0
SHOP_INTERVAL_MS = 5_000
"""Shop time between two events of the simulated shop: 8,000 events are eleven hours."""
FOLLOWED_AMONG = 2_000
ALTERNATIVE = "alternative_after_bad_review"
