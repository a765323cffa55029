"""What is shown to whom, and how often what is taken next stood in the list: live, and bounded.

Test-then-train, as in `replay.py`: what a user takes is looked up in the list that stood before it.
Only the newest lists are remembered, of the users served last; an event of a user whose list is not
remembered is not judged. Figures are kept by segment:

    users   new (no event yet), light, heavy (HEAVY events or more)
    items   new (nobody took it yet), head (the most taken, half of all that is taken), tail

Knows no clock, no metrics and no topics.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_rec.statistics.item_index import ItemIndex

USERS = ("new", "light", "heavy")
ITEMS = ("new", "head", "tail")


class Taken(NamedTuple):
    """Something taken: by whom, where, what; how many events of the user, of the item before it."""

    user_id: str
    scenario: str
    item_id: str
    events_before: int
    taken_before: int


class Shown(NamedTuple):
    """A list as it was published, and how many events its user had."""

    user_id: str
    scenario: str
    item_ids: Sequence[str]
    events: int


@dataclass(slots=True)
class Tally:
    """Counts since the start; `users` and `items` hold (judged, hits), `shown` counts places."""

    users: NDArray[np.int64] = field(default_factory=lambda: np.zeros((len(USERS), 2), np.int64))
    items: NDArray[np.int64] = field(default_factory=lambda: np.zeros((len(ITEMS), 2), np.int64))
    shown_to: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(USERS), np.int64))
    shown: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(ITEMS), np.int64))


class Exposure:
    """The newest lists, what came of them, and how widely they spread over the catalogue."""

    def __init__(self, items: ItemIndex, *, most_lists: int = 20_000) -> None:
        self.tally = Tally()
        self._items = items
        self._most = most_lists
        self._newest: OrderedDict[tuple[str, str], NDArray[np.int32]] = OrderedDict()
        self._head_from = 1  # an item taken at least this often is of the head
        self._window = np.zeros((2, 1024))  # places shown by row: this window and the last one

    def __len__(self) -> int:
        return len(self._newest)

    def judge(self, taken: Iterable[Taken], *, everyone: str) -> list[tuple[bool, bool]]:
        """Return (hit, item nobody took before) of each event that can be judged, and count them.

        `everyone` is the user of the default lists, which stand for users never seen.
        """
        found = []
        for event in taken:
            listed = self._newest.get((event.user_id, event.scenario))
            if listed is None and not event.events_before:
                listed = self._newest.get((everyone, event.scenario))
            if listed is None:
                continue
            row = self._items.row(event.item_id)
            hit = bool(row >= 0 and (listed == row).any())
            before = event.taken_before
            item = 0 if before <= 0 else 1 if before >= self._head_from else 2
            for column in (0, 1) if hit else (0,):
                self.tally.users[user_segment(event.events_before), column] += 1
                self.tally.items[item, column] += 1
            found.append((hit, item == 0))
        return found

    def show(self, lists: Iterable[Shown], counts: NDArray[np.int64]) -> None:
        """Remember lists in place of their users' older ones, and count their places."""
        parts = []
        for shown in lists:
            rows = self._items.rows(shown.item_ids)
            key = (shown.user_id, shown.scenario)
            self._newest[key] = rows
            self._newest.move_to_end(key)
            if len(self._newest) > self._most:
                self._newest.popitem(last=False)
            self.tally.shown_to[user_segment(shown.events)] += len(rows)
            parts.append(rows)
        if not parts:
            return
        rows = np.concatenate(parts)
        rows = rows[rows >= 0]
        segments = self._item_segments(rows, counts)
        self.tally.shown += np.bincount(segments, minlength=len(ITEMS))
        if len(self._items) > self._window.shape[1]:
            longer = np.zeros((2, 2 * len(self._items)))
            longer[:, : self._window.shape[1]] = self._window
            self._window = longer
        np.add.at(self._window[0], rows, 1.0)

    def forget(self, user_id: str, scenarios: Iterable[str]) -> None:
        """Forget a user's lists in some scenarios."""
        for scenario in scenarios:
            self._newest.pop((user_id, scenario), None)

    def forget_all(self) -> None:
        """Forget all lists: another worker may have made newer ones."""
        self._newest.clear()

    def who_sees(self, rows: NDArray[np.int32], scenario: str) -> list[str]:
        """Return the users whose remembered lists show any of the rows."""
        users = [user_id for user_id, where in self._newest if where == scenario]
        if not users or not len(rows):
            return []
        lists = [listed for (_, where), listed in self._newest.items() if where == scenario]
        lengths = [len(listed) for listed in lists]
        shows = np.isin(np.concatenate(lists), rows)
        owners = np.repeat(np.arange(len(lists)), lengths)[shows]
        return [users[owner] for owner in np.unique(owners).tolist()]

    def turn_window(self) -> None:
        """Start a new window; `spread` speaks of this one and the one before."""
        self._window[1] = self._window[0]
        self._window[0] = 0.0

    def look_for_head(self, counts: NDArray[np.int64]) -> None:
        """Set anew from how many takings on an item is of the head."""
        self._head_from = head_from(counts)

    def spread(self, recommendable: NDArray[np.bool_]) -> tuple[float, float]:
        """Return coverage and Gini index of what may be shown, over the last one to two windows.

        Coverage is the share of items that stood in any list; the Gini index is 0 when all are
        shown alike and near 1 when one item takes all places.
        """
        rows = min(len(recommendable), self._window.shape[1])
        may = np.flatnonzero(recommendable[:rows])
        shown = self._window.sum(0)[may]
        extra = int(recommendable[rows:].sum())  # recommendable, and newer than any list
        if not len(may) + extra:
            return 0.0, 0.0
        shown = np.concatenate([shown, np.zeros(extra)])
        return float((shown > 0).mean()), gini(shown)

    def _item_segments(
        self, rows: NDArray[np.integer], counts: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        known = (rows >= 0) & (rows < len(counts))
        taken = np.where(known, counts[np.where(known, rows, 0)], 0)
        return np.where(taken == 0, 0, np.where(taken >= self._head_from, 1, 2))


def user_segment(events: int) -> int:
    """Return the place in `USERS` of a user with so many events.

    >>> [USERS[user_segment(events)] for events in (0, 1, 30)]
    ['new', 'light', 'heavy']
    """
    return 0 if events == 0 else 1 if events < HEAVY else 2


def head_from(counts: NDArray[np.int64]) -> int:
    """Return the count from which on items are of the head: they make up half of all counts.

    >>> head_from(np.array([50, 30, 10, 5, 5]))
    50
    """
    taken = counts[counts > 0]
    if not len(taken):
        return 1
    values, how_many = np.unique(taken, return_counts=True)
    from_above = np.cumsum((values * how_many)[::-1])[::-1]  # taken by items of at least this count
    return int(values[np.flatnonzero(from_above * 2 >= from_above[0])[-1]])


def gini(amounts: NDArray[np.float64]) -> float:
    """Return the Gini index of amounts that are at least 0 (Gini, Variabilità e mutabilità, 1912).

    >>> gini(np.array([1.0, 1.0])), gini(np.array([0.0, 0.0, 0.0, 4.0]))
    (0.0, 0.75)
    """
    total = float(amounts.sum())
    if not len(amounts) or total <= 0.0:
        return 0.0
    ranked = np.sort(amounts)
    places = np.arange(1, len(ranked) + 1)
    return float(2.0 * (places * ranked).sum() / (len(ranked) * total)) - (len(ranked) + 1) / len(
        ranked
    )


HEAVY = 20  # events from which on a user counts as heavy
