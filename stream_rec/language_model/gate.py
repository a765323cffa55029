"""Judge a candidate's vectors on held-out later events before any live list depends on them.

The decision rests on a dense paired statistic, how much nearer the top of the whole catalogue the
item that was really taken next comes, clustered by user; hits in a top ten are too rare to prove
gains of a few percent in a few thousand events. NDCG@10, never-seen items, warm items and the share
of popular items are guards: any of them significantly worse rejects.

It decides "shadow" or "reject", never "promote": see ``shadow``. It does not know models or topics.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stream_rec.language_model.next_item_examples import NextItems, user_vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Where a model puts items, and how its users are made; rows are shared by all candidates."""

    vectors: NDArray[np.float32]  # (items, dimension), unit or zero
    recency: NDArray[np.float32]  # (length,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """How a space ranked the items that were taken next."""

    rank: NDArray[np.float64]  # (examples,) 0 is the top; ties count half; the context is left out
    popular: NDArray[np.float64]  # (examples,) share of popular items among the first ten


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """A mean of paired differences with the standard error of clusters."""

    mean: float
    error: float
    events: int

    @property
    def z(self) -> float:
        """Return the mean in standard errors."""
        return self.mean / self.error if self.error > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the gate decided, why, and the figures it saw (challenger minus champion)."""

    decision: Literal["shadow", "reject"]
    reasons: tuple[str, ...]
    figures: dict[str, float]


def rank_next_items(
    space: Space, examples: NextItems, popular: NDArray[np.bool_], *, batch: int = 256
) -> Ranking:
    """Rank the whole catalogue ``(items,)`` for each example and find what was taken next."""
    ranks = np.zeros(len(examples))
    shares = np.zeros(len(examples))
    for start in range(0, len(examples), batch):
        part = examples.select(slice(start, start + batch))
        scores = user_vectors(space.vectors, part.context, space.recency) @ space.vectors.T
        at = np.arange(len(part))
        target = scores[at, part.target].copy()
        for position in range(part.context.shape[1]):
            items = part.context[:, position]
            seen = (items >= 0) & (items != part.target)
            scores[at[seen], items[seen]] = -np.inf
        above = (scores > target[:, None]).sum(axis=1)
        ties = (scores == target[:, None]).sum(axis=1) - 1
        ranks[start : start + batch] = above + ties / 2
        first = min(_TOP, scores.shape[1] - 1)
        listed = np.argpartition(-scores, first, axis=1)[:, :first]
        shares[start : start + batch] = popular[listed].mean(axis=1)
    return Ranking(rank=ranks, popular=shares)


def offline_gate(
    champion: Space,
    challenger: Space,
    examples: NextItems,
    counts: NDArray[np.int64],
    *,
    min_gain: float = 0.0,
    confidence: float = 0.95,
    needed_z: float | None = None,
) -> Verdict:
    """Decide whether a challenger may be shadowed; ``examples`` are later than all it learned from.

    The gain must be above ``min_gain`` by ``needed_z`` standard errors, by default those of the
    confidence; less where live events will give the proof. Guards always object by the confidence.

    ``counts`` ``(items,)`` says how often each item was taken before the examples: 0 is never seen,
    the top percent is popular. ``min_gain`` is in the unit of
    ``shadow.paired_difference``, by which live events are judged too.
    """
    unusable = _unusable(challenger, examples)
    if unusable:
        return Verdict(decision="reject", reasons=(unusable,), figures={})
    popular = most_popular(counts)
    before = rank_next_items(champion, examples, popular)
    after = rank_next_items(challenger, examples, popular)
    paired = _differences(before, after, examples, counts)
    share = float(after.popular.mean() - before.popular.mean())
    critical = NormalDist().inv_cdf(confidence)
    reasons = _objections(
        paired,
        share,
        min_gain,
        critical=critical,
        needed=critical if needed_z is None else needed_z,
    )
    return Verdict(
        decision="reject" if reasons else "shadow",
        reasons=reasons or ("the gain is enough and no guard objects",),
        figures={
            **{f"{name}_gain": p.mean for name, p in paired.items()},
            **{f"{name}_z": p.z for name, p in paired.items()},
            **{f"{name}_events": float(p.events) for name, p in paired.items()},
            "champion_ndcg": float(discounted_gain(before.rank).mean()),
            "challenger_ndcg": float(discounted_gain(after.rank).mean()),
            "popular_share_gain": share,
        },
    )


def _unusable(challenger: Space, examples: NextItems) -> str | None:
    if not np.isfinite(challenger.vectors).all() or not challenger.vectors.any():
        return "vectors hold NaN, Inf or only zeros"
    if len(examples) < _FEWEST:
        return f"{len(examples)} held-out events, at least {_FEWEST} are needed"
    return None


def _differences(
    before: Ranking, after: Ranking, examples: NextItems, counts: NDArray[np.int64]
) -> dict[str, Paired]:
    """Return the gain of the challenger in the dense statistic and in each guard."""
    gain = (np.log1p(before.rank) - np.log1p(after.rank)) / np.log(max(len(counts), 2))
    ndcg = discounted_gain(after.rank) - discounted_gain(before.rank)
    seen, everything = counts[examples.target], np.ones(len(examples), np.bool_)
    groups = {
        "log_rank": (gain, everything),
        "ndcg": (ndcg, everything),
        "never_seen": (gain, seen == 0),
        "warm": (gain, seen >= _WARM),
    }
    return {
        name: paired_by_user(values[chosen], examples.user[chosen])
        for name, (values, chosen) in groups.items()
    }


def paired_by_user(differences: NDArray[np.float64], users: NDArray[np.int64]) -> Paired:
    """Return the mean difference and its standard error with users as clusters.

    Events of one user are not independent; the sandwich estimate of Liang and Zeger (1986) sums the
    residuals of a user before squaring.

    >>> paired_by_user(np.array([1.0, 1.0, 3.0, 3.0]), np.array([0, 0, 1, 1]))
    Paired(mean=2.0, error=1.0, events=4)
    """
    count = len(differences)
    if count == 0:
        return Paired(mean=0.0, error=0.0, events=0)
    mean = float(differences.mean())
    _, cluster = np.unique(users, return_inverse=True)
    sums = np.bincount(cluster, weights=differences - mean)
    clusters = len(sums)
    if clusters < 2:  # one user proves nothing about others
        return Paired(mean=mean, error=np.inf, events=count)
    error = float(np.sqrt(clusters / (clusters - 1) * (sums**2).sum()) / count)
    return Paired(mean=mean, error=error, events=count)


def discounted_gain(rank: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return NDCG@10 of single targets at 0-based ranks.

    >>> discounted_gain(np.array([0.0, 9.0, 10.0])).round(3).tolist()
    [1.0, 0.289, 0.0]
    """
    return np.where(rank < _TOP, 1 / np.log2(rank + 2), 0.0)


