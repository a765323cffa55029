"""The oracle: what the state must be, recomputed in plain Python from the input log alone.

It shares no code with the engine beyond reading JSON. It sorts each user's events by (timestamp,
topic, offset) and folds them at once, where the engine folds them one by one, in batches, over
restarts and in any interleaving. `tests/test_oracle.py` shows that it tells mutated logs apart.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

NOT_CONSUMING = {"impression", "dislike", "hide", "skip"}


class Logged(NamedTuple):
    """One record of the input log; `topic` is 0 for clicks and 1 for reviews."""

    topic: int
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


@dataclass
class Expected:
    """What must be known of one user."""

    event_ids: set[str] = field(default_factory=set)
    history: list[tuple[int, int, int, str]] = field(default_factory=list)
    consumed: set[str] = field(default_factory=set)
    rating_milli: int = 0
    rating_count: int = 0
    scenarios: set[str] = field(default_factory=set)


@dataclass
class Fold:
    """The whole state that a log implies."""

    users: dict[str, Expected] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    links: Counter[tuple[str, str]] = field(default_factory=Counter)
    following: Counter[tuple[str, str]] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)


def fold(log: Iterable[Logged]) -> Fold:
    """Fold a log in the order of each partition; unreadable records are dead letters."""
    state, chains = Fold(), {}
    for record in log:
        event = readable(record)
        if event is None:
            state.outcomes["dead_lettered"] += 1
            continue
        user = state.users.setdefault(event["user_id"], Expected())
        if event["event_id"] in user.event_ids:
            state.outcomes["duplicate"] += 1
            continue
        state.outcomes["applied"] += 1
        user.event_ids.add(event["event_id"])
        user.scenarios.add(event.get("scenario", "default"))
        kind = event.get("event_type", "review" if record.topic else "click")
        place = (int(event["timestamp"]), record.topic, record.offset, event["item_id"])
        if kind != "impression":
            user.history.append(place)
        if kind not in NOT_CONSUMING:
            user.consumed.add(event["item_id"])
            state.counts[event["item_id"]] += 1
            chains.setdefault(event["user_id"], []).append(place)
        if event.get("rating") is not None:
            user.rating_count += 1
            user.rating_milli += round(float(event["rating"]) * 1000)
    for user in state.users.values():
        user.history = sorted(user.history)[-64:]
    for chain in chains.values():
        _link([place[-1] for place in sorted(chain)], state)
    return state


def readable(record: Logged) -> dict[str, Any] | None:
    """Return the event of a record, if the engine must apply it; no test writes borderline ones."""
    try:
        event = json.loads(record.value or b"")
        good = record.key == event["user_id"].encode() and isinstance(event["item_id"], str)
        return event if good and isinstance(event["timestamp"], int) else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _link(items: list[str], state: Fold) -> None:
    """Count who followed whom: .7 ** gap in 2048ths forward, half of it backward."""
    for place, target in enumerate(items):
        for gap in range(min(20, place)):
            source = items[place - 1 - gap]
            if source != target:
                state.links[source, target] += round(2048 * 0.7**gap)
                state.links[target, source] += round(1024 * 0.7**gap)
                if gap == 0:
                    state.following[source, target] += 1
