"""The oracle: what the state must be, recomputed in plain Python from the input log alone.

It shares no code with the engine beyond reading JSON. It sorts each user's events by (timestamp,
topic, offset) and folds them at once, where the engine folds them one by one, in batches, over
restarts and in any interleaving. Only an erasure depends on what was read before it, so logs with
erasures come in the order of `tests/committed_order.py`. `tests/test_oracle.py` shows that mutated
logs are told apart.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

ERASURES, REFINEMENTS = 2, 3
REMEMBERED = 64
COUNTED = {0, 1, 3}  # earlier events on an item with which one more of the user is counted
MOST_LINKED = 3  # times within 20 events that an item is linked to what came before
NOT_CONSUMING = {"impression", "dislike", "hide", "skip"}
NEUTRAL = 3.0  # below it a rating speaks against its item, which neither counts nor links


class Logged(NamedTuple):
    """One record of the input log; `topic` 0 clicks, 1 reviews, 2 erasures, 3 refinements.

    Refinements of tests are JSON, with `offset` and `item_id` of a review and a `sentiment`.
    """

    topic: int
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


@dataclass
class Expected:
    """What must be known of one user."""

    applied: int = 0
    history: list[tuple[int, int, int, str]] = field(default_factory=list)
    consumed: set[str] = field(default_factory=set)
    rating_milli: int = 0
    rating_count: int = 0
    refined: dict[tuple[int, str], float] = field(default_factory=dict)
    refined_at: int = -1  # the offset of the last refinement that had an effect
    scenarios: set[str] = field(default_factory=set)


@dataclass
class Fold:
    """The whole state that a log implies."""

    users: dict[str, Expected] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    links: Counter[tuple[str, str]] = field(default_factory=Counter)
    following: Counter[tuple[str, str]] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    erased: dict[str, int] = field(default_factory=dict)


class _Past(NamedTuple):
    """An applied event; the first three fields are its place among the user's."""

    timestamp: int
    topic: int
    offset: int
    item_id: str
    kind: str
    scenario: str
    rating: float | None
    again: bool  # on an item taken before, after more events than are remembered
    refined: float | None = None
    unlinked: tuple[str, ...] | None = None  # sources left by an erasure to what was not linked

    @property
    def telling(self) -> bool:
        """Whether it says something of its item to everybody else."""
        against = self.rating is not None and self.rating < NEUTRAL
        return self.kind not in NOT_CONSUMING and not against and not self.again


@dataclass
class _Person:
    event_ids: set[str] = field(default_factory=set)
    past: list[_Past] = field(default_factory=list)
    erased_ms: int = -1
    refined_at: int = -1


def fold(log: Iterable[Logged]) -> Fold:
    """Fold a log in the order of each partition; unreadable records are dead letters."""
    state, people = Fold(), {}
    for record in log:
        event = readable(record)
        if event is None:
            state.outcomes["unused" if record.topic == REFINEMENTS else "dead_lettered"] += 1
            continue
        person = people.setdefault(event["user_id"], _Person())
        if record.topic == REFINEMENTS:
            state.outcomes[_refine(person, event, record.offset)] += 1
        elif record.topic == ERASURES:
            state.outcomes[_erase(person, event["timestamp"], state)] += 1
            state.erased[event["user_id"]] = person.erased_ms
        elif event["timestamp"] <= person.erased_ms:
            state.outcomes["erased"] += 1
        elif event["event_id"] in person.event_ids:
            state.outcomes["duplicate"] += 1
        else:
            state.outcomes["applied"] += 1
            person.event_ids.add(event["event_id"])
            person.past.append(_past(record, event, person.past))
            if person.past[-1].telling:
                state.counts[event["item_id"]] += _times(person.past) in COUNTED
    for user_id, person in people.items():
        if person.past:
            state.users[user_id] = _expected(person)
        _link(person.past, state, 1)
    return state


def _past(record: Logged, event: dict[str, Any], before: list[_Past]) -> _Past:
    taken = {one.item_id for one in before if one.kind not in NOT_CONSUMING}
    return _Past(
        timestamp=event["timestamp"],
        topic=record.topic,
        offset=record.offset,
        item_id=event["item_id"],
        kind=event.get("event_type", "review" if record.topic else "click"),
        scenario=event.get("scenario", "default"),
        rating=None if event.get("rating") is None else float(event["rating"]),
        again=len(before) >= REMEMBERED and event["item_id"] in taken,
    )