def most_popular(counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark the most popular percent of the items, at least one, never an item without events."""
    size = max(1, round(_POPULAR_SHARE * len(counts)))
    marked = np.zeros(len(counts), np.bool_)
    marked[np.argsort(-counts, kind="stable")[:size]] = True
    return marked & (counts > 0)


def _objections(
    paired: dict[str, Paired], popular: float, min_gain: float, *, critical: float, needed: float
) -> tuple[str, ...]:
    dense = paired["log_rank"]
    found: list[str] = []
    if not dense.mean - needed * dense.error > min_gain:  # so that NaN is no gain either
        found.append(
            f"gain {dense.mean:.4f} ± {dense.error:.4f} in log-rank is not above {min_gain}"
        )
    for name in ("ndcg", "never_seen", "warm"):
        guard = paired[name]
        if guard.events and guard.mean + critical * guard.error < 0:
            found.append(f"{name} falls by {-guard.mean:.4f} ± {guard.error:.4f}")
    if popular > _MOST_POPULAR_GAIN:
        found.append(f"popular items take {popular:.2f} more of the first ten places")
    return tuple(found)


_TOP = 10
_FEWEST = 100
_WARM = 5
_POPULAR_SHARE = 0.01
_MOST_POPULAR_GAIN = 0.2
