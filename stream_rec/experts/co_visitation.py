"""The co-visitation experts: what others took near the items that this user took.

Shrunk by the source's count, c / (d + 10), which is the zeroth order of TALE (Park et al., WSDM
2025); the links of the newest item alone, counted once, are the Markov expert.
"""

import numpy as np
from numba import njit

from stream_rec.statistics.co_visitation import UNIT


@njit(cache=True, nogil=True)
def spread_links(pool, counts, row, factors, dense, touched, found):  # type: ignore[no-untyped-def]
    """Add one source's links, near and wide, into two dense arrays; return how many are touched.

    Rows met for the first time are appended to `touched`. `factors` are the source's weights.
    """
    if row >= pool.start.shape[0]:
        return found
    near, wide = dense
    shrunk = np.float32(1.0) / (np.float32(counts[row]) + np.float32(_SHRINK))
    scale = shrunk / np.float32(UNIT)
    first, second = factors[0] * scale, factors[1] * scale
    for slot in range(pool.start[row], pool.start[row] + pool.size[row]):
        to, weight = pool.neighbours[slot], pool.weights[slot]
        if to >= 0 and weight > 0:
            if wide[to] == 0.0:
                touched[found] = to
                found += 1
            near[to] += first * weight
            wide[to] += second * weight
    return found


@njit(cache=True, nogil=True)
def spread_following(pool, counts, row, dense, touched):  # type: ignore[no-untyped-def]
    """Write how often each item came right after this one, shrunk; return how many."""
    found = 0
    if row >= pool.start.shape[0]:
        return found
    shrunk = np.float32(1.0) / (np.float32(counts[row]) + np.float32(_SHRINK_FOLLOWING))
    for slot in range(pool.start[row], pool.start[row] + pool.size[row]):
        to, weight = pool.neighbours[slot], pool.weights[slot]
        if to >= 0 and weight > 0:
            dense[to] = weight * shrunk
            touched[found] = to
            found += 1
    return found


_SHRINK = 10.0
_SHRINK_FOLLOWING = 3.0
