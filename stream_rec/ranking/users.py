"""What compiled code reads of the users of one batch: their newest interactions as columns.

Here a policy turns raw signals into weights. Knows profiles and policies, no statistics.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_rec.events import DAY_MS, NOT_CONSUMING
from stream_rec.item_hash import item_hash
from stream_rec.policy import Policy
from stream_rec.profiles.consumed import BLOOM_BITS, SATURATED, Consumed
from stream_rec.profiles.history import Interaction
from stream_rec.profiles.profile import Profile
from stream_rec.profiles.signals import is_negative, weight
from stream_rec.statistics.item_index import ItemIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A list that is wanted; without a profile, the default list of the scenario."""

    profile: Profile | None
    scenario: str
    policy: Policy


class Users(NamedTuple):
    """Columns over all interactions, newest first; user u has those at start[u]:start[u + 1]."""

    start: NDArray[np.int64]  # (users + 1,)
    rows: NDArray[np.int32]  # (interactions,)
    taken: NDArray[np.bool_]  # consumed rather than refused
    barred: NDArray[np.bool_]  # may not be shown again
    pull: NDArray[np.float32]  # how much a taken item counts as a source of links, 0 … 1
    near: NDArray[np.float32]  # signed weight in the user's vector, fading fast
    wide: NDArray[np.float32]  # the same, fading slowly
    liking: NDArray[np.float32]  # signed, without fading, -1 … 1
    push: NDArray[np.float32]  # how hard a refused item pushes away, 0 for all others
    hash_start: NDArray[np.int64]  # (users + 1,) of the hashes of items that may not be shown
    hashes: NDArray[np.uint64]
    bloom_start: NDArray[np.int64]  # (users + 1,) of the filters that hold more such items
    blooms: NDArray[np.uint8]  # (filters, bytes)
    repeats: NDArray[np.bool_]  # (users,) whether items consumed before may be shown


def read_users(items: ItemIndex, requests: Sequence[Request], *, now_ms: int) -> Users:
    """Read the users of a batch; items without a row say nothing and are left out."""
    reader = _Reader(items, now_ms)
    for request in requests:
        reader.read(request)
    return reader.columns()


def bars(past: Interaction, policy: Policy, *, now_ms: int) -> bool:
    """Whether a remembered interaction bars its item: not wanted, or taken within the cooldown."""
    exclude = policy.toplist.exclude
    cooling_ms = (exclude.cooldown_days or 0.0) * DAY_MS if exclude.consumed else 0.0
    if past.consuming and max(0, now_ms - past.timestamp) < cooling_ms:
        return True
    return exclude.disliked and is_negative(past, policy.signals)


class _Reader:
    """Collects columns, user by user."""

    def __init__(self, items: ItemIndex, now_ms: int) -> None:
        self._find = items.find
        self._now_ms = now_ms
        self._start, self._hash_start, self._bloom_start = [0], [0], [0]
        self._rows: list[int] = []
        self._worth: list[float] = []
        self._taken: list[bool] = []
        self._time: list[int] = []
        self._per_user: list[tuple[float, float, float, bool, bool, bool, float]] = []
        self._exact: list[bytes] = []
        self._exact_bytes = 0
        self._blooms: list[bytes] = []

    def read(self, request: Request) -> None:
        """Append the columns of one user."""
        policy, profile = request.policy, request.profile
        exclude, reading = policy.toplist.exclude, policy.profile
        cooling = exclude.cooldown_days if exclude.consumed else None
        if profile is not None:
            self._history(profile, policy)
            self._bar_unread(profile, policy)
            if exclude.consumed and cooling is None:
                self._bar(profile.consumed)
            if exclude.disliked:
                self._bar(profile.disliked)
        self._start.append(len(self._rows))
        self._hash_start.append(self._exact_bytes // 8)
        self._bloom_start.append(len(self._blooms))
        self._per_user.append(
            (
                min(reading.half_life_events),
                max(reading.half_life_events),
                reading.half_life_days * DAY_MS,
                policy.signals.negative_review == "alternatives",
                exclude.consumed and cooling is None,
                exclude.disliked,
                (cooling or 0.0) * DAY_MS,
            )
        )

    def _history(self, profile: Profile, policy: Policy) -> None:
        signals, find = policy.signals, self._find
        plain, other = signals.weights.get, signals.weights["other"]
        newest = profile.history[: -policy.profile.history - 1 : -1]
        self._rows += [find(past.item_id, -1) for past in newest]
        self._worth += [
            plain(past.event_type, other)
            if past.rating is None and past.sentiment is None
            else weight(past, signals)
            for past in newest
        ]
        self._taken += [past.event_type not in NOT_CONSUMING for past in newest]
        self._time += [past.timestamp for past in newest]

    def _bar_unread(self, profile: Profile, policy: Policy) -> None:
        """Bar what is remembered beyond the interactions that the policy weighs."""
        for past in profile.history[: -policy.profile.history]:
            if bars(past, policy, now_ms=self._now_ms):
                self._bar(Consumed(item_hash(past.item_id).to_bytes(8, "little")))

    def _bar(self, items: Consumed) -> None:
        if items.exact:
            self._exact.append(items.exact)
            self._exact_bytes += len(items.exact)
        if items.bloom and int.from_bytes(items.bloom).bit_count() <= SATURATED * BLOOM_BITS:
            self._blooms.append(items.bloom)

    def columns(self) -> Users:
        """Return all columns."""
        rows = np.array(self._rows, np.int32)
        known = rows >= 0
        start = np.concatenate(([0], np.cumsum(known, dtype=np.int64)))[self._start]
        lengths = np.diff(start)
        per_user = np.array(self._per_user, np.float64).reshape(-1, 7).T
        fast, slow, days, alternatives, no_repeats, no_disliked, cooling = np.repeat(
            per_user, lengths, axis=1
        )
        worth = np.array(self._worth, np.float32)[known]
        taken = np.array(self._taken, np.bool_)[known]
        age = np.maximum(self._now_ms - np.array(self._time, np.float64)[known], 0.0)
        gap = np.arange(len(worth)) - np.repeat(start[:-1], lengths)
        refused, second_chance = worth < 0, taken & (alternatives > 0)
        strength = np.minimum(np.abs(worth), 1.0)
        sign = np.where(refused & second_chance, _ALTERNATIVES * np.abs(worth), worth)
        by_age = age / days
        slowly = np.exp2(-gap / slow - by_age)
        cooling_down = taken & (age < cooling)
        return Users(
            start=start,
            rows=rows[known],
            taken=taken,
            barred=(taken & (no_repeats > 0)) | (refused & (no_disliked > 0)) | cooling_down,
            pull=np.where(
                taken, np.where(refused, _ALTERNATIVES * (alternatives > 0), 1.0) * strength, 0.0
            ).astype(np.float32),
            liking=np.where(taken, np.where(refused, _ALTERNATIVES, 1.0), -1.0).astype(np.float32)
            * strength,
            near=(sign * np.exp2(-gap / fast - by_age)).astype(np.float32),
            wide=(sign * slowly).astype(np.float32),
            push=np.where(refused, strength * slowly, 0.0).astype(np.float32),
            hash_start=np.array(self._hash_start, np.int64),
            hashes=np.frombuffer(b"".join(self._exact), np.uint64),
            bloom_start=np.array(self._bloom_start, np.int64),
            blooms=np.frombuffer(b"".join(self._blooms), np.uint8).reshape(-1, BLOOM_BITS // 8),
            repeats=per_user[4] == 0,
        )


_ALTERNATIVES = 0.4  # of an item reviewed badly, the need remains: others of its kind are wanted
