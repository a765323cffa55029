"""The co-visitation experts: what others took near the items that this user took.

Shrunk by the source's count, c / (d + 10), which is the zeroth order of TALE (Park et al., WSDM
2025); the links of the newest item alone, counted once, are the Markov expert.
"""

import numpy as np

from stream_rec.compiled import kernel
from stream_rec.statistics.co_visitation import UNIT


@kernel
def spread_links(known, row, factor, linked, touched, found):  # type: ignore[no-untyped-def]
    """Add `factor` times one source's links into `linked` (items,); return how many are touched.

    Rows met for the first time are appended to `touched`, which needs one place more than there are
    items. `factor` is positive; `known` are links, counts of items, and newcomers' credits.
    """
    pool, counts, credits = known
    if row >= pool.start.shape[0]:
        return found
    shrunk = np.float32(counts[row]) + np.float32(_SHRINK)
    scale = factor / (shrunk * np.float32(UNIT))
    start = pool.start[row]
    for slot in range(start, start + pool.used[row]):
        to = pool.slots.neighbours[slot]
        weight = _believed(pool.slots, slot, credits[to])
        touched[found] = to
        found += linked[to] == 0.0 and weight > 0.0
        linked[to] += scale * weight
    return found


@kernel
def _believed(slots, slot, credit):  # type: ignore[no-untyped-def]
    """Return what of a link's weight counts, not below zero.

    Of an item that newcomers push (a credit below one) their links count by that credit, and for
    no more than everybody else's: what they alone say leads nowhere.
    """
    weight = max(slots.weights[slot], 0)
    if credit == 1.0:
        return np.float32(weight)
    theirs = min(max(slots.newcomers[slot], 0), weight)
    others = np.float32(weight - theirs)
    return others + min(np.float32(theirs) * credit, others)


@kernel
def spread_following(known, row, following, after):  # type: ignore[no-untyped-def]
    """Write how often each item came right after this one, shrunk; return how many."""
    pool, counts, credits = known
    found = 0
    if row >= pool.start.shape[0]:
        return found
    shrunk = np.float32(1.0) / (np.float32(counts[row]) + np.float32(_SHRINK_FOLLOWING))
    start = pool.start[row]
    for slot in range(start, start + pool.used[row]):
        to = pool.slots.neighbours[slot]
        weight = _believed(pool.slots, slot, credits[to])
        if weight > 0.0:
            following[to] = weight * shrunk
            after[found] = to
            found += 1
    return found


_SHRINK = 10.0
_SHRINK_FOLLOWING = 3.0
