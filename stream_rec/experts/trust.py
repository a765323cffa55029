"""What newcomers say of an item is passed on as far as established users bear it out.

Accounts cost nothing, time does: an attack comes from accounts that are new. So what users do who
have been known for less than some thousand events is bounded, item by item, by what it would be if
they took items as the established do now, or as everybody did before. It is the idea of the
influence limiter (Resnick and Sami, "The influence limiter: provably manipulation-resistant
recommender systems", RecSys 2007), with the time an account is known in the place of a reputation.
Knows statistics, no users.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_rec.compiled import kernel
from stream_rec.policy import Trust
from stream_rec.statistics.popularity import HALF_LIVES_MS
from stream_rec.statistics.statistics import LEAST_TENURE, Statistics


class Credits(NamedTuple):
    """Which share of each item's recent events counts for others, 0 … 1."""

    everybody: NDArray[np.float32]  # (items,)
    newcomers: NDArray[np.float32]  # (items,) of the events by newcomers alone


def newcomer_ms(statistics: Statistics, trust: Trust) -> float:
    """Return how long a newcomer has been known at most; 0 where everybody counts."""
    now_ms = statistics.newest_ms
    entry = _entry(statistics, trust, now_ms=now_ms)
    return 0.0 if entry is None else LEAST_TENURE * float(HALF_LIVES_MS[entry])


def credits_of(statistics: Statistics, trust: Trust, *, now_ms: int) -> Credits:
    """Return what counts for others.

    With E established and Y newcomers' decayed events of an item now, B all its events before, and
    sums over all items, Y counts up to

        max((E + allowance) · ΣY / ΣE, _USUAL · B · ΣY / ΣB)

    so an item nobody established takes is given what `allowance` events of theirs would give it.
    All ones where hardly anybody is established, which is how every stream begins.
    """
    rows = len(statistics.items)
    credits = Credits(np.ones(rows, np.float32), np.ones(rows, np.float32))
    entry = _entry(statistics, trust, now_ms=now_ms)
    if entry is not None:
        every = statistics.decayed.at(entry, rows, now_ms=now_ms)
        settled = statistics.settled.at(entry, rows, now_ms=now_ms)
        longer = min(entry + 1, len(HALF_LIVES_MS) - 1)
        lately = statistics.decayed.at(longer, rows, now_ms=now_ms)
        before = np.maximum(statistics.counts[:rows] - lately, 0.0)
        _credit(every, settled, before, trust.allowance, credits)
    return credits


def _entry(statistics: Statistics, trust: Trust, *, now_ms: int) -> int | None:
    """Return the entry of the grid that tells newcomers; None where everybody counts."""
    if not trust.tenure_events or not statistics.events:
        return None
    entry = statistics.decayed.entry(trust.tenure_events / LEAST_TENURE, now_ms=now_ms)
    total = statistics.decayed.total(entry, now_ms=now_ms)
    established = statistics.settled.total(entry, now_ms=now_ms)
    return None if established < max(_FEWEST, _LEAST * total) else entry


@kernel
def _credit(every, settled, before, allowance, credits):  # type: ignore[no-untyped-def]
    total, established, past = 0.0, 0.0, 1e-9
    for row in range(every.shape[0]):
        total += every[row]
        established += settled[row]
        past += before[row]
    newcomers = total - established
    now, usual = newcomers / established, _USUAL * newcomers / past
    for row in range(every.shape[0]):
        theirs = every[row] - settled[row]
        most = max((settled[row] + allowance) * now, before[row] * usual)
        if theirs > most:
            credits.everybody[row] = (settled[row] + most) / every[row]
            credits.newcomers[row] = most / theirs


_FEWEST = 50.0  # decayed events of established users, and
_LEAST = 0.05  # their share, from which on they can say anything
_USUAL = 1.5  # an item may come to so many times what it was before
