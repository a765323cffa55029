"""What compiled code reads of items, gathered for one batch from catalogue, vectors and statistics.

Derived, never the truth: a view may be dropped at any time. Arrays are shared, not copied.
"""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from stream_rec.catalogue.catalogue import Catalogue
from stream_rec.catalogue.neighbours import Neighbours
from stream_rec.catalogue.vectors import VectorTable
from stream_rec.experts.impressions import Impressions
from stream_rec.experts.labels import token_trends
from stream_rec.experts.popularity import MIDDLE, Trends, category_leaders, read_trends
from stream_rec.policy import Trust
from stream_rec.statistics.co_visitation import Pool
from stream_rec.statistics.item_index import ItemIndex
from stream_rec.statistics.statistics import NEVER_MS, Statistics

TEXT = "text"
TOWER = "tower"  # where the tower of an adapter puts items


class Knowledge(Protocol):
    """What lists are made from, apart from the user."""

    items: ItemIndex
    catalogue: Catalogue
    statistics: Statistics
    vectors: dict[str, VectorTable]

    @property
    def trust(self) -> Trust:
        """How much of what newcomers say is passed on."""
        ...


class ItemView(NamedTuple):
    """Arrays over items; those with a capacity are longer than `hashes`."""

    hashes: NDArray[np.uint64]  # (items,)
    slot_hash: NDArray[np.uint64]
    slot_row: NDArray[np.int32]
    allowed: NDArray[np.bool_]  # (capacity,) recommendable
    categories: NDArray[np.int32]  # (capacity, width) codes
    category_top: NDArray[np.int32]  # (categories, n) most popular, -1 padded
    tokens: NDArray[np.int32]  # (capacity, width) codes
    token_telling: NDArray[np.float32]  # (tokens,) log of one over the share of items
    token_trend: NDArray[np.float32]  # (items,) how popular items are that share its tokens
    counts: NDArray[np.int64]
    last_seen_ms: NDArray[np.int64]
    decayed: NDArray[np.float32]  # (items, half-lives)
    newcomers_credits: NDArray[np.float32]  # (items,) what counts of what they say
    top: NDArray[np.int32]
    links: Pool
    following: Pool
    matrix: NDArray[np.float32]  # (capacity, dimension) of text
    small: NDArray[np.int8]  # (capacity, dimension) the same in bytes
    small_worth: NDArray[np.float32]
    near: NDArray[np.int32]  # (capacity, n) nearest items by text, -1 padded
    near_cosine: NDArray[np.float32]
    now_ms: float
    events_per_ms: float
    middle_mass: float  # decayed events of the middle half-life, all items together
    novelty: float  # share of events that are the first of their item
    known: float  # items of the catalogue


class Dense(NamedTuple):
    """Dense arrays that compiled code leaves as it found them: zero."""

    linked: NDArray[np.float32]  # (items,) links of the newest sources
    following: NDArray[np.float32]  # (items,) links of the newest source alone
    mark: NDArray[np.int8]  # (items,)
    touched: NDArray[np.int32]  # (items + 1,) by `linked`
    after: NDArray[np.int32]  # (items,) touched by `following`
    liking: NDArray[np.float32]  # (tokens,)
    towered: NDArray[np.float32]  # (items,) not zero: written whole before it is read


