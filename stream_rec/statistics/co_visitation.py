"""Co-visitation: for each item the items consumed by the same users, with integer weights.

A row is a sorted list of neighbours with their weights, in a block of one shared pool; blocks hold
a power of two. Beside each weight stands the part of it that newcomers made. Sums are integers, so
the order of facts does not matter and a retraction cancels exactly. Zero weights are no links. Rows
grow freely within the pool's budget; past it, a row of `SMALL` links or more keeps its heavier half
instead of growing. Knows rows, not item ids.
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


class Slots(NamedTuple):
    """What blocks hold; of a free block the first weight says where the next free one begins."""

    neighbours: NDArray[np.int32]  # (slots,)
    weights: NDArray[np.int32]  # (slots,) of everybody
    newcomers: NDArray[np.int32]  # (slots,) the part of the weight that newcomers made


class Pool(NamedTuple):
    """The arrays that compiled code reads: blocks of slots and where each row's block lies."""

    slots: Slots
    start: NDArray[np.int64]  # (rows,)
    size: NDArray[np.int32]  # (rows,) a power of two, 0 for a row without a block
    used: NDArray[np.int32]  # (rows,) slots taken, the first ones, in ascending order
    free: NDArray[np.int64]  # (32,) first free block of each power of two, then the pool's end


class Links(NamedTuple):
    """All links of a table, one entry each."""

    row: NDArray[np.int32]
    neighbour: NDArray[np.int32]
    weight: NDArray[np.int32]
    newcomers: NDArray[np.int32]


class LinkTable:
    """Signed integer links between rows."""

    def __init__(self, forward: NDArray[np.int32], backward: NDArray[np.int32] | None) -> None:
        self._forward = forward
        self._backward = np.zeros(0, np.int32) if backward is None else backward
        free = np.full(_CLASSES + 1, -1, np.int64)
        free[_CLASSES] = 0
        self.pool = Pool(
            Slots(*np.zeros((3, 1 << 14), np.int32)),
            np.zeros(1024, np.int64),
            np.zeros(1024, np.int32),
            np.zeros(1024, np.int32),
            free,
        )

    @property
    def nbytes(self) -> int:
        """Bytes held by the pool and its directory."""
        return sum(array.nbytes for array in (*self.pool.slots, *self.pool[1:]))

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
        self,
        targets: NDArray[np.int32],
        signs: NDArray[np.int8],
        sources: NDArray[np.int32],
        newcomer: NDArray[np.bool_],
    ) -> None:
        """Fold link rows, (rows,), all of them reserved.

        `sources` (rows, gaps) come newest first and padded with -1; `newcomer` says who made them.
        """
        if len(targets):
            told, gaps = (targets, signs, sources, newcomer), (self._forward, self._backward)
            self.pool = self.pool._replace(slots=_add_rows(self.pool, told, gaps, self._budget))

    def put(self, links: Links) -> None:
        """Add single links, as a snapshot holds them; all rows reserved."""
        if len(links.row):
            self.pool = self.pool._replace(slots=_put(self.pool, links, self._budget))

    def row(self, row: int) -> dict[int, int]:
        """Return the links of one row, neighbour to weight, in ascending order of neighbours."""
        pool = self.pool
        if row >= len(pool.start):
            return {}
        block = slice(int(pool.start[row]), int(pool.start[row]) + int(pool.used[row]))
        neighbours, weights, _ = (column[block].tolist() for column in pool.slots)
        pairs = zip(neighbours, weights, strict=True)
        return {to: weight for to, weight in pairs if weight != 0}

    def links(self) -> Links:
        """Return all links, sorted by row and neighbour."""
        return Links(*_links(self.pool, len(self.pool.start)))

    @property
    def _budget(self) -> int:
        return max(_LEAST_BUDGET, _SLOTS_PER_ROW * len(self.pool.start))


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
    neighbours = pool.slots.neighbours
    slot = _find(neighbours, pool.start[row], pool.used[row], to)
    found = slot < pool.start[row] + pool.used[row] and neighbours[slot] == to
    return pool.slots.weights[slot] if found else np.int32(0)


@kernel
def _class(size):  # type: ignore[no-untyped-def]
    exponent = 0
    while (1 << exponent) < size:
        exponent += 1
    return exponent


@kernel
def _longer(column, length):  # type: ignore[no-untyped-def]
    grown = np.empty(length, np.int32)
    grown[: column.shape[0]] = column
    return grown


@kernel
def _move(slots, old, new):  # type: ignore[no-untyped-def]
    slots.neighbours[new] = slots.neighbours[old]
    slots.weights[new] = slots.weights[old]
    slots.newcomers[new] = slots.newcomers[old]


