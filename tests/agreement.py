"""What the engine's state and the oracle's disagree on, in words; empty lists mean that they agree.

Reads the engine's own values; the oracle knows none of them.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from stream_rec.item_hash import item_hash
from stream_rec.ledger import Ledger
from stream_rec.profiles.profile import Profile
from stream_rec.statistics.statistics import Statistics
from stream_rec.toplist import TopList
from tests.oracle import Expected, Fold


class Gone(NamedTuple):
    """A tombstone among the lists."""

    scenario: str
    user_id: str


def profile_differences(profiles: Mapping[str, Profile], fold: Fold) -> list[str]:
    """Compare every user's profile; the pseudo-user of the default list is no user."""
    found = {user_id for user_id in profiles if user_id != "*"}
    wrong = [f"{user_id}: known to one side only" for user_id in found ^ set(fold.users)]
    for user_id in found & set(fold.users):
        wrong += [f"{user_id}: {line}" for line in _of_user(profiles[user_id], fold.users[user_id])]
    return sorted(wrong)


def statistics_differences(statistics: Statistics, fold: Fold) -> list[str]:
    """Compare counts and links, which are integers and must be the same."""
    ids = statistics.items.ids
    counts = {ids[row]: int(n) for row, n in enumerate(statistics.counts[: len(ids)]) if n}
    wrong = _unequal("count", counts, fold.counts)
    for name, expected in (("links", fold.links), ("following", fold.following)):
        links = linked(statistics, name)
        wrong += _unequal(name, {pair: weight for pair, (weight, _) in links.items()}, expected)
        if not all(0 <= part <= weight for weight, part in links.values()):
            wrong.append(f"{name}: newcomers made more of some, or less, than everybody")
    return wrong


def linked(statistics: Statistics, table: str) -> dict[tuple[str, str], tuple[int, int]]:
    """Return the links of a table by their items: how strong, and newcomers' part of it."""
    ids = statistics.items.ids
    columns = (column.tolist() for column in getattr(statistics, table).links())
    return {
        (ids[row], ids[to]): (weight, part) for row, to, weight, part in zip(*columns, strict=True)
    }


def outcome_differences(ledgers: Iterable[Ledger], fold: Fold) -> list[str]:
    """Compare how many records came to what, over all partitions and topics."""
    found: dict[str, int] = {}
    for ledger in ledgers:
        for counts in ledger.outcomes.values():
            for outcome, count in counts.items():
                found[outcome] = found.get(outcome, 0) + count
    return _unequal("outcomes", found, fold.outcomes)


def list_differences(lists: Iterable[TopList | Gone], fold: Fold) -> list[str]:
    """Check all lists of a log in its order: versions go up, and the last ones know every event.

    A tombstone takes a list away, but versions go on above it.
    """
    newest: dict[tuple[str, str], TopList] = {}
    versions: dict[tuple[str, str], int] = {}
    wrong = []
    for made in lists:
        place = (made.scenario, made.user_id)
        before = newest.pop(place, None)
        if isinstance(made, Gone):
            continue
        if made.version <= versions.get(place, 0):
            wrong.append(f"{made.key!r}: version {made.version} after {versions[place]}")
        if before is not None and made.lineage.events_applied < before.lineage.events_applied:
            wrong.append(f"{made.key!r}: knows less than the list before")
        newest[place], versions[place] = made, made.version
    for scenario, user_id in newest:
        known = fold.users.get(user_id)
        if user_id != "*" and (known is None or scenario not in known.scenarios):
            wrong.append(f"{scenario}/{user_id}: has a list that nothing is left for")
    for user_id, expected in fold.users.items():
        for scenario in expected.scenarios:
            made_last = newest.get((scenario, user_id))
            events = expected.applied
            if made_last is None:
                wrong.append(f"{scenario}/{user_id}: has no list")
            elif made_last.lineage.events_applied != events:
                knows = made_last.lineage.events_applied
                wrong.append(f"{scenario}/{user_id}: knows {knows} of {events} events")
            elif expected.refined_at > made_last.lineage.offsets.get(REFINEMENTS, (0, -1))[1]:
                wrong.append(f"{scenario}/{user_id}: made before the last refinement")
    return wrong


def decayed_error(one: Statistics, other: Statistics) -> float:
    """Return the largest relative difference of decayed sums between two workers."""
    ids = sorted(set(one.items.ids) | set(other.items.ids))
    mine, theirs = (
        np.where(rows >= 0, table.decayed.sums[:, rows], 0.0)
        for table, rows in ((one, one.items.rows(ids)), (other, other.items.rows(ids)))
    )
    return float((np.abs(mine - theirs) / np.maximum(np.abs(theirs), 1e-300)).max(initial=0.0))


def _of_user(profile: Profile, expected: Expected) -> Iterable[str]:
    history = [(*past.place, past.item_id) for past in profile.history]
    if history != expected.history:
        yield f"history {history[-3:]} … instead of {expected.history[-3:]} …"
    if profile.events_applied != expected.applied:
        yield f"{profile.events_applied} events applied, not {expected.applied}"
    hashes = np.array(sorted(map(item_hash, expected.consumed)), np.uint64)
    exact = profile.consumed.hashes()
    if not profile.consumed.bloom and exact.tolist() != hashes.tolist():
        yield f"{len(exact)} items consumed, not {len(hashes)}"
    if profile.consumed.bloom and not profile.consumed.holds(hashes).all():
        yield "a consumed item is not known"
    ratings = (profile.rating_count, profile.rating_milli)
    if ratings != (expected.rating_count, expected.rating_milli):
        yield f"ratings {ratings}, not {(expected.rating_count, expected.rating_milli)}"
    if expected.history and profile.newest_ms < expected.history[-1][0]:
        yield "an older newest event"
    refined = {
        (past.offset, past.item_id): past.sentiment
        for past in profile.history
        if past.understood is not None
    }
    if refined != expected.refined:
        yield f"refined {refined}, not {expected.refined}"
    if set(profile.lists) != expected.scenarios:
        yield f"lists in {sorted(profile.lists)}, not {sorted(expected.scenarios)}"


REFINEMENTS = "internal.refinements"


def _unequal(what: str, found: Mapping[Any, int], expected: Mapping[Any, int]) -> list[str]:
    wrong = [
        f"{what} of {key}: {found.get(key, 0)} instead of {expected.get(key, 0)}"
        for key in {*found, *expected}
        if found.get(key, 0) != expected.get(key, 0)
    ]
    return sorted(wrong)[:20]
