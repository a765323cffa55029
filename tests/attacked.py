"""Plays a stream into the engine, honest or attacked, and compares the last lists."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stream_rec.items import Item
from stream_rec.profiles.profile import Profile
from stream_rec.publish import Due, Ledger, publish
from stream_rec.replica import Replica
from stream_rec.simulation.shilling import PREFIX
from stream_rec.step import Arrival, Context, step

Record = dict[str, Any]
Lists = dict[str, tuple[str, ...]]
BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """What an attack came to: shares of the honest users' lists."""

    showed: float  # with the target before
    shows: float  # with the target after
    touched: float  # into which the target came, or from which it went
    changed: float  # that hold any other items than before
    rank: float  # of the target where it is shown after, on average; 0 where it is not

    @property
    def rise(self) -> float:
        """How often the target is shown, against before; a list in a thousand is the least."""
        return max(self.shows, 1e-3) / max(self.showed, 1e-3)


class _Held:
    """Profiles in memory, looked up as the step does."""

    def __init__(self) -> None:
        self.all: dict[tuple[int, str], Profile] = {}

    def get(self, partition: int, user_id: str) -> Profile | None:
        return self.all.get((partition, user_id))


def last_lists(items: Iterable[Item], stream: Sequence[Record]) -> Lists:
    """Return the honest users' lists as they are when the whole stream was folded."""
    replica, profiles, ledgers = Replica(), _Held(), dict[int, Ledger]()
    for item in items:
        replica.put_item(item)
    # Lists on the way are of no interest here: each user gets one, and then is owed the last one.
    replica.put_policy("*", 0, {"list": {"min_interval_ms": 86_400_000}})
    context = Context(worker="w", now_ms=1, rng=np.random.default_rng(0), examples=BATCH)
    for start in range(0, len(stream), BATCH):
        batch = [_arrival(record, start + n) for n, record in enumerate(stream[start:][:BATCH])]
        made = step(replica, profiles, ledgers, batch, context)
        profiles.all |= made.profiles
        ledgers = made.ledgers
    honest = [profile for (_, user), profile in profiles.all.items() if not user.startswith(PREFIX)]
    lists: Lists = {}
    for start in range(0, len(honest), 256):
        due = [
            Due(partition=0, profile=profile, scenario="default")
            for profile in honest[start : start + 256]
        ]
        for _, made_list in publish(replica, due, ledgers, now_ms=2, rng=context.rng).lists:
            lists[made_list.user_id] = tuple(item.item_id for item in made_list.items)
    return lists


def harm(before: Lists, after: Mapping[str, tuple[str, ...]], target: str) -> Harm:
    """Compare the lists of two runs of one stream."""
    users = sorted(before)
    was = np.array([target in before[user] for user in users])
    now = np.array([target in after[user] for user in users])
    other = np.array([set(before[user]) != set(after[user]) for user in users])
    return Harm(
        showed=float(was.mean()),
        shows=float(now.mean()),
        touched=float((was != now).mean()),
        changed=float(other.mean()),
        rank=_mean_rank(after, target),
    )


def _mean_rank(lists: Mapping[str, tuple[str, ...]], target: str) -> float:
    ranks = [items.index(target) + 1 for items in lists.values() if target in items]
    return float(np.mean(ranks)) if ranks else 0.0


def middling(stream: Sequence[Record], share: float) -> str:
    """Return the item at a place in the order of popularity: 0 the best seller, 1 the last."""
    ranked = [item for item, _ in Counter(r["item_id"] for r in stream).most_common()]
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def _arrival(record: Record, offset: int) -> Arrival:
    return Arrival(
        kind="click",
        topic="events.clicks",
        partition=0,
        offset=offset,
        append_ms=None,
        key=record["user_id"].encode(),
        value=json.dumps(record).encode(),
    )
