"""The nearest neighbours of every item in a vector table, kept up as vectors arrive.

A new vector is compared with all others once: it finds its neighbours and enters the lists of those
that are nearer to it than to what they had. Work is done in portions, so that a catalogue that
arrives at once never holds up a list.
"""

import numpy as np
from numpy.typing import NDArray

from stream_rec.catalogue.vectors import VectorTable
from stream_rec.compiled import kernel

NEIGHBOURS = 15


class Neighbours:
    """Neighbours and cosines by row, nearest first; -1 and 0 where there are fewer."""

    def __init__(self) -> None:
        self.rows: NDArray[np.int32] = np.full((0, NEIGHBOURS), -1, np.int32)  # (capacity, n)
        self.cosines: NDArray[np.float32] = np.zeros((0, NEIGHBOURS), np.float32)

    def reserve(self, rows: int) -> None:
        """Make room for this many rows."""
        capacity = len(self.rows)
        if rows > capacity:
            grown = max(rows, capacity + capacity // 2) - capacity
            self.rows = np.concatenate((self.rows, np.full((grown, NEIGHBOURS), -1, np.int32)))
            self.cosines = np.concatenate((self.cosines, np.zeros((grown, NEIGHBOURS), np.float32)))

    def follow(self, table: VectorTable, *, most: int) -> None:
        """Compare at most so many new vectors of a table with all others."""
        changed = table.take_changed(most)
        if changed:
            self.reserve(len(table.present))
            rows = np.array(changed, np.int32)
            cosines = table.matrix[rows] @ table.matrix.T  # (changed, capacity)
            _enter(rows, cosines, table.present, self.rows, self.cosines)


@kernel
def _enter(changed, cosines, present, rows, nearest):  # type: ignore[no-untyped-def]
    for place in range(changed.shape[0]):
        row = changed[place]
        rows[row] = -1
        nearest[row] = 0.0
        for other in range(present.shape[0]):
            cosine = cosines[place, other]
            if present[other] and other != row and cosine > 0.0:
                if cosine > nearest[row, NEIGHBOURS - 1]:
                    _insert(rows[row], nearest[row], other, cosine)
                if cosine > nearest[other, NEIGHBOURS - 1]:
                    _insert(rows[other], nearest[other], row, cosine)


@kernel
def _insert(rows, nearest, row, cosine):  # type: ignore[no-untyped-def]
    """Put a neighbour into a sorted list, in place of what it had there or of the last one."""
    place = 0
    while place < NEIGHBOURS - 1 and rows[place] != row:
        place += 1
    while place > 0 and nearest[place - 1] < cosine:
        rows[place], nearest[place] = rows[place - 1], nearest[place - 1]
        place -= 1
    rows[place], nearest[place] = row, cosine
