"""Co-visitation: for each item the items consumed by the same users, with integer weights.

A row is a sorted list of neighbours with their weights, in a block of one shared pool; blocks hold
a power of two. Sums are integers, so the order of facts does not matter and a retraction cancels
exactly. Zero weights are no links. Rows grow freely within the pool's budget; past it, a row of
`SMALL` links or more keeps its heavier half instead of growing. Knows rows, not item ids.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_rec.compiled import kernel

FORWARD: NDArray[np.int32] = np.round(2048 * 0.7 ** np.arange(20)).astype(np.int32)
BACKWARD: NDArray[np.int32] = np.round(1024 * 0.7 ** np.arange(20)).astype(np.int32)
FOLLOWING: NDArray[np.int32] = np.array([1], np.int32)  # counts the next item only
UNIT = 2048.0  # the weight of one forward link from the item before
SMALL = 128


class Pool(NamedTuple):
    """The arrays that compiled code reads: blocks of slots and where each row's block lies."""

    neighbours: NDArray[np.int32]  # (slots,)
    weights: NDArray[np.int32]  # (slots,)
    start: NDArray[np.int64]  # (rows,)
    size: NDArray[np.int32]  # (rows,) a power of two, 0 for a row without a block
    used: NDArray[np.int32]  # (rows,) slots taken, the first ones, in ascending order
    free: NDArray[np.int64]  # (32,) first free block of each power of two, then the pool's end


class Links(NamedTuple):
    """All links of a table, one entry each."""

    row: NDArray[np.int32]
    neighbour: NDArray[np.int32]
    weight: NDArray[np.int32]