class Scratch:
    """Memory that is used again by every batch."""

    def __init__(self) -> None:
        self._dense = _dense(0, 0)
        self._similar: NDArray[np.float32] = np.zeros(0, np.float32)

    def dense(self, items: int, tokens: int) -> Dense:
        """Return dense arrays with room for this many items and tokens."""
        if len(self._dense.linked) < items or len(self._dense.liking) < tokens:
            self._dense = _dense(items + items // 4, tokens + tokens // 4)
        return self._dense

    def similar(self, users: int, items: int) -> NDArray[np.float32]:
        """Return an array (users, items) with whatever is in it."""
        if len(self._similar) < users * items:
            self._similar = np.zeros(users * items + users * items // 4, np.float32)
        return self._similar[: users * items].reshape(users, items)


def _dense(items: int, tokens: int) -> Dense:
    return Dense(
        linked=np.zeros(items, np.float32),
        following=np.zeros(items, np.float32),
        mark=np.zeros(items, np.int8),
        touched=np.zeros(items + 1, np.int32),
        after=np.zeros(items, np.int32),
        liking=np.zeros(tokens, np.float32),
        towered=np.zeros(items, np.float32),
    )


class Views:
    """Keeps what is derived from the whole catalogue while it has not changed much."""

    def __init__(self) -> None:
        self.scratch = Scratch()
        self.impressions = Impressions()
        self.neighbours = Neighbours()
        self._neighbours_of: VectorTable | None = None
        self._lagging = _Lagging()

    def beside(self, table: VectorTable, neighbours: Neighbours) -> "Views":
        """Return views of other text vectors, which share all that does not come from vectors."""
        views = Views()
        views.scratch, views.impressions = self.scratch, self.impressions
        views.neighbours, views._neighbours_of = neighbours, table
        views._lagging = self._lagging
        return views

    def items(self, known: Knowledge, *, now_ms: int) -> ItemView:
        """Return the view of all items that have a row."""
        catalogue, statistics, items = known.catalogue, known.statistics, known.items
        catalogue.reserve()
        statistics.reserve()
        trends = self._lagging.trends_at(known, now_ms=now_ms)
        slow = self._lagging.slowly(known, trends, now_ms=now_ms)
        table = known.vectors.get(TEXT)
        self.catch_up(known, most=_VECTORS_AT_ONCE)
        return ItemView(
            hashes=items.hashes[: len(items)],
            slot_hash=items.slot_hash,
            slot_row=items.slot_row,
            allowed=catalogue.recommendable,
            categories=catalogue.categories.codes,
            category_top=slow.category_top,
            tokens=catalogue.tokens.codes,
            token_telling=slow.token_telling,
            token_trend=slow.token_trend,
            counts=statistics.counts,
            last_seen_ms=statistics.last_seen_ms,
            decayed=trends.decayed,
            newcomers_credits=trends.credits.newcomers,
            top=trends.top,
            links=statistics.links.pool,
            following=statistics.following.pool,
            matrix=_NO_VECTORS if table is None else table.matrix,
            small=_NO_SMALL if table is None else table.small,
            small_worth=_NO_WORTH if table is None else table.small_worth,
            near=self.neighbours.rows,
            near_cosine=self.neighbours.cosines,
            now_ms=float(now_ms),
            events_per_ms=trends.events_per_ms,
            middle_mass=float(trends.mass[MIDDLE]),
            novelty=slow.novelty,
            known=float(max(catalogue.count, 1)),
        )

    @property
    def bounded_items(self) -> int:
        """Items of whose latest events less than half is passed on, since newcomers alone came."""
        return self._lagging.bounded_items

    def catch_up(self, known: Knowledge, *, most: int) -> None:
        """Find the neighbours of at most so many new text vectors; good work for idle time."""
        table, rows = known.vectors.get(TEXT), len(known.items)
        if table is not self._neighbours_of:
            self.neighbours, self._neighbours_of = Neighbours(), table
        self.neighbours.reserve(rows)
        if table is not None:
            table.reserve(rows)
            self.neighbours.follow(table, most=most)


class _Lagging:
    """What comes from statistics and catalogue alone, whichever vectors they are seen with."""

    def __init__(self) -> None:
        self._trends: Trends | None = None
        self._trends_of: tuple[int, int, int, int, Trust] | None = None
        self._slow = _NO_SLOW
        self._slow_of: tuple[int, int, Trust | None] = (-1, -1, None)

    def trends_at(self, known: Knowledge, *, now_ms: int) -> Trends:
        """Return the trends of now."""
        statistics, catalogue, trust = known.statistics, known.catalogue, known.trust
        mark = (statistics.events, catalogue.changes, len(known.items), now_ms, trust)
        if self._trends is None or mark != self._trends_of:
            self._trends = read_trends(statistics, catalogue, trust, now_ms=now_ms)
            self._trends_of = mark
        return self._trends

    @property
    def bounded_items(self) -> int:
        """Items with a credit below a half."""
        return 0 if self._trends is None else int((self._trends.credits.everybody < _BOUNDED).sum())

    def slowly(self, known: Knowledge, trends: Trends, *, now_ms: int) -> "Slow":
        """Return what may lag behind by half a percent of the events."""
        events, changes, trust = known.statistics.events, known.catalogue.changes, known.trust
        seen_events, seen, trusted = self._slow_of
        changed = (changes, trust) != (seen, trusted)
        if changed or events > seen_events * _STALE + 4:
            self._slow = _slow(known, trends, now_ms=now_ms)
            self._slow_of = (events, changes, trust)
        return self._slow


class Slow(NamedTuple):
    """What is derived from all items and changes slowly."""

    category_top: NDArray[np.int32]
    token_telling: NDArray[np.float32]
    token_trend: NDArray[np.float32]
    novelty: float


def _slow(known: Knowledge, trends: Trends, *, now_ms: int) -> Slow:
    catalogue, statistics = known.catalogue, known.statistics
    rows = len(known.items)
    tokens = catalogue.tokens
    telling = np.log(max(catalogue.count, 1) / np.maximum(tokens.items_with, 1))
    telling = np.where(tokens.items_with < 2, 0.0, telling.clip(0.0)).astype(np.float32)
    return Slow(
        category_top=category_leaders(
            catalogue.categories.codes,
            catalogue.categories.items_with,
            catalogue.recommendable,
            np.ascontiguousarray(trends.decayed[:, MIDDLE]),
            _CATEGORY_TOP,
        ),
        token_telling=telling,
        token_trend=token_trends(
            tokens.codes, (tokens.items_with, telling), statistics.counts[:rows], statistics.events
        ),
        novelty=_novelty(statistics, rows, now_ms),
    )


def _novelty(statistics: Statistics, rows: int, now_ms: int) -> float:
    """Return the recent share of events that were the first of their item."""
    if not statistics.events:
        return 0.5
    reading = statistics.decayed.read(_NOVELTY_EVENTS, now_ms=now_ms)
    first = statistics.first_seen_ms[:rows]
    ages = np.maximum(now_ms - first[first < NEVER_MS], 0) / reading.half_life_ms
    events = reading.events_per_ms * reading.half_life_ms / np.log(2.0)
    return float(min(np.exp2(-ages).sum() / max(events, 1.0), 1.0))


_NO_VECTORS: NDArray[np.float32] = np.zeros((0, 1), np.float32)
_NO_SMALL: NDArray[np.int8] = np.zeros((0, 1), np.int8)
_NO_WORTH: NDArray[np.float32] = np.zeros(0, np.float32)
_NO_SLOW = Slow(np.zeros((0, 1), np.int32), np.zeros(0, np.float32), np.zeros(0, np.float32), 0.5)
_CATEGORY_TOP = 5
_STALE = 1.005
_BOUNDED = 0.5
_VECTORS_AT_ONCE = 32  # new vectors compared with all others before one batch
_NOVELTY_EVENTS = 139.0  # half-life of a running share that moves by half a percent
