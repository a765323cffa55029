"""What compiled code reads of items, gathered for one batch from catalogue, vectors and statistics.

Derived, never the truth: a view may be dropped at any time. Arrays are shared, not copied.
"""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from stream_rec.catalogue.catalogue import Catalogue
from stream_rec.catalogue.vectors import VectorTable
from stream_rec.experts.popularity import MIDDLE, Trends, category_leaders, read_trends
from stream_rec.statistics.co_visitation import Pool
from stream_rec.statistics.item_index import ItemIndex
from stream_rec.statistics.statistics import Statistics

TEXT = "text"


class Knowledge(Protocol):
    """What lists are made from, apart from the user."""

    items: ItemIndex
    catalogue: Catalogue
    statistics: Statistics
    vectors: dict[str, VectorTable]


class ItemView(NamedTuple):
    """Arrays over items; those with a capacity are longer than `hashes`."""

    hashes: NDArray[np.uint64]  # (items,)
    slot_hash: NDArray[np.uint64]
    slot_row: NDArray[np.int32]
    allowed: NDArray[np.bool_]  # (capacity,) recommendable
    price: NDArray[np.float32]
    published_ms: NDArray[np.int64]
    categories: NDArray[np.int32]  # (capacity, width) codes
    tags: NDArray[np.int32]
    brands: NDArray[np.int32]
    category_telling: NDArray[np.float32]  # (categories,) log of one over the share of items
    tag_telling: NDArray[np.float32]
    brand_telling: NDArray[np.float32]
    category_top: NDArray[np.int32]  # (categories, n) most popular, -1 padded
    counts: NDArray[np.int64]
    last_seen_ms: NDArray[np.int64]
    rating_count: NDArray[np.int64]
    rating_sum: NDArray[np.int64]
    decayed: NDArray[np.float32]  # (items, half-lives)
    newcomers: NDArray[np.float32]  # (items,)
    top: NDArray[np.int32]
    links: Pool
    following: Pool
    matrix: NDArray[np.float32]  # (capacity, dimension) of text
    now_ms: float
    events_per_ms: float
    rating_mean: float


class Dense(NamedTuple):
    """Dense arrays that compiled code leaves as it found them: zero."""

    linked: NDArray[np.float32]  # (items, 2) links of the newest sources, and of many
    following: NDArray[np.float32]  # (items,) links of the newest source alone
    mark: NDArray[np.int8]  # (items,)
    touched: NDArray[np.int32]  # (items + 1,) by `linked`
    after: NDArray[np.int32]  # (items,) touched by `following`
    interest: NDArray[np.float32]  # (3, labels) of categories, tags and brands


class Scratch:
    """Memory that is used again by every batch."""

    def __init__(self) -> None:
        self._dense = _dense(0, 0)
        self._similar: NDArray[np.float32] = np.zeros(0, np.float32)

    def dense(self, items: int, labels: int) -> Dense:
        """Return dense arrays with room for this many items and labels of one kind."""
        if len(self._dense.linked) < items or self._dense.interest.shape[1] < labels:
            self._dense = _dense(items + items // 4, labels + labels // 4)
        return self._dense

    def similar(self, users: int, items: int) -> NDArray[np.float32]:
        """Return an array (users, items) with whatever is in it."""
        if len(self._similar) < users * items:
            self._similar = np.zeros(users * items + users * items // 4, np.float32)
        return self._similar[: users * items].reshape(users, items)


def _dense(items: int, labels: int) -> Dense:
    return Dense(
        linked=np.zeros((items, 2), np.float32),
        following=np.zeros(items, np.float32),
        mark=np.zeros(items, np.int8),
        touched=np.zeros(items + 1, np.int32),
        after=np.zeros(items, np.int32),
        interest=np.zeros((3, labels), np.float32),
    )


class Views:
    """Keeps what is derived from the whole catalogue while it has not changed much."""

    def __init__(self) -> None:
        self.scratch = Scratch()
        self._trends: Trends | None = None
        self._trends_of: tuple[int, int, int, int] | None = None
        self._category_top: NDArray[np.int32] = np.zeros((0, _CATEGORY_TOP), np.int32)
        self._category_of: tuple[int, int] = (-1, -1)
        self._telling_of = -1
        self._telling_weights: list[NDArray[np.float32]] = []

    def trends(self, known: Knowledge, *, now_ms: int) -> Trends:
        """Return the popularity of this moment."""
        mark = (known.statistics.events, known.catalogue.changes, len(known.items), now_ms)
        if self._trends is None or mark != self._trends_of:
            self._trends = read_trends(known.statistics, known.catalogue, now_ms=now_ms)
            self._trends_of = mark
        return self._trends

    def items(self, known: Knowledge, *, now_ms: int) -> ItemView:
        """Return the view of all items that have a row."""
        catalogue, statistics, items = known.catalogue, known.statistics, known.items
        catalogue.reserve()
        statistics.reserve()
        trends = self.trends(known, now_ms=now_ms)
        table = known.vectors.get(TEXT)
        if table is not None:
            table.reserve(len(items))
        return ItemView(
            hashes=items.hashes[: len(items)],
            slot_hash=items.slot_hash,
            slot_row=items.slot_row,
            allowed=catalogue.recommendable,
            price=catalogue.price,
            published_ms=catalogue.published_ms,
            categories=catalogue.categories.codes,
            tags=catalogue.tags.codes,
            brands=catalogue.brands.codes,
            category_telling=self._telling(catalogue)[0],
            tag_telling=self._telling(catalogue)[1],
            brand_telling=self._telling(catalogue)[2],
            category_top=self._leaders_of_categories(known, trends),
            counts=statistics.counts,
            last_seen_ms=statistics.last_seen_ms,
            rating_count=statistics.rating_count,
            rating_sum=statistics.rating_sum,
            decayed=trends.decayed,
            newcomers=trends.newcomers,
            top=trends.top,
            links=statistics.links.pool,
            following=statistics.following.pool,
            matrix=_NO_VECTORS if table is None else table.matrix,
            now_ms=float(now_ms),
            events_per_ms=trends.events_per_ms,
            rating_mean=statistics.rating_mean,
        )

    def _telling(self, catalogue: Catalogue) -> list[NDArray[np.float32]]:
        """Return how much each category, tag and brand says of an item that carries it."""
        if self._telling_of != catalogue.changes:
            self._telling_of = catalogue.changes
            self._telling_weights = [
                np.log(max(catalogue.count, 1) / np.clip(labels.items_with, 1, None))
                .clip(0.0)
                .astype(np.float32)
                for labels in (catalogue.categories, catalogue.tags, catalogue.brands)
            ]
        return self._telling_weights

    def _leaders_of_categories(self, known: Knowledge, trends: Trends) -> NDArray[np.int32]:
        events, changes = known.statistics.events, known.catalogue.changes
        seen_events, seen_changes = self._category_of
        if changes != seen_changes or events > seen_events * _STALE + 16:
            catalogue = known.catalogue
            self._category_top = category_leaders(
                catalogue.categories.codes,
                catalogue.categories.items_with,
                catalogue.recommendable,
                np.ascontiguousarray(trends.decayed[:, MIDDLE]),
                _CATEGORY_TOP,
            )
            self._category_of = (events, changes)
        return self._category_top


_NO_VECTORS: NDArray[np.float32] = np.zeros((0, 1), np.float32)
_CATEGORY_TOP = 10
_STALE = 1.002  # leaders of categories follow every fifth of a percent of events
