"""The popularity experts: what is consumed now, at several half-lives, and by category.

A reading is made from the statistics of one moment and serves every request of a batch.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_rec.catalogue.catalogue import Catalogue
from stream_rec.compiled import kernel
from stream_rec.experts.leaders import offer
from stream_rec.experts.trust import Credits, credits_of
from stream_rec.policy import Trust
from stream_rec.statistics.statistics import Statistics

HALF_LIVES_EVENTS = (100.0, 500.0, 2000.0, 16000.0)
MIDDLE = 2  # the half-life that stands for "popular" where one figure must do


class Trends(NamedTuple):
    """Popularity at one moment; `decayed` in events, one column per half-life."""

    decayed: NDArray[np.float32]  # (items, half-lives) what is believed of it
    credits: Credits
    mass: NDArray[np.float64]  # (half-lives,) sums of the columns
    top: NDArray[np.int32]  # recommendable items that lead at any half-life
    events_per_ms: float


def read_trends(
    statistics: Statistics, catalogue: Catalogue, trust: Trust, *, now_ms: int
) -> Trends:
    """Read the popularity of every item that has a row."""
    credits = credits_of(statistics, trust, now_ms=now_ms)
    counts = statistics.decayed
    readings = [counts.read(half_life, now_ms=now_ms) for half_life in HALF_LIVES_EVENTS]
    entries = np.array([reading[:2] for reading in readings], np.int64)
    factors = np.array([reading[2:4] for reading in readings], np.float64)
    decayed = np.empty((len(statistics.items), len(HALF_LIVES_EVENTS)), np.float32)
    mass = np.zeros(len(HALF_LIVES_EVENTS))
    leading = np.full((len(HALF_LIVES_EVENTS), _TOP), -1, np.int32)
    told = (counts.sums, credits.everybody, catalogue.recommendable)
    _read(told, entries, factors, (decayed, mass, leading))
    top = np.unique(leading)
    return Trends(decayed, credits, mass, top[top >= 0], readings[MIDDLE].events_per_ms)


@kernel
def _read(told, entries, factors, out):  # type: ignore[no-untyped-def]
    """Read all half-lives in one pass, and keep the leaders of each."""
    sums, credits, allowed = told
    decayed, mass, leading = out
    keys = np.zeros(leading.shape[1], np.float32)
    for column in range(entries.shape[0]):
        lower, upper = sums[entries[column, 0]], sums[entries[column, 1]]
        first, second = factors[column]
        held = 0
        for row in range(decayed.shape[0]):
            value = (first * lower[row] + second * upper[row]) * credits[row]
            mass[column] += value
            events = np.float32(value)
            decayed[row, column] = events
            enough = events > 0.0 and (held < keys.shape[0] or events > keys[0])
            if enough and allowed[row]:
                held = offer(leading[column], keys, held, row, events)


@kernel
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