def _erase(person: _Person, up_to_ms: int, state: Fold) -> str:
    """Keep what is newer of what is remembered one by one; what was counted stays counted."""
    if up_to_ms <= person.erased_ms:
        return "duplicate"
    remembered = sorted(past for past in person.past if past.kind != "impression")[-REMEMBERED:]
    kept = [past for past in remembered if past.timestamp > up_to_ms]
    _link(person.past, state, 1)
    linked = {one[:3] for one, _ in _linked(person.past)}
    windows = {one[:3]: before for one, before in _windows(kept)}
    kept = [
        one._replace(unlinked=None if one[:3] in linked else windows.get(one[:3])) for one in kept
    ]
    _link(kept, state, -1)
    person.past, person.erased_ms = kept, up_to_ms
    person.refined_at = -1
    if not kept:
        person.event_ids.clear()
    return "applied"


def _refine(person: _Person, said: dict[str, Any], offset: int) -> str:
    """Note what is said of a review, if it is among the newest remembered and it is news."""
    remembered = sorted(past for past in person.past if past.kind != "impression")[-REMEMBERED:]
    for past in remembered:
        if (past.topic, past.offset, past.item_id) == (1, said["offset"], said["item_id"]):
            if past.refined == said["sentiment"]:
                return "unused"
            person.past[person.past.index(past)] = past._replace(refined=said["sentiment"])
            person.refined_at = offset
            return "refined"
    return "unused"


def _expected(person: _Person) -> Expected:
    past = person.past
    ratings = [round(one.rating * 1000) for one in past if one.rating is not None]
    return Expected(
        applied=len(past),
        history=sorted(one[:4] for one in past if one.kind != "impression")[-REMEMBERED:],
        refined={
            (one.offset, one.item_id): one.refined
            for one in sorted(one for one in past if one.kind != "impression")[-REMEMBERED:]
            if one.refined is not None
        },
        refined_at=person.refined_at,
        consumed={one.item_id for one in past if one.kind not in NOT_CONSUMING},
        rating_milli=sum(ratings),
        rating_count=len(ratings),
        scenarios={one.scenario for one in past},
    )


def readable(record: Logged) -> dict[str, Any] | None:
    """Return the event of a record, if the engine must apply it; no test writes borderline ones."""
    try:
        event = json.loads(record.value or b"")
        good = record.key == event["user_id"].encode()
        good = good and (record.topic == ERASURES or isinstance(event["item_id"], str))
        if record.topic == REFINEMENTS:
            return event if good and isinstance(event["sentiment"], float) else None
        return event if good and isinstance(event["timestamp"], int) else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _times(past: list[_Past]) -> int:
    """Return how often something was said of the last event's item before it."""
    return sum(one.item_id == past[-1].item_id and one.telling for one in past[:-1])


def _windows(past: list[_Past]) -> Iterator[tuple[_Past, tuple[str, ...]]]:
    """Yield what was taken, each with what it may be linked to: the items before, newest first."""
    taken = sorted(one for one in past if one.kind not in NOT_CONSUMING)
    for place, one in enumerate(taken):
        window = reversed(taken[max(0, place - 20) : place])
        yield one, tuple(other.item_id for other in window if other.telling)


def _linked(past: list[_Past]) -> Iterator[tuple[_Past, tuple[str, ...]]]:
    """Yield the events that are linked, with what stands before them.

    One that was not linked when something before it was erased is so only when more came there.
    """
    for one, before in _windows(past):
        few = before.count(one.item_id) < MOST_LINKED
        if one.telling and few and one.unlinked != before:
            yield one, before


def _link(past: list[_Past], state: Fold, sign: int) -> None:
    """Count who followed whom: .7 ** gap in 2048ths forward, half of it backward."""
    for one, before in _linked(past):
        for gap, source in enumerate(dict.fromkeys(before)):
            if source != one.item_id:
                state.links[source, one.item_id] += sign * round(2048 * 0.7**gap)
                state.links[one.item_id, source] += sign * round(1024 * 0.7**gap)
                if gap == 0:
                    state.following[source, one.item_id] += sign
