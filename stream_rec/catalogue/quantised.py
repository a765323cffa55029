"""Vectors in bytes, a quarter of float32: for compiled code, and for bundles of large catalogues.

Each row has a scale of its own, so that its largest part is 127; the error of a part is at most
half of one such step. What it costs is measured by `benchmarks/int8_vectors.py`. Knows no files.
"""

import numpy as np
from numpy.typing import NDArray


def quantised(
    vectors: NDArray[np.floating], *, at_once: int = 65_536
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return rows of bytes, (rows, dimension), and what one is worth in each row, (rows,).

    >>> small, worth = quantised(np.array([[0.5, -1.0], [0.0, 0.0]]))
    >>> small.tolist(), (127 * worth).tolist()
    ([[64, -127], [0, 0]], [1.0, 0.0])
    """
    small = np.empty(vectors.shape, np.int8)
    worth = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), at_once):
        part = vectors[start : start + at_once].astype(np.float32)
        scale = np.abs(part).max(axis=1, initial=0.0) / 127.0
        divisor = np.where(scale > 0, scale, 1.0)[:, None]
        small[start : start + at_once] = np.rint(part / divisor)
        worth[start : start + at_once] = scale
    return small, worth


def restored(small: NDArray[np.int8], worth: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return what rows of bytes stand for, (rows, dimension).

    >>> restored(np.array([[64, -127]], np.int8), np.array([1 / 127], np.float32)).tolist()
    [[0.50390625, -1.0]]
    """
    vectors = np.empty(small.shape, np.float16)
    for start in range(0, len(small), 65_536):
        part = slice(start, start + 65_536)
        vectors[part] = small[part] * worth[part, None]
    return vectors
