"""From users to their lists: score, rule, vary, offer alternatives, explore, pin, and give reasons.

All users of a batch are scored at once (`scoring`), each list is drafted (`draft`), and the
evidence for all reasons is gathered in one pass. Ranking reads the replica and never changes it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stream_rec.catalogue.catalogue import Catalogue
from stream_rec.ranking import reasons
from stream_rec.ranking.draft import Drafting, Place, Shop
from stream_rec.ranking.scoring import EXPERTS, Request, Scored, Scorer, score, shares_of
from stream_rec.toplist import ListedItem, Reason, Tier


class Ranking(Shop, Scorer, Protocol):
    """What lists are ranked with: a whole replica, or one seen through an adapter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A list without its number and date; `arms` are those explored by rank, for `Exploration`."""

    items: tuple[ListedItem, ...]
    tier: Tier
    arms: Mapping[int, int] = field(default_factory=dict)


def rank(
    replica: Ranking,
    requests: Sequence[Request],
    *,
    now_ms: int,
    rng: np.random.Generator,
    ruled_ms: int = 0,
) -> list[Ranked]:
    """Return the list of each request, of the policy's size when enough items may be shown.

    `now_ms` is the stream's own time, and rules are read at `ruled_ms` where that is given; `rng`
    is drawn from only where a policy explores.
    """
    if not requests:
        return []
    replica.statistics.reserve()
    scored = score(replica, requests, now_ms=now_ms)
    drafts = [
        Drafting(replica, request, now_ms, ruled_ms).draft(found.rows, found.scores, rng)
        for request, found in zip(requests, scored, strict=True)
    ]
    return _worded(replica, requests, scored, drafts, now_ms)


def _worded(
    shop: Shop,
    requests: Sequence[Request],
    scored: Sequence[Scored],
    drafts: Sequence[Sequence[Place]],
    now_ms: int,
) -> list[Ranked]:
    """Put drafts into words: items, reasons, tier."""
    row_of = shop.items.row
    pasts = [reasons.past_of(one.profile, one.policy.signals, row_of) for one in requests]
    listed = [[place.row for place in places] for places in drafts]
    supports = reasons.supports(listed, pasts, shop)
    parts = [_shares(found, places) for found, places in zip(scored, drafts, strict=True)]
    shares = np.concatenate(parts).astype(np.float64)  # (places of all lists, experts)
    said = np.round(shares, 3).tolist()
    facts = _facts(shop, listed, shares @ _GROUPS, now_ms)
    ranked, end = [], 0
    for places, past, support in zip(drafts, pasts, supports, strict=True):
        start, end = end, end + len(places)
        reason_of = _Reasons(shop.catalogue, past)
        items = tuple(
            _item(shop, at, place, share, reason_of(place, fact, evidence))
            for at, place, share, fact, evidence in zip(
                range(1, len(places) + 1), places, said[start:end], facts[start:end], support,
                strict=True,
            )
        )  # fmt: skip
        arms = {at: place.arm for at, place in enumerate(places, 1) if place.arm >= 0}
        tier = _tier(facts[start:end], shop.adapter_version)
        ranked.append(Ranked(items=items, tier=tier, arms=arms))
    return ranked


def _shares(found: Scored, places: Sequence[Place]) -> NDArray[np.float32]:
    """The experts' shares in each place, zero where the item is not one of theirs."""
    index = np.array([place.candidate for place in places], np.intp)
    if (index >= 0).all():
        return shares_of(found, index)
    shares = np.zeros((len(places), len(EXPERTS)), np.float32)
    shares[index >= 0] = shares_of(found, index[index >= 0])
    return shares


def _facts(
    shop: Shop, listed: Sequence[Sequence[int]], grouped: NDArray[np.float64], now_ms: int
) -> list[reasons.Listed]:
    rows = np.array([row for rows in listed for row in rows], np.int64)
    return [
        reasons.Listed(
            row, behaviour, words, popular, now_ms - published if published else None, count
        )
        for row, (behaviour, words, popular), published, count in zip(
            rows.tolist(),
            grouped.tolist(),
            shop.catalogue.published_ms[rows].tolist(),
            shop.statistics.counts[rows].tolist(),
            strict=True,
        )
    ]


def _item(
    shop: Shop, rank: int, place: Place, shares: Sequence[float], reason: Reason
) -> ListedItem:
    sources = {name: share for name, share in zip(EXPERTS, shares, strict=True) if share}
    return ListedItem(
        item_id=shop.items.ids[place.row],
        rank=rank,
        score=round(place.score, 9),
        sources=sources or _elsewhere(place),
        explored=place.arm >= 0,
        propensity=place.propensity,
        reason=reason,
    )


def _elsewhere(place: Place) -> dict[str, float]:
    if place.pinned:
        return {"rules": 1.0}
    return {"alternatives": 1.0} if place.instead is not None else {"catalogue": 1.0}


def _tier(facts: Sequence[reasons.Listed], adapter_version: int) -> Tier:
    """The best evidence that has a say in any place of a list."""
    if any(fact.words >= _LEAST_SHARE for fact in facts):
        return "adapted" if adapter_version > 0 else "lm"
    return "statistics" if any(fact.behaviour >= _LEAST_SHARE for fact in facts) else "popular"


@dataclass(slots=True)
class _Reasons:
    """Finds the reasons of one list."""

    catalogue: Catalogue
    past: reasons.Past

    def __call__(self, place: Place, fact: reasons.Listed, support: reasons.Support) -> Reason:
        if place.pinned:
            return reasons.PINNED
        if place.arm >= 0:
            return reasons.EXPLORED
        if place.instead is not None:
            title = reasons.name_of(place.instead.row, self.catalogue)
            return reasons.alternative_reason(place.instead, title)
        return reasons.reason(fact, self.past, support, self.catalogue)


def _groups() -> NDArray[np.float64]:
    """Which experts speak from behaviour, from words, and from popularity, (experts, 3)."""
    group = {"text": 1, "other_modality": 1, "tower": 1, "popularity": 2, "category": 2}
    return np.eye(3)[[group.get(name, 0) for name in EXPERTS]]


_GROUPS = _groups()
_LEAST_SHARE = 0.005
