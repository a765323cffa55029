"""Plays a stream into the engine, honest or attacked, and compares the last lists."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np

from stream_rec.items import Item
from stream_rec.ledger import Ledger
from stream_rec.profiles.profile import Profile
from stream_rec.publish import Due, publish
from stream_rec.replica import Replica
from stream_rec.simulation.shilling import PREFIX, WINDOW
from stream_rec.step import Arrival, Context, step

Record = dict[str, Any]
Lists = dict[str, tuple[str, ...]]
BATCH = 64
# Lists on the way are of no interest here: each user gets one, and is owed the last one.
SPARING = {"list": {"min_interval_ms": 86_400_000}}


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


class Played:
    """An engine that has folded the beginning of a stream; attacks on the rest share it."""

    def __init__(self, items: Iterable[Item]) -> None:
        self.replica, self.profiles, self.ledgers = Replica(), _Held(), dict[int, Ledger]()
        self.rng, self.done = np.random.default_rng(0), 0
        for item in items:
            self.replica.put_item(item)
        self.replica.put_policy("*", 0, SPARING)

    def twin(self) -> "Played":
        """Return an engine in the same state, to go on from it in another way."""
        twin = Played(())
        twin.replica, twin.rng = deepcopy(self.replica), deepcopy(self.rng)
        items = twin.replica.items
        items.find = items._rows.get  # a copied method would go on looking into the first one
        twin.profiles.all, twin.ledgers = dict(self.profiles.all), dict(self.ledgers)
        twin.done = self.done
        return twin

    def play(self, stream: Sequence[Record], *, until: int) -> None:
        """Fold a stream from where this engine stands, in whole batches before `until`."""
        context = Context(worker="w", now_ms=1, rng=self.rng, examples=BATCH)
        while self.done < until and (until == len(stream) or self.done + BATCH <= until):
            records = stream[self.done :][:BATCH]
            batch = [_arrival(record, self.done + n) for n, record in enumerate(records)]
            made = step(self.replica, self.profiles, self.ledgers, batch, context)
            self.profiles.all |= made.profiles
            self.ledgers = made.ledgers
            self.done += len(batch)

    def lists(self) -> Lists:
        """Return the honest users' lists as they are now."""
        known = self.profiles.all
        honest = [profile for (_, user), profile in known.items() if not user.startswith(PREFIX)]
        lists: Lists = {}
        for start in range(0, len(honest), 256):
            due = [
                Due(partition=0, profile=profile, scenario="default")
                for profile in honest[start : start + 256]
            ]
            made = publish(self.replica, due, self.ledgers, now_ms=2, rng=self.rng)
            for _, one in made.lists:
                lists[one.user_id] = tuple(item.item_id for item in one.items)
        return lists


def last_lists(played: Played, stream: Sequence[Record]) -> Lists:
    """Return the honest users' lists after a stream whose beginning was played already."""
    twin = played.twin()
    twin.play(stream, until=len(stream))
    return twin.lists()


def beginning(items: Iterable[Item], stream: Sequence[Record]) -> Played:
    """Play what stands before any attack of the usual length."""
    played = Played(items)
    played.play(stream, until=int(len(stream) * (1.0 - WINDOW)))
    return played


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
