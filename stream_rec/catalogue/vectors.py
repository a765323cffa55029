"""A table of unit vectors, one row per item: the text of items under one adapter, or one modality.

Rows are centred before they are scaled to length one: models of language put all texts into a
narrow cone, and its axis says nothing about an item. The centre follows the table as it grows, held
towards zero while there are few rows. Knows rows, not items or models.
"""

from itertools import islice

import numpy as np
from numpy.typing import NDArray

from stream_rec.catalogue.quantised import quantised
from stream_rec.compiled import kernel, lane_kernel
from stream_rec.errors import StateRejected


class VectorTable:
    """Centred float32 rows of length one, and what came in as float16; absent rows are zero."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.matrix: NDArray[np.float32] = np.zeros((1024, dimension), np.float32)
        self.small: NDArray[np.int8] = np.zeros((1024, dimension), np.int8)  # the same in bytes
        self.small_worth: NDArray[np.float32] = np.zeros(1024, np.float32)  # of one in `small`
        self.present: NDArray[np.bool_] = np.zeros(1024, np.bool_)
        self.count = 0
        self.changes = 0  # grows with every change: what is derived from the table may be stale
        self.centre: NDArray[np.float32] = np.zeros(dimension, np.float32)
        self.centred_changes = 0  # `changes` when the centre was last moved
        self._changed: dict[int, None] = {}
        self._came: NDArray[np.float16] = np.zeros((1024, dimension), np.float16)

    def put(self, row: int, vector: NDArray[np.floating]) -> None:
        """Store one vector, whatever its length; a vector of zeros counts as none.

        Raises:
            StateRejected: the vector has another dimension or is not finite.
        """
        values = np.asarray(vector, np.float32)
        if values.shape != (self.dimension,):
            msg = f"a vector of shape {values.shape}, not ({self.dimension},)"
            raise StateRejected(msg)
        norm = float(np.linalg.norm(values))
        if not np.isfinite(norm):
            msg = "a vector that is not finite"
            raise StateRejected(msg)
        if norm <= 0.0:
            self.drop(row)
            return
        self.reserve(row + 1)
        self.count += not self.present[row]
        self.changes += 1
        self.present[row] = True
        self._changed[row] = None
        self._came[row] = values / norm
        self._centre_rows(slice(row, row + 1))
        if self.changes >= _RECENTRE * (self.centred_changes + 1):
            self._move_centre()

    def fill(self, rows: NDArray[np.integer], vectors: NDArray[np.floating]) -> None:
        """Store many vectors at once, (rows, dimension); each row occurs once.

        Raises:
            StateRejected: the vectors have another dimension or are not finite.
        """
        values = np.asarray(vectors, np.float32)
        if values.shape != (len(rows), self.dimension):
            msg = f"vectors of shape {values.shape}, not ({len(rows)}, {self.dimension})"
            raise StateRejected(msg)
        norms = np.linalg.norm(values, axis=1)
        if not np.isfinite(norms).all():
            msg = "vectors that are not finite"
            raise StateRejected(msg)
        rows, values, norms = rows[norms > 0.0], values[norms > 0.0], norms[norms > 0.0]
        if not len(rows):
            return
        self.reserve(int(rows.max()) + 1)
        self.count += int(np.count_nonzero(~self.present[rows]))
        self.changes += len(rows)
        self.present[rows] = True
        self._changed |= dict.fromkeys(rows.tolist())
        self._came[rows] = values / norms[:, None]
        self._move_centre()

    def came(self, rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return the vectors of rows as they came, of length one; zero where there is none."""
        inside = np.where(rows < len(self.present), rows, 0)
        found: NDArray[np.float32] = self._came[inside].astype(np.float32)
        found[rows >= len(self.present)] = 0.0
        return found

    @property
    def unfollowed(self) -> int:
        """How many rows `take_changed` has still to hand out."""
        return len(self._changed)

    def drop(self, row: int) -> None:
        """Forget the vector of a row, if it has one."""
        if self.has(row):
            self.matrix[row] = 0.0
            self.small[row] = 0
            self._came[row] = 0.0
            self.present[row] = False
            self.count -= 1
            self.changes += 1
            self._changed.pop(row, None)

    def has(self, row: int) -> bool:
        """Return whether a row has a vector."""
        return 0 <= row < len(self.present) and bool(self.present[row])

    def take_changed(self, most: int) -> list[int]:
        """Hand out rows whose neighbours are to be found again, oldest first, each once."""
        taken = list(islice(self._changed, most))
        for row in taken:
            del self._changed[row]
        return taken

    def reserve(self, rows: int) -> None:
        """Make room for this many rows."""
        capacity = len(self.present)
        if rows > capacity:
            grown = max(rows, capacity + capacity // 2)
            for name in ("matrix", "small", "small_worth", "_came", "present"):
                old = getattr(self, name)
                longer = np.zeros((grown, *old.shape[1:]), old.dtype)
                longer[:capacity] = old
                setattr(self, name, longer)

    def _move_centre(self) -> None:
        total = self._came.sum(0, dtype=np.float32)
        self.centre = total / np.float32(self.count + _HELD)
        self.centred_changes = self.changes
        if self.count <= _SETTLED:
            self._changed |= dict.fromkeys(np.flatnonzero(self.present).tolist())
        for start in range(0, len(self.present), 4096):
            self._centre_rows(slice(start, start + 4096))

    def _centre_rows(self, rows: slice) -> None:
        centred = self._came[rows].astype(np.float32) - self.centre  # (rows, dimension)
        centred[~self.present[rows]] = 0.0
        norms = np.linalg.norm(centred, axis=1, keepdims=True)
        unit = centred / np.maximum(norms, 1e-6)
        self.matrix[rows] = unit
        self.small[rows], self.small_worth[rows] = quantised(unit)


@kernel
def add_weighted(matrix, row, weight, out):  # type: ignore[no-untyped-def]
    """Add `weight` times the vector of a row into `out`; a row outside of the table is zero."""
    if 0 <= row < matrix.shape[0]:
        for axis in range(matrix.shape[1]):
            out[axis] += weight * matrix[row, axis]


@lane_kernel
def dot(one, other):  # type: ignore[no-untyped-def]
    """Return the product of two vectors."""
    total = np.float32(0.0)
    for axis in range(one.shape[0]):
        total += one[axis] * other[axis]
    return total


@lane_kernel
def dot_of_bytes(small, other):  # type: ignore[no-untyped-def]
    """Return the product of one row of bytes with a vector."""
    total = np.float32(0.0)
    for axis in range(small.shape[0]):
        total += np.float32(small[axis]) * other[axis]
    return total


@lane_kernel
def six_dots(small, row, six, out):  # type: ignore[no-untyped-def]
    """Write the products of one row of bytes with six vectors, (6, dimension).

    Single rows wait for memory: read once, and a quarter as long, they cost half.
    """
    zero = np.float32(0.0)
    a, b, c, d, e, f = zero, zero, zero, zero, zero, zero
    for axis in range(small.shape[1]):
        value = np.float32(small[row, axis])
        a += value * six[0, axis]
        b += value * six[1, axis]
        c += value * six[2, axis]
        d += value * six[3, axis]
        e += value * six[4, axis]
        f += value * six[5, axis]
    out[0], out[1], out[2], out[3], out[4], out[5] = a, b, c, d, e, f


_RECENTRE = 1.5  # the centre moves when the table changed by half
_SETTLED = 4096  # from so many rows on, a new centre changes nobody's neighbours
_HELD = 32  # rows at zero that the centre is averaged with
