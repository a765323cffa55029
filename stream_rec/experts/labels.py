"""The label experts: what items have in common by their words, categories, tags and brand.

A token that few items carry tells more of them than one that many carry (inverse document
frequency); one that a single item carries says nothing about any other.
"""

import numpy as np

from stream_rec.compiled import kernel


@kernel
def token_trends(codes, weighing, counts, events):  # type: ignore[no-untyped-def]
    """Return how popular the tokens of each item are, (items,): 0 is as popular as most.

    A token's popularity is the logarithm of the events of its items, per item, beside what every
    item has; `weighing` is how many items carry each token, and how telling it is.
    """
    items_with, telling = weighing
    seen = np.zeros(telling.shape[0], np.float64)
    for row in range(counts.shape[0]):
        for column in range(codes.shape[1]):
            if codes[row, column] < 0:
                break
            seen[codes[row, column]] += counts[row]
    usual = _PRIOR / (1.0 + events * 1e-3)
    worth = np.log((seen + 1.0) / (items_with[: len(seen)] + _PRIOR) * usual)
    out = np.zeros(counts.shape[0], np.float32)
    for row in range(counts.shape[0]):
        total, weights = 0.0, 1.0
        for column in range(codes.shape[1]):
            code = codes[row, column]
            if code < 0:
                break
            total += telling[code] * worth[code]
            weights += telling[code]
        out[row] = total / weights
    return out


@kernel
def add_liking(codes, rows, weights, liking):  # type: ignore[no-untyped-def]
    """Add what a user likes of each token, `weights` by interaction, into a dense array."""
    for entry in range(rows.shape[0]):
        for column in range(codes.shape[1]):
            code = codes[rows[entry], column]
            if code < 0:
                break
            liking[code] += weights[entry]


@kernel
def clear_liking(codes, rows, liking):  # type: ignore[no-untyped-def]
    """Leave the dense array zero again."""
    for entry in range(rows.shape[0]):
        for column in range(codes.shape[1]):
            code = codes[rows[entry], column]
            if code < 0:
                break
            liking[code] = 0.0


@kernel
def match(codes, telling, liking, rows, out):  # type: ignore[no-untyped-def]
    """Write how well the tokens of each item fit what the user likes."""
    for place in range(rows.shape[0]):
        total, weights = np.float32(0.0), np.float32(1.0)
        for column in range(codes.shape[1]):
            code = codes[rows[place], column]
            if code < 0:
                break
            liked = min(max(liking[code], np.float32(-_MOST)), np.float32(_MOST))
            total += telling[code] * liked
            weights += telling[code]
        out[place] = total / weights


_MOST = 3.0
_PRIOR = 5.0