@kernel
def _take(slots, free, size):  # type: ignore[no-untyped-def]
    """Take a block from its free list or from the pool's end; return the slots, maybe more."""
    block = free[_class(size)]
    if block >= 0:
        free[_class(size)] = slots.weights[block]
    else:
        block, held = free[_CLASSES], slots.neighbours.shape[0]
        free[_CLASSES] = block + size
        if block + size > held:
            length = max(block + size, held + held // 2)
            neighbours, weights, newcomers = slots
            slots = Slots(
                _longer(neighbours, length), _longer(weights, length), _longer(newcomers, length)
            )
    return slots, block


@kernel
def _compact(slots, start, used, least):  # type: ignore[no-untyped-def]
    """Drop the links of a row whose weight is below `least` or zero; return how many stay."""
    kept = 0
    for slot in range(start, start + used):
        weight = slots.weights[slot]
        if weight >= least and (weight != 0 or slots.newcomers[slot] != 0):
            _move(slots, slot, start + kept)
            kept += 1
    return kept


@kernel
def _make_room(slots, directory, row, budget):  # type: ignore[no-untyped-def]
    """Make room in a full row: drop zeros, take a larger block, or keep the heavier half."""
    start, size, used, free = directory
    old, old_size = start[row], size[row]
    new_size = max(np.int32(4), np.int32(old_size * 2))
    if old_size > 0:
        used[row] = _compact(slots, old, used[row], _NO_LEAST)
        if 4 * used[row] <= 3 * old_size:
            return slots
        full = free[_class(new_size)] < 0 and free[_CLASSES] + new_size > budget
        if old_size >= SMALL and full:
            middle = np.sort(slots.weights[old : old + used[row]])[used[row] // 2]
            used[row] = _compact(slots, old, used[row], middle + 1)
            return slots
    slots, block = _take(slots, free, new_size)
    for slot in range(used[row]):
        _move(slots, old + slot, block + slot)
    if old_size > 0:
        slots.weights[old] = free[_class(old_size)]
        free[_class(old_size)] = old
    start[row], size[row] = block, new_size
    return slots


@kernel
def _add_one(slots, directory, row, to, values, budget):  # type: ignore[no-untyped-def]
    """Add to a link's weight and to newcomers' part of it; return the slots, maybe more."""
    start, size, used, _ = directory
    slot = _find(slots.neighbours, start[row], used[row], to)
    if slot < start[row] + used[row] and slots.neighbours[slot] == to:
        slots.weights[slot] += values[0]
        slots.newcomers[slot] += values[1]
        return slots
    if used[row] == size[row]:
        slots = _make_room(slots, directory, row, budget)
        slot = _find(slots.neighbours, start[row], used[row], to)
    for place in range(start[row] + used[row], slot, -1):
        _move(slots, place - 1, place)
    slots.neighbours[slot], slots.weights[slot], slots.newcomers[slot] = to, values[0], values[1]
    used[row] += 1
    return slots


@kernel
def _add_rows(pool, told, gaps, budget):  # type: ignore[no-untyped-def]
    targets, signs, sources, newcomer = told
    forward, backward = gaps
    slots, directory = pool.slots, (pool.start, pool.size, pool.used, pool.free)
    for row in range(targets.shape[0]):
        target, sign, new = targets[row], np.int32(signs[row]), np.int32(newcomer[row])
        for gap in range(min(sources.shape[1], forward.shape[0])):
            source = sources[row, gap]
            if source < 0:
                break
            if source == target:
                continue
            value = sign * forward[gap]
            slots = _add_one(slots, directory, source, target, (value, value * new), budget)
            if gap < backward.shape[0]:
                value = sign * backward[gap]
                slots = _add_one(slots, directory, target, source, (value, value * new), budget)
    return slots


@kernel
def _put(pool, links, budget):  # type: ignore[no-untyped-def]
    slots, directory = pool.slots, (pool.start, pool.size, pool.used, pool.free)
    for entry in range(links.row.shape[0]):
        values = (links.weight[entry], links.newcomers[entry])
        row, to = links.row[entry], links.neighbour[entry]
        slots = _add_one(slots, directory, row, to, values, budget)
    return slots


@kernel
def _links(pool, rows):  # type: ignore[no-untyped-def]
    total = 0
    for row in range(min(rows, pool.start.shape[0])):
        total += pool.used[row]
    found, columns = 0, np.empty((4, total), np.int32)
    for row in range(min(rows, pool.start.shape[0])):
        for slot in range(pool.start[row], pool.start[row] + pool.used[row]):
            weight, newcomers = pool.slots.weights[slot], pool.slots.newcomers[slot]
            if weight != 0 or newcomers != 0:
                columns[0, found], columns[1, found] = row, pool.slots.neighbours[slot]
                columns[2, found], columns[3, found] = weight, newcomers
                found += 1
    return columns[0, :found], columns[1, :found], columns[2, :found], columns[3, :found]


_NO_LEAST = -(1 << 31)
_CLASSES = 31  # powers of two that a block may have
_LEAST_BUDGET = 1 << 22  # slots: small catalogues are never cut
_SLOTS_PER_ROW = 160  # 1.9 KB an item
