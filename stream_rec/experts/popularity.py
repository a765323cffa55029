"""The popularity experts: what is consumed now, at several half-lives, by newcomers, by category.

A reading is made from the statistics of one moment and serves every request of a batch.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stream_rec.catalogue.catalogue import Catalogue
from stream_rec.statistics.popularity import DecayedCounts
from stream_rec.statistics.statistics import Statistics

HALF_LIVES_EVENTS = (100.0, 500.0, 2000.0, 16000.0)
MIDDLE = 2  # the half-life that stands for "popular" where one figure must do


class Trends(NamedTuple):
    """Popularity at one moment; `decayed` in events, one column per half-life."""

    decayed: NDArray[np.float32]  # (items, half-lives)
    newcomers: NDArray[np.float32]  # (items,) decayed first events of users
    mass: NDArray[np.float32]  # (half-lives,) sums of the columns
    top: NDArray[np.int32]  # recommendable items that lead at any half-life
    events_per_ms: float


def read_trends(statistics: Statistics, catalogue: Catalogue, *, now_ms: int) -> Trends:
    """Read the popularity of every item that has a row."""
    rows = len(statistics.items)
    decayed = np.empty((rows, len(HALF_LIVES_EVENTS)), np.float32)
    for column, half_life in enumerate(HALF_LIVES_EVENTS):
        _read(statistics.decayed, half_life, now_ms, decayed[:, column])
    newcomers = np.empty(rows, np.float32)
    _read(statistics.first_decayed, HALF_LIVES_EVENTS[MIDDLE], now_ms, newcomers)
    allowed = catalogue.recommendable[:rows]
    leading = [
        leaders(np.where(allowed, column, np.float32(0.0)), _TOP)
        for column in (*decayed.T[: MIDDLE + 1], newcomers)
    ]
    top = np.unique(np.concatenate(leading))
    mass = decayed.sum(0)
    return Trends(decayed, newcomers, mass, top, _rate(statistics.decayed, now_ms))


def _read(
    counts: DecayedCounts, half_life: float, now_ms: int, out: NDArray[np.float32]
) -> None:
    lower, upper, first, second = counts.read(half_life, now_ms=now_ms)
    _mix(counts.sums[lower], counts.sums[upper], first, second, out)


def _rate(counts: DecayedCounts, now_ms: int) -> float:
    """Events per millisecond, by the decayed mass that a steady stream would have."""
    reading = counts.read(HALF_LIVES_EVENTS[MIDDLE], now_ms=now_ms)
    return counts.rate(reading)


def leaders(scores: NDArray[np.float32], most: int) -> NDArray[np.int32]:
    """Return the positions of the highest positive scores, at most so many, in no order.

    >>> sorted(leaders(np.array([0, 3, 1, 2], np.float32), 2).tolist())
    [1, 3]
    """
    if len(scores) > most:
        found = np.argpartition(scores, len(scores) - most)[len(scores) - most :]
    else:
        found = np.arange(len(scores))
    return found[scores[found] > 0.0].astype(np.int32)


@njit(cache=True, nogil=True)
def _mix(lower, upper, first, second, out):  # type: ignore[no-untyped-def]
    for row in range(out.shape[0]):
        out[row] = first * lower[row] + second * upper[row]


@njit(cache=True, nogil=True)
def category_leaders(codes, items_with, allowed, popularity, most):  # type: ignore[no-untyped-def]
    """Return the most popular items of each category, (categories, most), -1 padded, best first.

    Categories that hold more than half of the catalogue say nothing and stay empty.
    """
    top = np.full((items_with.shape[0], most), -1, np.int32)
    for row in range(popularity.shape[0]):
        worth = popularity[row]
        if worth <= 0.0 or not allowed[row]:
            continue
        for column in range(codes.shape[1]):
            code = codes[row, column]
            if code < 0:
                break
            if 2 * items_with[code] > popularity.shape[0]:
                continue
            last = top[code, most - 1]
            if last >= 0 and popularity[last] >= worth:
                continue
            place = most - 1
            while place > 0 and (
                top[code, place - 1] < 0 or popularity[top[code, place - 1]] < worth
            ):
                top[code, place] = top[code, place - 1]
                place -= 1
            top[code, place] = row
    return top


_TOP = 40
