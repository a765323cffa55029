"""Compare two versions on what users took next: which had put it nearer to what they took before.

The item taken is ranked among the whole catalogue by its similarity to the user's newest items, by
text and by the tower side by side, of each version alone: no statistics, no re-ranker, so that a
version is judged for what it adds. What the user has taken already is left out. Knows no topics,
and nothing of what a difference decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stream_rec.adapters.shadow import paired_difference
from stream_rec.catalogue.catalogue import Catalogue
from stream_rec.catalogue.vectors import VectorTable
from stream_rec.experts.text import user_vectors
from stream_rec.policy import Policy
from stream_rec.profiles.profile import Profile
from stream_rec.ranking.users import Request, Users, read_users
from stream_rec.statistics.item_index import ItemIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One consuming event, and its user's profile just before it."""

    profile: Profile
    scenario: str
    policy: Policy
    item_id: str


class Known(Protocol):
    """The part of a replica that all versions share."""

    items: ItemIndex
    catalogue: Catalogue


def differences(
    known: Known,
    taken: Sequence[Taken],
    champion: Sequence[VectorTable],
    challenger: Sequence[VectorTable],
    *,
    now_ms: int,
) -> list[float]:
    """Return how much higher the challenger ranks each item taken, within [-1, 1].

    Events that say nothing are left out: by users without a past, of items that the catalogue does
    not have or that may not be shown again. Similarities by several tables of one version count
    alike. `now_ms` is the stream's own time.
    """
    count = len(known.items)
    known.catalogue.reserve()
    asked = [
        Request(profile=one.profile, scenario=one.scenario, policy=one.policy) for one in taken
    ]
    users = read_users(known.items, asked, now_ms=now_ms)
    rows = known.items.rows(one.item_id for one in taken)
    shown = [
        user
        for user, row in enumerate(rows.tolist())
        if row >= 0 and known.catalogue.recommendable[row] and row not in _barred(users, user)
    ]
    ranks = [_ranks(tables, users, rows, shown, known) for tables in (champion, challenger)]
    return [
        paired_difference(float(one), float(other), count)
        for one, other in zip(*ranks, strict=True)
        if one >= 0 and other >= 0
    ]


def _ranks(
    tables: Sequence[VectorTable],
    users: Users,
    rows: NDArray[np.int32],
    shown: Sequence[int],
    known: Known,
) -> NDArray[np.float64]:
    """Return the rank of each shown user's item, 0 the top and equals halved; -1 without a past."""
    count = len(known.items)
    scores = np.zeros((len(shown), count), np.float32)
    placed = np.zeros(len(shown), np.bool_)
    for table in tables:
        table.reserve(count)
        vectors = user_vectors(table, users.start, users.rows, users.near)[list(shown)]
        placed |= vectors.any(axis=1)
        scores += vectors @ table.matrix[:count].T / np.float32(len(tables))
    allowed = known.catalogue.recommendable[:count]
    ranks = np.full(len(shown), -1.0)
    for place, user in enumerate(shown):
        if not placed[place]:
            continue
        own, others = float(scores[place, rows[user]]), scores[place]
        others[~allowed] = -2.0
        others[_barred(users, user)] = -2.0
        equal = np.count_nonzero(others == np.float32(own)) - 1
        ranks[place] = np.count_nonzero(others > np.float32(own)) + 0.5 * equal
    return ranks


def _barred(users: Users, user: int) -> NDArray[np.int32]:
    part = slice(users.start[user], users.start[user + 1])
    return users.rows[part][users.barred[part]]
