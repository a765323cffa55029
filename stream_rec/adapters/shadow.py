"""Decide on a challenger from live events, at any time, however often one looks.

Each live event gives one paired difference in [-1, 1]: how much higher the challenger ranked what
the user took. Wealth bet against "the mean is at most m" grows only if the challenger is better:
the betting e-process of Waudby-Smith and Ramdas, "Estimating means of bounded random variables by
betting" (JRSS B, 2024), with a fixed mixture of bets instead of adaptive ones, so that evidence of
several workers adds up in any order. By Ville's inequality, wealth above 1/α happens with
probability at most α if the challenger is not better, however long one watches.

After promotion a CUSUM of the same bets watches for a fall (Shin, Ramdas and Rinaldo,
"E-detectors", 2023). It does not know topics, adapters or lists.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

Decision = Literal["promote", "reject", "wait"]


Bets = Annotated[tuple[float, ...], msgspec.Meta(min_length=8, max_length=8)]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What a number of live events say about one challenger; evidence of two workers adds up.

    ``better`` and ``worse`` are logarithms of the wealth of each bet of the mixture, against "not
    better than m" and "not worse than m".
    """

    min_gain: float = 0.0
    events: int = 0
    total: float = 0.0
    better: Bets = (0.0,) * 8
    worse: Bets = (0.0,) * 8

    @property
    def mean(self) -> float:
        """Return the mean difference, 0 without events."""
        return self.total / self.events if self.events else 0.0


def paired_difference(champion_rank: float, challenger_rank: float, items: int) -> float:
    """Return how much higher the challenger ranks the item taken, within [-1, 1]; 0 is the top.

    >>> paired_difference(99, 9, 10_000), paired_difference(0, 9_999, 10_000)
    (0.25, -1.0)
    """
    return (math.log1p(champion_rank) - math.log1p(challenger_rank)) / math.log(max(items, 2))


def gather(evidence: Evidence, differences: Iterable[float]) -> Evidence:
    """Return the evidence with some more events; differences beyond [-1, 1] are cut."""
    values = np.clip(np.array(list(differences), np.float64), -1.0, 1.0)
    values = values[np.isfinite(values)] - evidence.min_gain
    better = np.asarray(evidence.better) + _log_wealth(values, evidence.min_gain).sum(axis=0)
    worse = np.asarray(evidence.worse) + _log_wealth(-values, -evidence.min_gain).sum(axis=0)
    return Evidence(
        min_gain=evidence.min_gain,
        events=evidence.events + len(values),
        total=evidence.total + float(values.sum()) + len(values) * evidence.min_gain,
        better=tuple(better.tolist()),
        worse=tuple(worse.tolist()),
    )


def merge(one: Evidence, other: Evidence) -> Evidence:
    """Return the evidence of both, gathered from different events.

    Raises:
        ValueError: they test different gains.
    """
    if one.min_gain != other.min_gain:
        message = f"evidence against {one.min_gain} and {other.min_gain} cannot be added"
        raise ValueError(message)
    return Evidence(
        min_gain=one.min_gain,
        events=one.events + other.events,
        total=one.total + other.total,
        better=tuple(a + b for a, b in zip(one.better, other.better, strict=True)),
        worse=tuple(a + b for a, b in zip(one.worse, other.worse, strict=True)),
    )


def decide(evidence: Evidence, *, confidence: float, shadow_events: int) -> Decision:
    """Return what the evidence allows.

    "promote" needs proof and at least ``shadow_events``; "reject" comes as soon as the challenger
    is proven not to reach the gain, or when it is still unproven after many times as many events.
    """
    needed = math.log(1 / (1 - confidence))
    if _mixture(np.asarray(evidence.worse)) >= needed:
        return "reject"
    if evidence.events < shadow_events:
        return "wait"
    if _mixture(np.asarray(evidence.better)) >= needed:
        return "promote"
    return "reject" if evidence.events >= _PATIENCE * shadow_events else "wait"


class PromotionWatch:
    """Watches a promoted adapter against the one before it and says when to roll back.

    False alarms come once in ``events_between_false_alarms`` events on average, or more rarely; a
    long good time does not slow the notice of a later fall.
    """

    def __init__(self, *, events_between_false_alarms: float = 1e5, tolerance: float = 0.0) -> None:
        if events_between_false_alarms <= 1 or not 0 <= tolerance < 1:
            message = "events_between_false_alarms must be above 1, tolerance within [0, 1)"
            raise ValueError(message)
        self.tolerance = tolerance
        self._needed = math.log(events_between_false_alarms)
        self._wealth = np.zeros(len(_BETS))

    def update(self, difference: float) -> bool:
        """Add one difference (promoted minus previous); return whether to roll back now."""
        if not math.isfinite(difference):
            return False
        loss = -max(-1.0, min(1.0, difference)) - self.tolerance
        return self._add(_log_wealth(np.array([loss]), self.tolerance)[0])

    def absorb(self, before: Evidence, after: Evidence) -> bool:
        """Add what merged evidence has grown by since `before`; return whether to roll back now.

        A fall is then looked for from the beginnings of such blocks only, which delays its notice
        by a block and adds no false alarm. The evidence must be against a gain of `-tolerance`.
        """
        return self._add(np.asarray(after.worse) - np.asarray(before.worse))

    def _add(self, growth: NDArray[np.float64]) -> bool:
        self._wealth = np.maximum(self._wealth, 0.0) + growth
        return _mixture(self._wealth) >= self._needed


def _log_wealth(values: NDArray[np.float64], gain: float) -> NDArray[np.float64]:
    """Return the log growth ``(events, bets)`` of each bet on ``values``, at least -1 - gain each.

    The largest bet keeps wealth positive even if the worst comes.
    """
    growth: NDArray[np.float64] = np.log1p(values[:, None] * (_BETS / max(1 + gain, 0.01)))
    return growth


def _mixture(log_wealth: NDArray[np.float64]) -> float:
    """Return the logarithm of the mean wealth of all bets."""
    top = float(log_wealth.max())
    return top + math.log(float(np.exp(log_wealth - top).mean()))


_BETS: NDArray[np.float64] = np.geomspace(0.004, 0.9, 8)
"""Fractions of the wealth: small bets prove small gains in many events, large ones large."""

_PATIENCE = 10
