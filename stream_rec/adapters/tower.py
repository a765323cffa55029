"""Place items with an item tower: ``normalise(t + A·B·t + r)``, in numpy alone.

``t`` is a text vector less the mean text, ``A·B`` a low-rank map shared by all items, ``r`` the
residual of an item that behaviour knew when the tower was trained. The recommender places items
that came after a bundle with it. How a tower learns is in ``language_model.tower_training``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stream_rec.errors import CheckpointRejected


def place(
    arrays: Mapping[str, NDArray[np.float32]],
    text: NDArray[np.float32],
    rows: NDArray[np.int64] | None = None,
) -> NDArray[np.float32]:
    """Return unit vectors ``(items, dimension)`` of text vectors of the same shape.

    ``rows`` says which row of the tower's residual is an item's, -1 where it has none; without it
    none has. A text of zeros without a residual stays zero: nothing is known of it.
    """
    centred = centre_texts(text, arrays["centre"])
    moved = centred + centred @ arrays["down"] @ arrays["up"]
    if rows is not None:
        known = np.flatnonzero(rows >= 0)
        moved[known] += arrays["residual"][rows[known]]
    norms = np.linalg.norm(moved, axis=1, keepdims=True)
    return (moved / np.where(norms > 0, norms, 1.0)).astype(np.float32)


def centre_texts(text: NDArray[np.float32], centre: NDArray[np.float32]) -> NDArray[np.float32]:
    """Subtract the mean text and scale to length one; a text of zeros stays zero.

    Vectors of a language model share one large direction, which hides how they differ.
    """
    moved = np.where(np.any(text != 0, axis=1, keepdims=True), text - centre, 0.0)
    norms = np.linalg.norm(moved, axis=1, keepdims=True)
    return (moved / np.where(norms > 0, norms, 1.0)).astype(np.float32)


def check_tower(arrays: Mapping[str, NDArray[np.float32]]) -> None:
    """Check that arrays are a tower.

    Raises:
        CheckpointRejected: something is missing or of another shape.
    """
    if set(arrays) != {*TOWER_ARRAYS, "numbers"} or arrays["numbers"].shape != (3,):
        message = f"these arrays are no tower: {sorted(arrays)}"
        raise CheckpointRejected(message)
    if arrays["down"].ndim != 2 or arrays["residual"].ndim != 2:
        message = "the tower's arrays are no matrices"
        raise CheckpointRejected(message)
    dimension, rank = arrays["down"].shape
    wanted = {"centre": (dimension,), "up": (rank, dimension)}
    if any(arrays[name].shape != shape for name, shape in wanted.items()) or (
        arrays["residual"].shape[1:] != (dimension,)
    ):
        message = "the tower's arrays do not fit each other"
        raise CheckpointRejected(message)


TOWER_ARRAYS = ("centre", "down", "up", "residual", "recency")