class LinkTable:
    """Signed integer links between rows."""

    def __init__(self, forward: NDArray[np.int32], backward: NDArray[np.int32] | None) -> None:
        self._forward = forward
        self._backward = np.zeros(0, np.int32) if backward is None else backward
        free = np.full(_CLASSES + 1, -1, np.int64)
        free[_CLASSES] = 0
        self.pool = Pool(
            np.zeros(1 << 14, np.int32),
            np.zeros(1 << 14, np.int32),
            np.zeros(1024, np.int64),
            np.zeros(1024, np.int32),
            np.zeros(1024, np.int32),
            free,
        )

    @property
    def nbytes(self) -> int:
        """Bytes held by the pool and its directory."""
        return sum(array.nbytes for array in self.pool)

    def reserve(self, rows: int) -> None:
        """Make room for this many rows."""
        old = self.pool
        if rows > len(old.start):
            more = max(rows - len(old.start), len(old.start) // 2)
            self.pool = old._replace(
                start=np.concatenate((old.start, np.zeros(more, np.int64))),
                size=np.concatenate((old.size, np.zeros(more, np.int32))),
                used=np.concatenate((old.used, np.zeros(more, np.int32))),
            )

    def add(
        self, targets: NDArray[np.int32], signs: NDArray[np.int8], sources: NDArray[np.int32]
    ) -> None:
        """Fold link rows: `sources` (rows, gaps) newest first, -1 padded; all rows reserved."""
        if len(targets):
            budget = max(_LEAST_BUDGET, _SLOTS_PER_ROW * len(self.pool.start))
            gaps = (self._forward, self._backward)
            neighbours, values = _add_rows(self.pool, targets, signs, sources, gaps, budget)
            self.pool = self.pool._replace(neighbours=neighbours, weights=values)

    def put(self, links: Links) -> None:
        """Add single links, as a snapshot holds them; all rows reserved."""
        if len(links.row):
            budget = max(_LEAST_BUDGET, _SLOTS_PER_ROW * len(self.pool.start))
            neighbours, values = _put(self.pool, *links, budget)
            self.pool = self.pool._replace(neighbours=neighbours, weights=values)

    def row(self, row: int) -> dict[int, int]:
        """Return the links of one row, neighbour to weight, in ascending order of neighbours."""
        pool = self.pool
        if row >= len(pool.start):
            return {}
        block = slice(int(pool.start[row]), int(pool.start[row]) + int(pool.used[row]))
        pairs = zip(pool.neighbours[block].tolist(), pool.weights[block].tolist(), strict=True)
        return {to: weight for to, weight in pairs if weight != 0}

    def links(self) -> Links:
        """Return all links, sorted by row and neighbour."""
        return Links(*_links(self.pool, len(self.pool.start)))


@kernel
def _find(neighbours, start, used, to):  # type: ignore[no-untyped-def]
    """Return the first slot of a row whose neighbour is not below `to`."""
    lower, upper = start, start + used
    while lower < upper:
        middle = (lower + upper) >> 1
        if neighbours[middle] < to:
            lower = middle + 1
        else:
            upper = middle
    return lower


@kernel
def link(pool, row, to):  # type: ignore[no-untyped-def]
    """Return the weight of one link, 0 when there is none."""
    if row >= pool.start.shape[0]:
        return np.int32(0)
    slot = _find(pool.neighbours, pool.start[row], pool.used[row], to)
    found = slot < pool.start[row] + pool.used[row] and pool.neighbours[slot] == to
    return pool.weights[slot] if found else np.int32(0)


@kernel
def _class(size):  # type: ignore[no-untyped-def]
    exponent = 0
    while (1 << exponent) < size:
        exponent += 1
    return exponent


@kernel
def _take(neighbours, weights, free, size):  # type: ignore[no-untyped-def]
    """Take a block from its free list or from the pool's end; return the arrays, maybe longer."""
    block = free[_class(size)]
    if block >= 0:
        free[_class(size)] = weights[block]
    else:
        block = free[_CLASSES]
        free[_CLASSES] = block + size
        if block + size > neighbours.shape[0]:
            longer = max(block + size, neighbours.shape[0] + neighbours.shape[0] // 2)
            grown, values = np.empty(longer, np.int32), np.empty(longer, np.int32)
            grown[: neighbours.shape[0]] = neighbours
            values[: weights.shape[0]] = weights
            neighbours, weights = grown, values
    return neighbours, weights, block


@kernel
def _compact(neighbours, weights, start, used, least):  # type: ignore[no-untyped-def]
    """Drop the links of a row whose weight is below `least` or zero; return how many stay."""
    kept = 0
    for slot in range(start, start + used):
        if weights[slot] != 0 and weights[slot] >= least:
            neighbours[start + kept] = neighbours[slot]
            weights[start + kept] = weights[slot]
            kept += 1
    return kept


@kernel
def _make_room(neighbours, weights, directory, row, budget):  # type: ignore[no-untyped-def]
    """Make room in a full row: drop zeros, take a larger block, or keep the heavier half."""
    start, size, used, free = directory
    old, old_size = start[row], size[row]
    new_size = max(np.int32(4), np.int32(old_size * 2))
    if old_size > 0:
        used[row] = _compact(neighbours, weights, old, used[row], _NO_LEAST)
        if 4 * used[row] <= 3 * old_size:
            return neighbours, weights
        full = free[_class(new_size)] < 0 and free[_CLASSES] + new_size > budget
        if old_size >= SMALL and full:
            middle = np.sort(weights[old : old + used[row]])[used[row] // 2]
            used[row] = _compact(neighbours, weights, old, used[row], middle + 1)
            return neighbours, weights
    neighbours, weights, block = _take(neighbours, weights, free, new_size)
    for slot in range(used[row]):
        neighbours[block + slot] = neighbours[old + slot]
        weights[block + slot] = weights[old + slot]
    if old_size > 0:
        weights[old] = free[_class(old_size)]
        free[_class(old_size)] = old
    start[row], size[row] = block, new_size
    return neighbours, weights


@kernel
def _add_one(neighbours, weights, directory, row, to, value, budget):  # type: ignore[no-untyped-def]
    start, size, used, _ = directory
    slot = _find(neighbours, start[row], used[row], to)
    if slot < start[row] + used[row] and neighbours[slot] == to:
        weights[slot] += value
        return neighbours, weights
    if used[row] == size[row]:
        neighbours, weights = _make_room(neighbours, weights, directory, row, budget)
        slot = _find(neighbours, start[row], used[row], to)
    for place in range(start[row] + used[row], slot, -1):
        neighbours[place] = neighbours[place - 1]
        weights[place] = weights[place - 1]
    neighbours[slot], weights[slot] = to, value
    used[row] += 1
    return neighbours, weights


@kernel
def _add_rows(pool, targets, signs, sources, gaps, budget):  # type: ignore[no-untyped-def]
    forward, backward = gaps
    neighbours, weights = pool.neighbours, pool.weights
    directory = (pool.start, pool.size, pool.used, pool.free)
    for row in range(targets.shape[0]):
        target, sign = targets[row], np.int32(signs[row])
        for gap in range(min(sources.shape[1], forward.shape[0])):
            source = sources[row, gap]
            if source < 0:
                break
            if source == target:
                continue
            neighbours, weights = _add_one(
                neighbours, weights, directory, source, target, sign * forward[gap], budget
            )
            if gap < backward.shape[0]:
                neighbours, weights = _add_one(
                    neighbours, weights, directory, target, source, sign * backward[gap], budget
                )
    return neighbours, weights


@kernel
def _put(pool, rows, to, values, budget):  # type: ignore[no-untyped-def]
    neighbours, weights = pool.neighbours, pool.weights
    directory = (pool.start, pool.size, pool.used, pool.free)
    for entry in range(rows.shape[0]):
        neighbours, weights = _add_one(
            neighbours, weights, directory, rows[entry], to[entry], values[entry], budget
        )
    return neighbours, weights


@kernel
def _links(pool, rows):  # type: ignore[no-untyped-def]
    total = 0
    for row in range(min(rows, pool.start.shape[0])):
        total += pool.used[row]
    source, to = np.empty(total, np.int32), np.empty(total, np.int32)
    weight, found = np.empty(total, np.int32), 0
    for row in range(min(rows, pool.start.shape[0])):
        for slot in range(pool.start[row], pool.start[row] + pool.used[row]):
            if pool.weights[slot] != 0:
                source[found], to[found] = row, pool.neighbours[slot]
                weight[found] = pool.weights[slot]
                found += 1
    return source[:found], to[:found], weight[:found]


_NO_LEAST = -(1 << 31)
_CLASSES = 31  # powers of two that a block may have
_LEAST_BUDGET = 1 << 22  # slots: small catalogues are never cut
_SLOTS_PER_ROW = 160  # 1.3 KB an item
