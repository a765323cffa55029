"""The text expert, and that of any other modality: similarity of items to what the user took.

A user's vector is the faded signed sum of the vectors of the newest interactions, so what was
refused pushes away. It is made when it is needed: a new adapter never meets a vector of an old one.
"""

import numpy as np
from numpy.typing import NDArray

from stream_rec.catalogue.vectors import VectorTable, add_weighted
from stream_rec.compiled import kernel


def user_vectors(
    table: VectorTable,
    start: NDArray[np.int64],
    rows: NDArray[np.int32],
    weights: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return one unit vector per user, (users, dimension); zero where nothing is known.

    `rows` and `weights` of user u lie at start[u] : start[u + 1].
    """
    out = np.zeros((len(start) - 1, table.dimension), np.float32)
    _user_vectors(table.matrix, start, rows, weights, out)
    return out


@kernel
def _user_vectors(matrix, start, rows, weights, out):  # type: ignore[no-untyped-def]
    for user in range(out.shape[0]):
        for entry in range(start[user], start[user + 1]):
            if weights[entry] > 1e-3 or weights[entry] < -1e-3:
                add_weighted(matrix, rows[entry], weights[entry], out[user])
        length = np.float32(0.0)
        for axis in range(out.shape[1]):
            length += out[user, axis] * out[user, axis]
        if length > 0.0:
            scale = np.float32(1.0) / np.sqrt(length)
            for axis in range(out.shape[1]):
                out[user, axis] *= scale
