"""One numbering of items for statistics, catalogue and vectors: item id <-> row.

Rows are given in order of arrival and never taken back, so they differ between processes: nothing
that leaves a process may hold a row. Knows nothing of what is stored per row.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from stream_rec.compiled import kernel
from stream_rec.item_hash import item_hash


class ItemIndex:
    """A growing numbering; also finds rows by the 64-bit hashes that consumed sets hold."""

    def __init__(self, item_ids: Iterable[str] = ()) -> None:
        self.ids: list[str] = []
        self._rows: dict[str, int] = {}
        self.find = self._rows.get  # row or None: the fastest way, for hot loops
        self.hashes: NDArray[np.uint64] = np.zeros(_FIRST_CAPACITY, np.uint64)  # (capacity,)
        self.slot_hash: NDArray[np.uint64] = np.zeros(2 * _FIRST_CAPACITY, np.uint64)
        self.slot_row: NDArray[np.int32] = np.full(2 * _FIRST_CAPACITY, -1, np.int32)
        for item_id in item_ids:
            self.add(item_id)

    def __len__(self) -> int:
        return len(self.ids)

    def row(self, item_id: str) -> int:
        """Return the row of an item, -1 when it has none."""
        return self._rows.get(item_id, -1)

    def rows(self, item_ids: Iterable[str]) -> NDArray[np.int32]:
        """Return the rows of several items, -1 for strangers."""
        get = self._rows.get
        return np.array([get(item_id, -1) for item_id in item_ids], np.int32)

    def add(self, item_id: str) -> int:
        """Return the row of an item, giving it the next one when it is new.

        >>> index = ItemIndex(["a"])
        >>> index.add("b"), index.add("a"), len(index)
        (1, 0, 2)
        """
        row = self._rows.get(item_id)
        if row is None:
            row = len(self.ids)
            if row == len(self.hashes):
                self._grow()
            hashed = item_hash(item_id)
            self.hashes[row] = hashed
            insert_row(self.slot_hash, self.slot_row, self.hashes[row], row)
            self.ids.append(item_id)
            self._rows[item_id] = row
        return row

    def rows_of_hashes(self, hashes: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Return the rows of hashed ids, -1 for strangers."""
        out = np.empty(len(hashes), np.int32)
        _find_rows(self.slot_hash, self.slot_row, hashes, out)
        return out

    def _grow(self) -> None:
        used = len(self.hashes)
        hashes = np.zeros(2 * used, np.uint64)
        hashes[:used] = self.hashes
        self.hashes = hashes
        self.slot_hash = np.zeros(4 * used, np.uint64)
        self.slot_row = np.full(4 * used, -1, np.int32)
        _insert_rows(self.slot_hash, self.slot_row, hashes[:used])


@kernel
def find_row(slot_hash, slot_row, hashed):  # type: ignore[no-untyped-def]
    """Return the row of one hash by linear probing, -1 when it is not there."""
    mask = np.uint64(slot_hash.shape[0] - 1)
    slot = hashed & mask
    while slot_row[slot] >= 0:
        if slot_hash[slot] == hashed:
            return slot_row[slot]
        slot = (slot + np.uint64(1)) & mask
    return np.int32(-1)


@kernel
def insert_row(slot_hash, slot_row, hashed, row):  # type: ignore[no-untyped-def]
    """Put one hash into the table; at most half of the slots may be taken."""
    mask = np.uint64(slot_hash.shape[0] - 1)
    slot = hashed & mask
    while slot_row[slot] >= 0:
        slot = (slot + np.uint64(1)) & mask
    slot_hash[slot] = hashed
    slot_row[slot] = row


@kernel
def _insert_rows(slot_hash, slot_row, hashes):  # type: ignore[no-untyped-def]
    for row in range(hashes.shape[0]):
        insert_row(slot_hash, slot_row, hashes[row], row)


@kernel
def _find_rows(slot_hash, slot_row, hashes, out):  # type: ignore[no-untyped-def]
    for position in range(hashes.shape[0]):
        out[position] = find_row(slot_hash, slot_row, hashes[position])


_FIRST_CAPACITY = 1024
