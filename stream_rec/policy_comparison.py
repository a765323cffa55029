"""Two policies on the same recorded events, side by side: what their lists show, and to whom.

Each run notes the list that stood before every scored event; the moments are the same in all runs,
so lists can be compared one by one. Knows lists and the replica, not how either was made.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from stream_rec.events import Event
from stream_rec.exposure import ITEMS, USERS, Exposure, Shown
from stream_rec.ranking.diversity import likeness
from stream_rec.replay import CUT
from stream_rec.replica import Replica
from stream_rec.toplist import DEFAULT_USER, TopList


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """How the lists of one run spread: all shares from 0 to 1.

    `diversity` is the mean of 1 - likeness over the pairs of a list, `exposure` the share of all
    places by item segment, `coverage` that of recommendable items in any list.
    """

    lists: int
    coverage: float
    gini: float
    diversity: float
    exposure: dict[str, float]
    exposure_by_user: dict[str, float]


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """How the lists of two runs differ at the same moments.

    `lists` is the share of lists that are not the same, items and order; `first` that with another
    item on top; `replaced` the mean share of a list's items that the other one does not show.
    """

    compared: int
    lists: float
    first: float
    replaced: float


@dataclass(slots=True)
class Standing:
    """The lists of one run that stood before each scored event; call it with each."""

    replica: Replica
    lists: list[tuple[str, ...]] = field(default_factory=list)
    _exposure: Exposure = field(init=False)

    def __post_init__(self) -> None:
        self._exposure = Exposure(self.replica.items, most_lists=1)

    def __call__(self, event: Event, toplist: TopList | None) -> None:
        """Note the list that an event is scored by; None shows nothing."""
        items: tuple[str, ...] = ()
        events = 0
        if toplist is not None:
            items = tuple(item.item_id for item in toplist.items[:CUT])
            if toplist.user_id != DEFAULT_USER:
                events = toplist.lineage.events_applied
        counts = self.replica.statistics.counts
        if len(self.lists) % HEAD_EVERY == 0:
            self._exposure.look_for_head(counts)
        self._exposure.show([Shown(event.user_id, event.scenario, items, events)], counts)
        self.lists.append(items)

    def spread(self) -> Spread:
        """Return how the lists spread, by the catalogue as it is at the end."""
        tally = self._exposure.tally
        coverage, gini = self._exposure.spread(self.replica.catalogue.recommendable)
        return Spread(
            lists=len(self.lists),
            coverage=coverage,
            gini=gini,
            diversity=self._diversity(),
            exposure=_shares(ITEMS, tally.shown),
            exposure_by_user=_shares(USERS, tally.shown_to),
        )

    def _diversity(self) -> float:
        """A regular sample of the lists, by the vectors of their texts or their labels."""
        replica, found = self.replica, []
        for items in self.lists[:: 1 + len(self.lists) // SAMPLED]:
            rows = replica.items.rows(items)
            rows = rows[rows >= 0]
            if len(rows) > 1:
                alike = likeness(rows, replica.vectors.get("text"), replica.catalogue)
                pairs = len(rows) * (len(rows) - 1)
                found.append(1.0 - (float(alike.sum()) - float(np.trace(alike))) / pairs)
        return float(np.mean(found)) if found else 0.0


def changed(before: Sequence[tuple[str, ...]], after: Sequence[tuple[str, ...]]) -> Changed:
    """Compare the lists of two runs at the same moments.

    >>> changed([("a", "b"), ("c",)], [("a", "x"), ("c",)])
    Changed(compared=2, lists=0.5, first=0.0, replaced=0.25)
    """
    pairs = list(zip(before, after, strict=True))
    if not pairs:
        return Changed(compared=0, lists=0.0, first=0.0, replaced=0.0)
    new = [len(set(b) - set(a)) / max(1, len(b)) for a, b in pairs]
    return Changed(
        compared=len(pairs),
        lists=sum(a != b for a, b in pairs) / len(pairs),
        first=sum(a[:1] != b[:1] for a, b in pairs) / len(pairs),
        replaced=float(np.mean(new)),
    )


def _shares(names: Sequence[str], counts: np.ndarray) -> dict[str, float]:
    total = max(1, int(counts.sum()))
    return {name: count / total for name, count in zip(names, counts.tolist(), strict=True)}


HEAD_EVERY = 200
SAMPLED = 400
