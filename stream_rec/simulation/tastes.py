"""What simulated shoppers want, and how that changes.

A shopper has favourite kinds, a use in mind for each, a level of price, a liking for certain looks
and aspects that matter more than others. All of it is hidden from the shop's systems and drifts.
Does not know events or time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from stream_rec.simulation.aspects import ASPECTS
from stream_rec.simulation.catalogue import LOOKS, Product
from stream_rec.simulation.departments import KINDS


@dataclass(frozen=True, slots=True)
class Need:
    """What a shopper is after: a kind of product, for a use."""

    kind: str
    use: str


@dataclass(slots=True, kw_only=True)
class Shopper:
    """One shopper; `drift`, `decide` and purchases change the state in place."""

    user_id: str
    activity: float
    favourites: dict[str, float]
    uses: dict[str, str]
    cares: dict[str, float]
    looks: list[float]
    price_level: float
    need: Need | None = None
    wishes: list[str] = field(default_factory=list)
    owned: set[str] = field(default_factory=set)
    to_review: list[Product] = field(default_factory=list)


def make_shopper(rng: Random, user_id: str) -> Shopper:
    """Make a shopper with tastes of their own; most buy little, a few buy a lot."""
    return Shopper(
        user_id=user_id,
        activity=math.exp(rng.gauss(0, 0.7)),
        favourites={
            kind.name: math.exp(rng.gauss(-DEMAND_FALL * row, 1.6))
            for row, kind in enumerate(KINDS)
        },
        uses={kind.name: rng.choice([*kind.uses]) for kind in KINDS},
        cares={aspect: math.exp(rng.gauss(0, 0.7)) for aspect in ASPECTS},
        looks=[rng.gauss(0, 1) for _ in range(LOOKS)],
        price_level=rng.random(),
    )


def drift(rng: Random, shopper: Shopper) -> None:
    """Let a shopper's tastes wander a little, and now and then turn to a new favourite."""
    for kind in shopper.favourites:
        shopper.favourites[kind] *= math.exp(rng.gauss(-0.5 * WANDER**2, WANDER))
    shopper.looks = [
        math.sqrt(1 - WANDER**2) * look + WANDER * rng.gauss(0, 1) for look in shopper.looks
    ]
    if rng.random() < TURN:
        weights = shopper.favourites
        first = max(weights, key=weights.__getitem__)
        other = rng.choice([kind for kind in weights if kind != first])
        weights[first], weights[other] = weights[other], weights[first]
        shopper.need = None
    if rng.random() < TURN:
        changed = rng.choice(KINDS)
        shopper.uses[changed.name] = rng.choice([*changed.uses])


def decide(rng: Random, shopper: Shopper) -> Need:
    """Settle what the next session is about: an old need, a wish, or a favourite kind."""
    if shopper.need is not None and rng.random() < KEEP:
        return shopper.need
    if shopper.wishes and rng.random() < FULFIL:
        kind = shopper.wishes.pop(0)
    else:
        weights = shopper.favourites
        kind = rng.choices([*weights], [*weights.values()])[0]
    shopper.need = Need(kind, shopper.uses[kind])
    return shopper.need


def buy(rng: Random, shopper: Shopper, product: Product) -> None:
    """Own a product: its need is met, and something that goes with it may be wished for."""
    shopper.owned.add(product.item_id)
    shopper.need = None
    if rng.random() < COMPLETE:
        shopper.wishes = [*shopper.wishes, rng.choice(product.kind.goes_with)][-MOST_WISHES:]


def liking(shopper: Shopper, product: Product, use: str) -> float:
    """Return how much a shopper would like a product for a use: a logit among its kind."""
    looks = sum(a * b for a, b in zip(shopper.looks, product.looks, strict=True))
    cared = sum(shopper.cares[aspect] * value for aspect, value in product.quality.items())
    return (
        2.2 * (product.use == use)
        + 0.5 * looks
        + 0.9 * product.appeal
        - 3.0 * abs(product.price_level - shopper.price_level)
        + 0.5 * cared / len(product.quality)
        + 0.8 * product.newcomer
    )


def pick(
    rng: Random, shopper: Shopper, products: Sequence[Product], *, use: str, count: int
) -> list[Product]:
    """Draw products by liking, without repeats (Gumbel top-k), the most liked last.

    What the shopper owns is passed over, unless nothing else is left.
    """
    new = [product for product in products if product.item_id not in shopper.owned]
    liked = [(liking(shopper, product, use), product) for product in new or products]
    drawn = sorted(liked, key=lambda pair: -(pair[0] - math.log(rng.expovariate(1.0))))[:count]
    return [product for _, product in sorted(drawn, key=lambda pair: pair[0])]


DEMAND_FALL = 0.08
"""Departments are listed from the most wanted on: each kind less so than the one before."""
WANDER = 0.12
TURN = 0.04
KEEP = 0.65
FULFIL = 0.5
COMPLETE = 0.5
MOST_WISHES = 3
