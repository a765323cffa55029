"""What is known of items from everybody's behaviour: a fold of facts that commutes.

Counts, ratings and links are integers and come out the same in any order of facts; decayed sums
agree to rounding. Snapshots are checked whole before any of it is believed. Knows nothing of users,
of topics, or of what the figures are used for.
"""

import hashlib
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_rec.errors import StateRejected
from stream_rec.statistics.co_visitation import BACKWARD, FOLLOWING, FORWARD, Links, LinkTable
from stream_rec.statistics.facts import Facts
from stream_rec.statistics.item_index import ItemIndex
from stream_rec.statistics.popularity import HALF_LIVES_MS, DecayedCounts

NEVER_MS = 1 << 62  # when an item was first consumed that never was
LEAST_TENURE = 3.0  # half-lives after which a user is no newcomer any more


class Statistics:
    """Popularity, ratings and co-visitation of items; arrays are indexed by the rows of `items`."""

    def __init__(self, items: ItemIndex) -> None:
        self.items = items
        self.events = 0  # consuming events folded, all items together
        self.first_events = 0
        self.newest_ms = 0
        self.counts: NDArray[np.int64] = np.zeros(1024, np.int64)  # (capacity,)
        self.first_counts: NDArray[np.int64] = np.zeros(1024, np.int64)
        self.last_seen_ms: NDArray[np.int64] = np.zeros(1024, np.int64)  # 0: never
        self.first_seen_ms: NDArray[np.int64] = np.full(1024, NEVER_MS, np.int64)
        self.rating_count: NDArray[np.int64] = np.zeros(1024, np.int64)
        self.rating_sum: NDArray[np.int64] = np.zeros(1024, np.int64)  # thousandths
        self.decayed = DecayedCounts()
        self.settled = DecayedCounts(least_tenure=LEAST_TENURE)  # by those known for long
        self.links = LinkTable(FORWARD, BACKWARD)
        self.following = LinkTable(FOLLOWING, None)
        self.reserve()

    def reserve(self) -> None:
        """Make room for every row that `items` has given."""
        rows, capacity = len(self.items), len(self.counts)
        if rows > capacity:
            grown = max(rows, capacity + capacity // 2)
            for name in _PER_ITEM:
                fill = NEVER_MS if name == "first_seen_ms" else 0
                longer = np.full(grown, fill, np.int64)
                longer[:capacity] = getattr(self, name)
                setattr(self, name, longer)
        for name in (*_DECAYED, *_LINKS):
            getattr(self, name).reserve(len(self.counts))

    def fold(self, facts: Facts) -> None:
        """Take one batch of facts into account; items never seen get a row."""
        codes = np.array([self.items.add(item_id) for item_id in facts.items], np.int32)
        self.reserve()
        if len(facts):
            rows = codes[facts.item]
            self._count(rows, facts)
            self.decayed.add(rows, facts.timestamp)
            self.settled.add(rows, facts.timestamp, facts.tenure_ms)
        if len(facts.target):
            sources = np.where(facts.sources >= 0, codes[facts.sources], np.int32(-1))
            told = (codes[facts.target], facts.sign, sources, facts.newcomer)
            self.links.add(*told)
            self.following.add(*told)

    def _count(self, rows: NDArray[np.int32], facts: Facts) -> None:
        rated = ~np.isnan(facts.rating)
        thousandths = np.rint(facts.rating[rated].astype(np.float64) * 1000).astype(np.int64)
        np.add.at(self.counts, rows, 1)
        np.add.at(self.first_counts, rows[facts.first], 1)
        np.add.at(self.rating_count, rows[rated], 1)
        np.add.at(self.rating_sum, rows[rated], thousandths)
        np.maximum.at(self.last_seen_ms, rows, facts.timestamp)
        np.minimum.at(self.first_seen_ms, rows, facts.timestamp)
        self.events += len(facts)
        self.first_events += int(facts.first.sum())
        self.newest_ms = max(self.newest_ms, int(facts.timestamp.max()))

    @property
    def rating_mean(self) -> float:
        """The mean of all ratings, 0 without any."""
        ratings = int(self.rating_count.sum())
        return float(self.rating_sum.sum()) / 1000 / ratings if ratings else 0.0

    def to_bytes(self) -> bytearray:
        """Encode everything, links in canonical order, with format version and checksum."""
        rows, head = len(self.items), len(_MAGIC) + _DIGEST_BYTES
        body: dict[str, Any] = {
            "items": self.items.ids,
            "numbers": [self.events, self.first_events, self.newest_ms],
            "half_lives_ms": HALF_LIVES_MS.tobytes(),
            **{name: getattr(self, name)[:rows].data for name in _PER_ITEM},
        }
        for name in _DECAYED:
            table: DecayedCounts = getattr(self, name)
            body[name] = [
                np.ascontiguousarray(column).data
                for column in (table.sums[:, :rows], table.mass, table.reference_ms)
            ]
        for name in _LINKS:
            body[name] = [column.data for column in getattr(self, name).links()]
        # Links are large: no more copies than this one.
        snapshot = bytearray(_MAGIC + bytes(_DIGEST_BYTES))
        msgspec.msgpack.Encoder().encode_into(body, snapshot, head)
        snapshot[len(_MAGIC) : head] = _digest(memoryview(snapshot)[head:])
        return snapshot

    @classmethod
    def from_bytes(cls, snapshot: bytes | bytearray, items: ItemIndex) -> "Statistics":
        """Restore a snapshot into a numbering that may know other items already.

        Raises:
            StateRejected: it is torn, bit-flipped, foreign, or of another format.
        """
        magic, head = snapshot[: len(_MAGIC)], len(_MAGIC) + _DIGEST_BYTES
        encoded = memoryview(snapshot)[head:]
        if magic not in (_MAGIC, *_OLDER):
            msg = "not a snapshot of statistics in this format"
            raise StateRejected(msg)
        if _digest(encoded) != snapshot[len(_MAGIC) : head]:
            msg = "a snapshot of statistics with a wrong checksum"
            raise StateRejected(msg)
        body: dict[str, Any] = msgspec.msgpack.decode(encoded)
        if body["half_lives_ms"] != HALF_LIVES_MS.tobytes():
            msg = "a snapshot of statistics with other half-lives"
            raise StateRejected(msg)
        if magic == _MAGIC_1:  # knew nobody apart: all count as established
            body["settled"] = body["decayed"]
        if magic != _MAGIC:  # nor who made links; the third kept newcomers' in tables of their own
            for name in _LINKS:
                body[name] = (*body[name], bytes(len(body[name][2])))
        statistics = cls(items)
        statistics._restore(body)
        return statistics

    def _restore(self, body: dict[str, Any]) -> None:
        codes = np.array([self.items.add(item_id) for item_id in body["items"]], np.int32)
        self.reserve()
        self.events, self.first_events, self.newest_ms = body["numbers"]
        for name in _PER_ITEM:
            getattr(self, name)[codes] = np.frombuffer(body[name], np.int64)
        for name in _DECAYED:
            table: DecayedCounts = getattr(self, name)
            sums, mass, reference_ms = (np.frombuffer(part, np.float64) for part in body[name])
            table.sums[:, codes] = sums.reshape(len(HALF_LIVES_MS), len(codes))
            table.mass, table.reference_ms = mass.copy(), reference_ms.copy()
        for name in _LINKS:
            row, to, weight, theirs = (np.frombuffer(part, np.int32) for part in body[name])
            getattr(self, name).put(Links(codes[row], codes[to], weight.copy(), theirs.copy()))


def _digest(encoded: memoryview) -> bytes:
    return hashlib.blake2b(encoded, digest_size=_DIGEST_BYTES).digest()


_MAGIC = b"stream-rec statistics 4\n"
_MAGIC_1 = b"stream-rec statistics 1\n"
_OLDER = (_MAGIC_1, b"stream-rec statistics 2\n", b"stream-rec statistics 3\n")
_DIGEST_BYTES = 16
_PER_ITEM = (
    "counts", "first_counts", "first_seen_ms", "last_seen_ms", "rating_count", "rating_sum",
)  # fmt: skip
_DECAYED = ("decayed", "settled")
_LINKS = ("links", "following")
